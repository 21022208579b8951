"""All attempts of one task: made again when the retry policy says so, after a wait with jitter.

The only importer of tenacity.
"""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

import tenacity

from batchgen.attempt import (
    Attempt,
    AttemptState,
    Failed,
    Generate,
    Generation,
    Outcome,
    Sent,
    Substitute,
    Succeeded,
)
from batchgen.errors import (
    Ambiguous,
    AnswerLost,
    AttemptError,
    CredentialsRefused,
    NeverSent,
    RouteDenied,
    ServiceFault,
    Throttled,
    Unavailable,
    UnusableReply,
)
from batchgen.task import Task

NOT_BILLED = (Throttled, Unavailable, NeverSent, CredentialsRefused, RouteDenied)
"""Attempts that surely cost nothing and say nothing about the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long one task is tried."""

    attempts: int = 3
    """Most attempts that count; throttled and unsent ones do not."""
    max_elapsed: float = 1800.0
    """Seconds from the start of the first attempt after which a failed one is the last."""
    ambiguous: bool = True
    """Whether a call that may have been billed is made again at all."""
    lost_again: int = 1
    """How often a call whose answer was lost or unusable is made again."""
    wait_first: float = 1.0
    """Upper bound in seconds of the first wait; each further one doubles it."""
    wait_most: float = 60.0


class RetryBudget:
    """How many repeats of calls that may have been billed a whole run bears, as AWS SDKs have it.

    A service that fails most calls would otherwise be paid several times for nothing: each repeat
    takes tokens, each success gives one back, and without tokens a failed call is not repeated.
    """

    CAPACITY = 500
    COST = 5
    """Tokens of one repeat."""

    def __init__(self) -> None:
        self._tokens = self.CAPACITY

    def allow(self, error: BaseException) -> bool:
        """Take the tokens of one repeat; False if they are used up. What is not billed is free."""
        if isinstance(error, NOT_BILLED):
            return True
        if self._tokens < self.COST:
            return False
        self._tokens -= self.COST
        return True

    def succeed(self) -> None:
        """A call brought an image."""
        self._tokens = min(self.CAPACITY, self._tokens + 1)


@dataclass(slots=True)
class AttemptCounts:
    """What the attempts at one task came to so far, whatever was sent for it."""

    attempts: int = 0
    counted: int = 0
    lost: int = 0
    faults: int = 0
    refused: int = 0
    """Refusals by moderation that may have been billed and were followed by another try."""
    maybe_billed_usd: Decimal = Decimal(0)
    """What all that may have cost, where the price is known."""
    state: AttemptState = field(default_factory=AttemptState)
    """Of the present attempt."""
    sent: Sent | None = None
    """When and where the last attempt was sent; None if it never was."""

    @property
    def maybe_billed(self) -> int:
        """Attempts that may have been billed without bringing an image."""
        return self.lost + self.faults + self.refused

    @contextmanager
    def attempt(self, task: Task, substitute: Substitute | None) -> Iterator[Attempt]:
        """The next attempt at the task; what becomes of it in the body is counted."""
        attempt = Attempt(
            task=task,
            number=self.attempts + 1,
            maybe_billed=self.maybe_billed,
            maybe_billed_usd=self.maybe_billed_usd,
            substitute=substitute,
            state=self.state,
        )
        try:
            yield attempt
        except AttemptError as error:
            self.attempts = attempt.number
            self.note(error, attempt.call.price_usd)
            raise
        else:
            self.attempts = attempt.number
        finally:
            self.sent, self.state.sent = self.state.sent, None
            if self.sent is not None:  # after renewed credentials there is one more
                self.attempts = max(self.attempts, self.sent.number)

    def note(self, error: AttemptError, price: Decimal | None) -> None:
        """Count one failed attempt at a call of this price."""
        if not isinstance(error, NOT_BILLED):
            self.counted += 1
        if isinstance(error, AnswerLost | UnusableReply):
            self.lost += 1
        elif isinstance(error, ServiceFault):
            self.faults += 1
        if isinstance(error, Ambiguous):
            self.maybe_billed_usd += price or 0

    def set_aside(self, price: Decimal | None) -> None:
        """Count a refusal by moderation that may have been billed, for another try follows."""
        self.refused += 1
        self.maybe_billed_usd += price or 0


def should_retry(policy: RetryPolicy, counts: AttemptCounts, error: BaseException) -> bool:
    """Whether a task whose last attempt failed like this is tried again; it is counted already."""
    if isinstance(error, NOT_BILLED):
        return True
    if not isinstance(error, Ambiguous) or not policy.ambiguous:
        return False
    if counts.counted >= policy.attempts:
        return False
    return isinstance(error, ServiceFault) or counts.lost <= policy.lost_again


def retryable(error: AttemptError) -> bool:
    """Whether a later run of the same job may succeed where this one gave up."""
    return isinstance(error, (*NOT_BILLED, Ambiguous))


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


