"""What a job calls, opened: its routes, each with a service that is ready for calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

from batchgen.job import Job, Route, overlap, same_quota


def _nothing() -> None:
    """What an answer whose memory nobody counts has to release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of one HTTP 200, as it came."""

    body: bytes
    request_id: str | None
    latency_ms: int
    """From the request to the end of the answer, without the time that we let it wait."""
    release: Callable[[], None] = _nothing
    """To be called when the body is needed no more: other answers wait for the memory it takes."""


class Service(Protocol):
    """What makes the call: `client.Bedrock`, or a fake in a test."""

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One InvokeModel, one POST; raises `errors.AttemptError`."""


AskQuotas = Callable[[Iterable[str]], Awaitable[Mapping[str, float | None]]]
"""From model ids to calls a minute; None if not known, 0 for an account that may make none."""


async def unknown_quotas(model_ids: Iterable[str]) -> Mapping[str, float | None]:
    """For a service that has no quotas to ask for."""
    return dict.fromkeys(model_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A route whose service is ready for calls."""

    service: Service
    renew: Callable[[], Awaitable[bool]]
    """Reads credentials anew; False if only a person can change them."""
    quotas: AskQuotas = unknown_quotas
    """Asked by the ids that models have on this route."""
    route: Route = field(default_factory=Route)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """What a job calls, with every route that can be used."""

    routes: tuple[OpenRoute, ...]
    """At least one."""
    notices: tuple[str, ...] = ()
    """About routes that cannot be used."""


Open = Callable[[Job, int], AbstractAsyncContextManager[Endpoint]]
"""From a job and the most calls in flight on a route to its endpoint: `open_endpoint`, or a fake in
a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedQuota:
    """Two routes of one Region that call a model in common."""

    route: Route
    other: Route
    """The one that the job names first."""
    account: str | None
    """Whose both are; None if it is not known that they are of one account."""

    @property
    def text(self) -> str:
        """What is wrong with the second route, if the account is known."""
        return same_quota(f"{self.other.name} (account {self.account})")


def shared_quotas(owned: Iterable[tuple[Route, str | None]]) -> Iterator[SharedQuota]:
    """Every pair of routes that take calls from one quota, or may do so.

    Args:
        owned: routes in the order of the job, each with its account where that is known.
    """
    for (other, its), (route, account) in combinations(owned, 2):
        if route.region != other.region or not overlap(route, other):
            continue
        if None in (its, account) or its == account:
            known = account if its == account else None
            yield SharedQuota(route=route, other=other, account=known)
