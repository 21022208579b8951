"""When an attempt may start: the quota's rate and the places in flight, first come first served.

Invariant: an attempt holds a place from the moment it may start until its outcome is known.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

from batchgen import errors
from batchgen.pacing.estimator import Estimator
from batchgen.pacing.shared_limit import SharedLimit
from batchgen.pacing.window import Call

Attempt = TypeVar("Attempt")
Outcome = TypeVar("Outcome")

RETRY_AFTER_MOST = 300.0
"""Seconds that a service may ask to wait; some proxies ask for a day."""
_DUE_S = 1e-6
"""A turn that is due within this time is due: below what clocks and floats tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the user knows and wants of one quota: one model in one Region of one account."""

    requests_per_minute: float | None = None
    """The quota, more than 0; None where nobody knows it and the pacer is to find it."""
    concurrency: int = 8
    """Calls in flight at most, whatever the quota allows; at least 1."""
    proven_per_minute: float | None = None
    """What an earlier run proved; where no quota is given, the search begins there."""

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "proven_per_minute"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError(f"{name} is {rate}: give more than 0, or None if nobody knows it")
        if self.concurrency < 1:
            raise ValueError(f"concurrency is {self.concurrency}: give at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The right to make one attempt now."""

    number: int
    """1, 2, 3 in the order of starting."""
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceState:
    """What a pacer does at one instant, for people and for the manifest."""

    phase: str
    """What the pacer is at, in a few words."""
    allowed_per_minute: float | None
    """The rate that calls may start at; None while the quota is unknown and none was refused."""
    reached_per_minute: int
    """Calls that started in the last 60 s and were not refused."""
    quota_per_minute: float | None
    """The quota that was given, else the rate allowed; None while unknown."""
    in_flight: int
    waiting: int
    """Attempts that wait for their turn."""
    concurrency: int
    """Calls that may be in flight now."""
    started: int
    throttled: int
    """Attempts that the quota refused (429)."""
    unavailable: int
    """Attempts that the service had no capacity for (503, not ready)."""
    starting_per_minute: float | None = None
    """The rate of these calls over the time in which calls could start: neither what was before the
    first one counts, nor what came after the last. None: as `reached_per_minute`."""
    proven_per_minute: float | None = None
    """The highest level that was kept up; None while there is none, or if a quota was given."""
    reason: str | None = None
    """Why calls start more slowly than the quota that was given allows; None if they do not."""
    next_start_s: float = 0.0
    """Seconds until the next call may start; infinite while no place in flight is free."""

    @property
    def used_per_minute(self) -> float:
        """The rate at which calls started while they could."""
        rate = self.starting_per_minute
        return self.reached_per_minute if rate is None else rate

    @property
    def quota_share(self) -> float | None:
        """Rate used of the quota; None while that is unknown."""
        quota = self.quota_per_minute
        return None if quota is None else self.used_per_minute / quota