class RunCall(Protocol):
    """A `RunTask` that may send something else than the task asks for."""

    async def __call__(
        self,
        task: Task,
        substitute: Substitute | None = None,
        counts: AttemptCounts | None = None,
        leave: Callable[[AttemptError], bool] = never,
    ) -> Outcome:
        """Make one call with all its attempts.

        Args:
            task: what is asked for.
            substitute: what is sent in its place.
            counts: what earlier calls for the task came to; counted on.
            leave: whether to give up after this refusal that was not billed.
        """


def with_retry(
    generate: Generate,
    policy: RetryPolicy,
    *,
    sleep: Callable[[float], Awaitable[None]],
    on_retry: Callable[[Retry], None],
    draw: Callable[[float, float], float] = random.uniform,
    clock: Callable[[], float] = time.monotonic,
) -> RunCall:
    """Make a call with as many attempts as the policy allows.

    Args:
        generate: one attempt; whatever limits the attempts is inside it, so that a wait here holds
            no slot, no money and no place in a queue.
        policy: what is tried again.
        sleep: waits; may raise `NotStarted` to end the task's attempts.
        on_retry: told of every retry before its wait.
        draw: draws the wait between two bounds in seconds (full jitter).
        clock: seconds, for `max_elapsed`.
    """
    budget = RetryBudget()

    async def run_call(
        task: Task,
        substitute: Substitute | None = None,
        counts: AttemptCounts | None = None,
        leave: Callable[[AttemptError], bool] = never,
    ) -> Outcome:
        counts = AttemptCounts() if counts is None else counts
        last_start = clock() + policy.max_elapsed

        async def make() -> Generation:
            with counts.attempt(task, substitute) as attempt:
                return await generate(attempt)

        try:
            try:
                with counts.attempt(task, substitute) as attempt:
                    generation = await generate(attempt)
            except AttemptError as error:
                repeats = _Repeats(policy, budget, task, counts, leave, on_retry)
                trials = tenacity.AsyncRetrying(
                    retry=tenacity.retry_if_exception(repeats.follow),
                    stop=lambda _: clock() >= last_start,
                    wait=lambda state: draw(0.0, _bound(policy, state.attempt_number)),
                    sleep=sleep,
                    before_sleep=repeats.announce,
                    reraise=True,
                )
                generation = await _made_again(make, error, trials)
        except AttemptError as error:
            _let_go(error)
            return Failed(**_figures(task, substitute, counts), error=error)
        budget.succeed()
        return Succeeded(**_figures(task, substitute, counts), generation=generation)

    return run_call


@dataclass(frozen=True, slots=True)
class _Repeats:
    """Whether attempts at one call follow one that failed, and who is told."""

    policy: RetryPolicy
    budget: RetryBudget
    task: Task
    counts: AttemptCounts
    leave: Callable[[AttemptError], bool]
    on_retry: Callable[[Retry], None]

    def follow(self, error: BaseException) -> bool:
        """Whether another attempt follows this error."""
        if isinstance(error, NOT_BILLED) and self.leave(error):
            return False
        return should_retry(self.policy, self.counts, error) and self.budget.allow(error)

    def announce(self, state: tenacity.RetryCallState) -> None:
        """Tell of the next attempt before its wait."""
        error = state.outcome.exception() if state.outcome else None
        _let_go(error)
        if isinstance(error, AttemptError):
            wait, number = state.upcoming_sleep, self.counts.attempts
            self.on_retry(Retry(task=self.task, attempt=number, wait=wait, error=error))


async def _made_again(
    make: Callable[[], Awaitable[Generation]], failed: AttemptError, trials: tenacity.AsyncRetrying
) -> Generation:
    """What comes of the attempts after one that failed, which is the first of the trials.

    Most calls need none of this, which takes longer than all other policies together.
    """
    first = iter((failed,))
    async for trial in trials:
        with trial:
            for error in first:
                raise error
            generation = await make()
    return generation


def _let_go(error: BaseException | None) -> None:
    """Free what an unusable reply held, if the error is one.

    It is kept until the next attempt, a minute later, or until its task is on record and its circle
    of frames is collected as garbage. A thousand of them would be 2 GB, in their bodies and in the
    locals of frames that met them.
    """
    if not isinstance(error, UnusableReply):
        return
    error.body = b""
    passed: BaseException | None = error
    while passed is not None:
        traceback.clear_frames(passed.__traceback__)
        passed = passed.__cause__ or passed.__context__


def _bound(policy: RetryPolicy, attempt: int) -> float:
    """Most seconds to wait after this attempt (1-based): exponential, capped."""
    return min(policy.wait_most, policy.wait_first * 2.0 ** min(attempt - 1, 30))


def _figures(task: Task, substitute: Substitute | None, counts: AttemptCounts) -> dict[str, Any]:
    return {
        "task": task,
        "attempts": counts.attempts,
        "maybe_billed": counts.maybe_billed,
        "maybe_billed_usd": counts.maybe_billed_usd,
        "substitute": substitute,
        "sent": counts.sent,
    }
