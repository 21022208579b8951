"""The seam between the policies and the call: one attempt of one task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from batchgen.errors import AttemptError, Target
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


@dataclass(slots=True)
class AttemptState:
    """How far an attempt is: one that was not sent can still be called back, at no cost."""

    sent: bool = False
    """It is on record and about to be sent, or was."""
    withdrawn: bool = False
    """It was cancelled before it was sent, and never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a task."""

    task: Task
    number: int
    """1-based within the run."""
    maybe_billed: int = 0
    """Earlier tries in this run that may have been billed."""
    maybe_billed_usd: Decimal | None = None
    """What these may have cost; None where each may have cost what this call does."""
    substitute: Substitute | None = None
    course: AttemptState = field(default_factory=AttemptState, compare=False)

    @property
    def call(self) -> Task:
        """What is sent, and what it costs."""
        return self.task if self.substitute is None else self.substitute.call


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What one successful attempt made."""

    images: tuple[StoredImage, ...]
    finish_reasons: tuple[str | None, ...]
    request_id: str | None
    started_at: datetime
    latency_ms: int
    place: Target | None = None
    """Set by whoever announced the attempt."""


Generate = Callable[[Attempt], Awaitable[Generation]]
"""The seam: one attempt, no retry, no waiting. Every policy wraps it and is one again.

Raises `errors.AttemptError` for an attempt without an image, `errors.StorageError` if the image
came and could not be stored, `errors.NotStarted` if the run stops before the call was sent.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one task after all its attempts: a generation or the last error."""

    task: Task
    attempts: int
    maybe_billed: int
    maybe_billed_usd: Decimal | None = None
    """What these may have cost; None where each may have cost what the last call does."""
    substitute: Substitute | None = None
    """What the last attempt sent in place of what the task asks for."""
    generation: Generation | None = None
    error: AttemptError | None = None

    @property
    def call(self) -> Task:
        """What the last attempt sent."""
        return self.task if self.substitute is None else self.substitute.call


RunTask = Callable[[Task], Awaitable[Outcome]]
"""All attempts of one task. Raises `NotStarted` and `StorageError`; other errors are values."""