class Pacer:
    """Hands out turns to make one attempt; one pacer for each quota, in one event loop."""

    def __init__(
        self,
        pace: Pace,
        *,
        limit: SharedLimit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Pace the calls of one quota.

        Args:
            pace: of this quota.
            limit: of calls in flight, shared with the pacers of other quotas.
            clock: seconds.
        """
        self._clock = clock
        self._limit = SharedLimit(pace.concurrency) if limit is None else limit
        self._not_before = -math.inf
        self._pace = pace
        self._estimator = Estimator(
            pace.requests_per_minute, pace.concurrency, pace.proven_per_minute
        )
        self._waiters: deque[asyncio.Future[Call]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._started = 0
        self._throttled = 0
        self._unavailable = 0

    def slot(self) -> AbstractAsyncContextManager[Slot]:
        """Wait for a turn and hold a place until the body ends; its error is the outcome.

        `Throttled` tells of the quota, `Unavailable` of capacity; `NeverSent` and `NotStarted` say
        that the quota was not touched. Everything else counts as a call that the quota admitted, a
        cancelled one too: the service goes on with it.

        Raises:
            NotStarted: the pacer was stopped.
        """
        return _Turn(self._turn, self._end, self._clock)

    def remember(self, proven_per_minute: float) -> None:
        """An earlier run proved this rate: begin there, if no call has started yet."""
        if not self._started and not self._waiters:
            self._estimator = Estimator(
                self._pace.requests_per_minute, self._pace.concurrency, proven_per_minute
            )

    def stop(self) -> None:
        """Give no more turns: all who wait and all who come get `NotStarted`. Calls go on."""
        self._stopped = True
        self._cancel_timer()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(_not_started())

    def state(self) -> PaceState:
        """How things stand now."""
        now = self._clock()
        return PaceState(
            phase="stopped" if self._stopped else self._estimator.phase,
            allowed_per_minute=self._estimator.allowed_per_minute(),
            reached_per_minute=self._estimator.reached_per_minute(now),
            starting_per_minute=self._estimator.starting_per_minute(
                now, waiting=bool(self._waiters)
            ),
            quota_per_minute=self._estimator.quota_per_minute(),
            in_flight=self._estimator.in_flight,
            waiting=len(self._waiters),
            concurrency=self._estimator.concurrency,
            started=self._started,
            throttled=self._throttled,
            unavailable=self._unavailable,
            proven_per_minute=self._estimator.proven_per_minute(),
            reason=None if self._stopped else self._estimator.reason(),
            next_start_s=max(0.0, self._next_start(now) - now),
        )

    def ready_in(self) -> float:
        """Seconds until an attempt that came now could start.

        Infinite once stopped, where others wait already, and while no place in flight is free: then
        an attempt that ends tells.
        """
        if self._stopped or self._waiters or self._limit.is_full:
            return math.inf
        now = self._clock()
        return max(0.0, self._next_start(now) - now)

    def _next_start(self, now: float) -> float:
        return max(self._estimator.next_start(now), self._not_before)

    async def _turn(self) -> Call:
        if self._stopped:
            raise _not_started()
        waiter: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if len(self._waiters) == 1:
            self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: asyncio.Future[Call]) -> None:
        """A waiter was cancelled: its turn, had or to come, goes to the next."""
        if waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._hand_out()
        elif waiter.exception() is None:
            self._started -= 1
            self._end(waiter.result(), _not_started())

    def _hand_out(self) -> None:
        """Give every turn that is due; wake up when the next one will be."""
        self._cancel_timer()
        while self._waiters:
            if self._limit.is_full:
                self._limit.wait(self._hand_out)
                return
            now = self._clock()
            wait = self._next_start(now) - now
            if wait > _DUE_S:
                if wait < math.inf:
                    self._timer = asyncio.get_running_loop().call_later(wait, self._hand_out)
                return
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._started += 1
                self._limit.take()
                waiter.set_result(self._estimator.start(now))

    def _end(self, call: Call, outcome: BaseException | None) -> None:
        now = self._clock()
        match outcome:
            case errors.Throttled():
                self._throttled += 1
                self._estimator.throttled(call, now)
            case errors.NeverSent() | errors.NotStarted():
                self._estimator.unsent(call, now)
            case errors.Unavailable():
                self._unavailable += 1
                self._estimator.unavailable(call, now)
            case _:
                self._estimator.admitted(call, now)
        if isinstance(outcome, errors.AttemptError) and outcome.retry_after is not None:
            self._not_before = now + min(outcome.retry_after, RETRY_AFTER_MOST)
        self._limit.give_back()
        if not self._stopped:
            self._hand_out()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Turn:
    """What `Pacer.slot` gives; a generator in its place takes longer than all that is done here."""

    def __init__(
        self,
        take: Callable[[], Awaitable[Call]],
        end: Callable[[Call, BaseException | None], None],
        clock: Callable[[], float],
    ) -> None:
        self._take, self._end, self._clock = take, end, clock

    async def __aenter__(self) -> Slot:
        asked_at = self._clock()
        self._call = call = await self._take()
        return Slot(number=call.number, waited_s=call.started_at - asked_at)

    async def __aexit__(self, kind: object, outcome: BaseException | None, trace: object) -> None:
        self._end(self._call, outcome)


def paced(
    generate: Callable[[Attempt], Awaitable[Outcome]], pacer: Pacer
) -> Callable[[Attempt], Awaitable[Outcome]]:
    """`generate`, each attempt of which waits for its turn and tells the pacer of its outcome."""

    async def generate_when_due(attempt: Attempt) -> Outcome:
        async with pacer.slot():
            return await generate(attempt)

    return generate_when_due


def _not_started() -> errors.NotStarted:
    return errors.NotStarted("The run is stopping: this call was not started.")
