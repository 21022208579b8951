"""The seam between the policies and the call: one attempt of one task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from batchgen.errors import AttemptError
from batchgen.record import Served, StoredImage
from batchgen.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """What is sent in place of what a task asks for."""

    call: Task
    """The task as it is sent: another model, seed or prompt, and the id that belongs to them."""
    reason: str
    """As in `record.Served`."""


def served_by(substitute: Substitute | None) -> Served | None:
    """What the manifest says of a substitute."""
    if substitute is None:
        return None
    call = substitute.call
    return Served(
        reason=substitute.reason,
        model_id=call.model_id,
        seed=call.seed,
        request=dict(call.request),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an attempt goes."""

    region: str
    route: str | None = None
    """None for a job without routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """When and where an attempt was sent."""

    at: datetime
    """UTC."""
    target: Target
    number: int = 1
    """Of the attempt, within the run."""


@dataclass(slots=True)
class AttemptState:
    """How far an attempt is: one that was not sent can still be withdrawn, at no cost."""

    sent: Sent | None = None
    """Set just before its line is written; None while it waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a task."""

    task: Task
    number: int
    """1-based within the run."""
    maybe_billed: int = 0
    """Earlier tries in this run that may have been billed."""
    maybe_billed_usd: Decimal = Decimal(0)
    """What these may have cost."""
    substitute: Substitute | None = None
    state: AttemptState = field(default_factory=AttemptState, compare=False)
    turn: asyncio.Future[None] | None = field(default=None, compare=False)
    """The balancer's, which sends the next attempt to a route when this one has its turn there."""

    @property
    def call(self) -> Task:
        """What is sent, and what it costs."""
        return self.task if self.substitute is None else self.substitute.call

    def again(self) -> Attempt:
        """The same call once more, as an attempt with a number of its own."""
        return replace(self, number=self.number + 1)

    def begin(self) -> None:
        """It has its turn of the quota: nothing but the disk can hold it up now."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one successful attempt made."""

    images: tuple[StoredImage, ...]
    finish_reasons: tuple[str | None, ...]
    request_id: str | None
    latency_ms: int


Generate = Callable[[Attempt], Awaitable[Generation]]
"""The seam: one attempt, no retry, no waiting. Every policy wraps it and is one again.

Raises `errors.AttemptError` for an attempt without an image, `errors.StorageError` if the image
came and could not be stored, `errors.NotStarted` if the run stops before the call was sent.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskOutcome:
    """What became of one task after all its attempts."""

    task: Task
    attempts: int
    maybe_billed: int
    maybe_billed_usd: Decimal
    """What these may have cost."""
    substitute: Substitute | None = None
    """What the last attempt sent in place of what the task asks for."""
    sent: Sent | None = None
    """When and where the last attempt was sent; None if it never was."""

    @property
    def call(self) -> Task:
        """What the last attempt sent."""
        return self.task if self.substitute is None else self.substitute.call


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded(_TaskOutcome):
    """The task has its image."""

    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(_TaskOutcome):
    """No attempt brought an image we keep; moderation's refusals are among these."""

    error: AttemptError
    """Of the last attempt."""


Outcome = Succeeded | Failed

RunTask = Callable[[Task], Awaitable[Outcome]]
"""All attempts of one task. Raises `NotStarted` and `StorageError`; other errors are values."""
