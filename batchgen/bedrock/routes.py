"""What a job calls, opened: its routes, each with a service that is ready for calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from batchgen.job import Job, Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of one HTTP 200, as it came."""

    body: bytes
    request_id: str | None
    latency_ms: int


class Service(Protocol):
    """What makes the call: `bedrock.Bedrock`, or a fake in a test."""

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One InvokeModel, one POST; raises `errors.AttemptError`."""


AskQuotas = Callable[[Iterable[str]], Awaitable[Mapping[str, float | None]]]
"""From model ids to calls a minute; None where nobody can tell, 0 for an account without any."""


async def nobody_can_tell(model_ids: Iterable[str]) -> Mapping[str, float | None]:
    """For a service that has no quotas to ask for."""
    return dict.fromkeys(model_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A route whose service is ready for calls."""

    service: Service
    renew: Callable[[], Awaitable[bool]]
    """Reads credentials anew; False if only a person can change them."""
    quotas: AskQuotas = nobody_can_tell
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
"""From a job and the most calls in flight on a route to its endpoint; `endpoint.opened`, or a fake
in a test."""
