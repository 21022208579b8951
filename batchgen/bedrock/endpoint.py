"""Open what a job calls: AWS, a URL or a simulator that lives as long as the run, by each route."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from threading import Thread
from types import ModuleType
from typing import TYPE_CHECKING

from batchgen.bedrock.account import Account, open_account, quotas_of
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.reply_memory import ReplyMemory
from batchgen.bedrock.routes import Answer, Endpoint, OpenRoute, Service, shared_quotas
from batchgen.errors import ServiceUnusable
from batchgen.job import PLAIN_HTTP, Complaints, Job, Route, is_plain_http
from batchgen.output import in_thread
from batchgen.text import sentences

if TYPE_CHECKING:
    from batchgen.bedrock.client import Bedrock

QUESTIONS = 4
"""Calls in flight while an account is asked."""


@asynccontextmanager
async def open_endpoint(job: Job, calls_in_flight: int) -> AsyncIterator[Endpoint]:
    """The service of this job's endpoint, by each of its routes.

    Raises:
        JobError: two routes turned out to be the same account and Region.
        ServiceUnusable: no simulator; a plain `http://` URL that the job refuses; a CA bundle
            that cannot be read; or, on every route: no credentials, an unknown profile or
            Region, a role that cannot be assumed.
    """
    async with AsyncExitStack() as stack:
        url = await _url_of(job, stack)
        memory = ReplyMemory()
        ways = [
            (route, Connection.of(job, route, url, calls_in_flight))
            for route in job.effective_routes
        ]
        if not job.routes:
            route = await _open_route(*ways[0], memory, stack)
            yield Endpoint(routes=(route,), notices=tuple(_in_clear(url)))
            return
        attempts = [await _try_route(*way, memory, stack) for way in ways]
        _refuse_shared_quotas(job, attempts)
        usable = tuple(each.opened for each in attempts if each.opened is not None)
        notices = tuple(each.why for each in attempts if each.why)
        if not usable:
            raise ServiceUnusable(f"No route can be used. {' '.join(notices)}")
        notices = (*_in_clear(url), *notices)
        yield Endpoint(routes=usable, notices=notices)


@asynccontextmanager
async def open_accounts(job: Job) -> AsyncIterator[list[tuple[Route, Account]]]:
    """The account behind each route of a job, to be asked free questions.

    Raises:
        ServiceUnusable: the simulator did not start, or credentials would go there unencrypted.
    """
    async with AsyncExitStack() as stack:
        url = await _url_of(job, stack)
        connections = [
            (route, Connection.of(job, route, url, QUESTIONS)) for route in job.effective_routes
        ]
        yield [
            (route, await stack.enter_async_context(open_account(connection)))
            for route, connection in connections
        ]


async def _url_of(job: Job, stack: AsyncExitStack) -> str | None:
    """Where a job's calls go, None for AWS; a simulator that it starts ends with the stack."""
    if job.endpoint == "aws":
        return None
    if job.endpoint != "simulator":
        if is_plain_http(job.endpoint) and not job.allow_plain_http:
            raise ServiceUnusable(f"The endpoint is {job.endpoint}. {PLAIN_HTTP}")
        return job.endpoint
    from batchgen.simulator.launch import running  # noqa: PLC0415  # for such jobs alone

    try:
        simulator = await stack.enter_async_context(running(*_simulator_options(job)))
    except OSError as failure:
        raise ServiceUnusable(f"The simulator did not start: {failure}") from failure
    return simulator.url


def _in_clear(url: str | None) -> Iterator[str]:
    """A warning for each run whose credentials can be read on the way."""
    if url is not None and is_plain_http(url):
        yield (
            f"Credentials and prompts go unencrypted to {url}, for the job says "
            "`allow_plain_http: true`: everyone on the way can read and use them."
        )


def _simulator_options(job: Job) -> tuple[str, ...]:
    wanted = {
        "--latency": job.simulator.latency,
        "--requests-per-minute": job.simulator.requests_per_minute,
    }
    return tuple(f"{name}={value:g}" for name, value in wanted.items() if value is not None)


def begin_import() -> None:
    """Import the SDK in a thread, which takes half of a start, while the caller checks its plan.

    `open_endpoint` waits for it. An SDK that cannot be imported is told of there.
    """

    def attempt() -> None:
        with suppress(Exception):
            _import_client()

    Thread(target=attempt, name="batchgen-sdk").start()


def _import_client() -> ModuleType:
    """What needs the SDK; only a run that makes calls pays for it."""
    looks_for_garbage = gc.isenabled()  # a program that does not is left as it is
    gc.disable()  # nothing that is imported is garbage
    try:
        return import_module("batchgen.bedrock.client")
    finally:
        if looks_for_garbage:
            gc.enable()


async def _open_route(
    route: Route, connection: Connection, memory: ReplyMemory, stack: AsyncExitStack
) -> OpenRoute:
    """A route that is ready for calls.

    Raises:
        ServiceUnusable: no credentials, an unknown profile or Region, or a role that it
            cannot assume.
    """
    client = await in_thread(_import_client)
    bedrock = await stack.enter_async_context(client.connect(connection, memory))
    service: Service = _Renaming(bedrock, route) if route.models else bedrock
    quotas = partial(quotas_of, connection)
    return OpenRoute(service=service, renew=bedrock.renew, quotas=quotas, route=route)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAttempt:
    """What became of connecting to one route."""

    route: Route
    opened: OpenRoute | None = None
    why: str = ""
    """Why it cannot be used."""
    account: str | None = None
    """Twelve digits; None if not known."""


async def _try_route(
    route: Route, connection: Connection, memory: ReplyMemory, stack: AsyncExitStack
) -> RouteAttempt:
    """As `_open_route`, for one route of several: the others go on without it."""
    try:
        opened = await _open_route(route, connection, memory, stack)
        async with open_account(connection) as account:
            owner = await _account_number(account)
    except (ServiceUnusable, AccountError) as failure:
        advice = failure.advice if isinstance(failure, AccountError) else ""
        why = sentences(f"Route {route.name} cannot be used: {failure}", advice)
        return RouteAttempt(route=route, why=why)
    return RouteAttempt(route=route, opened=opened, account=owner)


async def _account_number(account: Account) -> str | None:
    """Whose credentials they are; None if that cannot be asked.

    Raises:
        AccountError: there are none, or the service refuses them.
    """
    try:
        if (await account.credentials()).api_key:
            return None
        return (await account.identity()).account
    except AccountError as failure:
        if failure.reason in (AccountErrorReason.NO_CREDENTIALS, AccountErrorReason.REFUSED):
            raise
        return None


def _refuse_shared_quotas(job: Job, attempts: Iterable[RouteAttempt]) -> None:
    """Two routes that share one quota would take it from each other.

    Raises:
        JobError: two routes are the same account and Region, with a model in common.
    """
    found = Complaints()
    names = [route.name for route in job.effective_routes]
    for shared in shared_quotas((each.route, each.account) for each in attempts):
        if shared.account is not None:
            number = names.index(shared.route.name)
            found.add(("routes", number), f"{shared.route.name} {shared.text}")
    if found:
        raise found.error(job)


class _Renaming:
    """A service that knows models by other ids than the job."""

    def __init__(self, service: Bedrock, route: Route) -> None:
        self._service = service
        self._route = route

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        return await self._service.invoke(self._route.called(model_id) or model_id, body)
