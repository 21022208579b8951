"""Connect to each route of a job, and find out whose account it is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from batchgen.bedrock.account import Account, open_account, quotas_of
from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.client import Bedrock, connect
from batchgen.bedrock.routes import Answer, OpenRoute, Service
from batchgen.bedrock.session import Connection
from batchgen.errors import ServiceUnusable
from batchgen.job import Complaints, Job, Route, overlap, same_quota
from batchgen.plan import error

SPARE_CONNECTIONS = 8
"""Connections beyond the calls in flight, so that none waits for one that is just closing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAttempt:
    """What became of connecting to one route."""

    route: Route
    opened: OpenRoute | None = None
    why: str = ""
    """Why it cannot be used."""
    account: str | None = None
    """Twelve digits; None where nobody tells."""


def connection_of(route: Route, url: str | None, calls_in_flight: int) -> Connection:
    """Where the calls of a route go."""
    return Connection(
        region=route.region or "",
        url=url,
        calls_in_flight=calls_in_flight + SPARE_CONNECTIONS,
        profile=route.profile,
        role=route.role,
    )


async def open_route(route: Route, connection: Connection, stack: AsyncExitStack) -> OpenRoute:
    """A route that is ready for calls.

    Raises:
        ServiceUnusable: no credentials, an unknown profile or Region, or a role that it
            cannot assume.
    """
    bedrock = await stack.enter_async_context(connect(connection))
    service: Service = _Renaming(bedrock, route) if route.models else bedrock
    asked = partial(quotas_of, connection)
    return OpenRoute(service=service, renew=bedrock.renew, quotas=asked, route=route)


async def try_route(route: Route, connection: Connection, stack: AsyncExitStack) -> RouteAttempt:
    """As `open_route`, for one route of several: the others go on without it."""
    try:
        opened = await open_route(route, connection, stack)
        async with open_account(connection) as account:
            owner = await _account(account)
    except (ServiceUnusable, AccountError) as failure:
        advice = failure.advice if isinstance(failure, AccountError) else ""
        why = f"Route {route.name} cannot be used: {failure} {advice}".strip()
        return RouteAttempt(route=route, why=why)
    return RouteAttempt(route=route, opened=opened, account=owner)


async def _account(account: Account) -> str | None:
    """Whose credentials they are; None where nobody tells.

    Raises:
        Unanswered: there are none, or the service refuses them.
    """
    try:
        if (await account.credentials()).api_key:
            return None
        return (await account.identity()).account
    except AccountError as failure:
        if failure.reason in (AccountErrorReason.NO_CREDENTIALS, AccountErrorReason.REFUSED):
            raise
        return None


def refuse_twins(job: Job, routes: Iterable[RouteAttempt]) -> None:
    """Two routes that share one quota would take it from each other.

    Raises:
        JobError: two routes are the same account and Region, with a model in common.
    """
    found = Complaints()
    seen: list[RouteAttempt] = []
    for each in routes:
        for other in seen:
            known = each.account is not None and each.account == other.account
            if known and _is_one(each.route, other.route):
                number = [route.name for route in job.ways].index(each.route.name)
                which = same_quota(f"{other.route.name} (account {each.account})")
                found.add(("routes", number), f"{each.route.name} {which}")
        seen.append(each)
    if found:
        raise error(job, found)


def _is_one(route: Route, other: Route) -> bool:
    return route.region == other.region and overlap(route, other)


class _Renaming:
    """A service that knows models by other ids than the job."""

    def __init__(self, service: Bedrock, route: Route) -> None:
        self._service = service
        self._route = route

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        return await self._service.invoke(self._route.called(model_id) or model_id, body)
