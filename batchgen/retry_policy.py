"""Which failed attempts are made again, and how often.

What an attempt *was* the errors say; what to *do* is decided here:

error                      retried                                   counts as an attempt
Throttled, Unavailable     until `max_elapsed`                       no: not the task's fault
NeverSent                  until `max_elapsed`                       no: nothing reached the service
CredentialsRefused         until `max_elapsed`                       no: renewed elsewhere
RouteDenied                until `max_elapsed`                       no: another route may serve it
AnswerLost, UnusableReply  `lost_again` times, unless told not to    yes: may have been paid for
ServiceFault               `fault_again` times, unless told not to   yes: may have been paid for
everything else            never

All tasks of a run share one `RetryBudget` for the repeats of what may have been paid for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from batchgen.attempt import Course
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

NOT_BILLED = (Throttled, Unavailable, NeverSent, CredentialsRefused, RouteDenied)
"""Attempts that surely cost nothing and say nothing about the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long one task is tried."""

    attempts: int = 6
    """Most attempts that count; throttled and unsent ones do not."""
    max_elapsed: float = 1800.0
    """Seconds from the start of the first attempt after which a failed one is the last."""
    ambiguous: bool = True
    """Whether a call that may have been billed is made again at all."""
    lost_again: int = 1
    """How often a call whose answer was lost or unusable is made again."""
    fault_again: int = 2
    """How often a call that the service says it failed is made again."""
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
class Tries:
    """What the attempts at one task came to so far, whatever was sent for it."""

    attempts: int = 0
    counted: int = 0
    lost: int = 0
    faults: int = 0
    refused: int = 0
    """Refusals by moderation that may have been billed and were followed by another try."""
    maybe_usd: Decimal = Decimal(0)
    """What all that may have cost, where the price is known."""
    course: Course = field(default_factory=Course)
    """Of the present attempt."""

    @property
    def maybe_billed(self) -> int:
        """Attempts that may have been billed without bringing an image."""
        return self.lost + self.faults + self.refused

    def note(self, error: AttemptError, price: Decimal | None) -> None:
        """Count one failed attempt at a call of this price."""
        if not isinstance(error, NOT_BILLED):
            self.counted += 1
        if isinstance(error, AnswerLost | UnusableReply):
            self.lost += 1
        elif isinstance(error, ServiceFault):
            self.faults += 1
        if isinstance(error, Ambiguous):
            self.maybe_usd += price or 0

    def set_aside(self, price: Decimal | None) -> None:
        """Count a refusal by moderation that may have been billed, for another try follows."""
        self.refused += 1
        self.maybe_usd += price or 0


def again(policy: RetryPolicy, tries: Tries, error: BaseException) -> bool:
    """Whether a task whose last attempt failed like this is tried again; `tries` has counted it."""
    if isinstance(error, NOT_BILLED):
        return True
    if not isinstance(error, Ambiguous) or not policy.ambiguous:
        return False
    if tries.counted >= policy.attempts:
        return False
    if isinstance(error, ServiceFault):
        return tries.faults <= policy.fault_again
    return tries.lost <= policy.lost_again


def retryable(error: AttemptError) -> bool:
    """Whether a later run of the same job may succeed where this one gave up."""
    return isinstance(error, (*NOT_BILLED, Ambiguous))
