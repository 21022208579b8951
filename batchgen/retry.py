"""All attempts of one task: made again when the retry policy says so, after a wait with jitter.

The only importer of tenacity.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

import tenacity

from batchgen.attempt import Attempt, Generate, Generation, Made, Make, Substitute
from batchgen.errors import AttemptError
from batchgen.retry_policy import (
    NOT_BILLED,
    RetryBudget,
    RetryPolicy,
    Tries,
    again,
    retryable,
)
from batchgen.task import Task

__all__ = [
    "NOT_BILLED",
    "Made",
    "Make",
    "MakeCall",
    "Retry",
    "RetryBudget",
    "RetryPolicy",
    "Tries",
    "again",
    "never",
    "retryable",
    "retrying",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """One retry that is about to wait, for the log and the progress line."""

    task: Task
    attempt: int
    wait: float
    error: AttemptError


def never(error: AttemptError) -> bool:  # noqa: ARG001 - the shape of `leave`
    """Go on, whatever the refusal."""
    return False


class MakeCall(Protocol):
    """A `Make` that may send something else than the task asks for."""

    async def __call__(
        self,
        task: Task,
        substitute: Substitute | None = None,
        tries: Tries | None = None,
        leave: Callable[[AttemptError], bool] = never,
    ) -> Made:
        """Make one call with all its attempts.

        Args:
            task: what is asked for.
            substitute: what is sent in its place.
            tries: what earlier calls for the task came to; counted on.
            leave: whether to give up after this refusal that was not billed.
        """


def retrying(
    generate: Generate,
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    on_retry: Callable[[Retry], None],
    draw: Callable[[float, float], float] = random.uniform,
    clock: Callable[[], float] = time.monotonic,
) -> MakeCall:
    """Make a task with as many attempts as the policy allows.

    Args:
        generate: one attempt; whatever limits the attempts is inside it, so that a wait here holds
            no slot, no money and no place in a queue.
        policy: what is tried again.
        sleep: waits; may raise `NotStarted` to end the task's attempts.
        on_retry: told of every retry before its wait.
        draw: draws the wait between two bounds in seconds (full jitter).
        clock: seconds, for `max_elapsed`.
    """
    return _Retrying(generate, policy, sleep, on_retry, draw, clock).make


@dataclass(frozen=True, slots=True)
class _Retrying:
    """The parts of `retrying`, and the budget that all tasks of its run share."""

    generate: Generate
    policy: RetryPolicy
    sleep: Callable[[float], Awaitable[None]]
    on_retry: Callable[[Retry], None]
    draw: Callable[[float, float], float]
    clock: Callable[[], float]
    repeats: RetryBudget = field(default_factory=RetryBudget)

    async def make(
        self,
        task: Task,
        substitute: Substitute | None = None,
        tries: Tries | None = None,
        leave: Callable[[AttemptError], bool] = never,
    ) -> Made:
        tries = Tries() if tries is None else tries
        last_start = self.clock() + self.policy.max_elapsed
        retryer = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: self._again(tries, error, leave)),
            stop=lambda _: self.clock() >= last_start,
            wait=lambda state: self.draw(0.0, _bound(self.policy, state.attempt_number)),
            sleep=self.sleep,
            before_sleep=lambda state: self._tell(task, tries, state),
            reraise=True,
        )
        try:
            generation: Generation = await retryer(self._attempt, task, substitute, tries)
        except AttemptError as error:
            return _made(task, substitute, tries, error)
        self.repeats.succeed()
        return _made(task, substitute, tries, generation)

    async def _attempt(self, task: Task, substitute: Substitute | None, tries: Tries) -> Generation:
        number = tries.attempts + 1
        attempt = Attempt(
            task=task,
            number=number,
            maybe_billed=tries.maybe_billed,
            maybe_billed_usd=_maybe_usd(task, substitute, tries),
            substitute=substitute,
            course=tries.course,
        )
        try:
            generation = await self.generate(attempt)
        except AttemptError as error:
            tries.attempts = number
            tries.note(error, attempt.call.price_usd)
            raise
        finally:
            tries.course.sent = False
        tries.attempts = number
        return generation

    def _again(
        self, tries: Tries, error: BaseException, leave: Callable[[AttemptError], bool]
    ) -> bool:
        if isinstance(error, NOT_BILLED) and leave(error):
            return False
        return again(self.policy, tries, error) and self.repeats.allow(error)

    def _tell(self, task: Task, tries: Tries, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, AttemptError):
            wait = state.upcoming_sleep
            self.on_retry(Retry(task=task, attempt=tries.attempts, wait=wait, error=error))


def _bound(policy: RetryPolicy, attempt: int) -> float:
    """Most seconds to wait after this attempt (1-based): exponential, capped."""
    return min(policy.wait_most, policy.wait_first * 2.0 ** min(attempt - 1, 30))


def _made(
    task: Task,
    substitute: Substitute | None,
    tries: Tries,
    outcome: Generation | AttemptError,
) -> Made:
    return Made(
        task=task,
        attempts=tries.attempts,
        maybe_billed=tries.maybe_billed,
        maybe_billed_usd=_maybe_usd(task, substitute, tries),
        substitute=substitute,
        generation=outcome if isinstance(outcome, Generation) else None,
        error=outcome if isinstance(outcome, AttemptError) else None,
    )


def _maybe_usd(task: Task, substitute: Substitute | None, tries: Tries) -> Decimal | None:
    """What may have been billed; None where each try may have cost what the task does."""
    alike = tries.maybe_usd == tries.maybe_billed * (task.price_usd or 0)
    return None if substitute is None and alike else tries.maybe_usd
