"""Which calls pass: a meter and a count of calls in flight for each account's model.

AWS does not say how it meters requests a minute, so there are three ways; a client must bear all.
A meter is told the time, in seconds that only grow, and answers whether one more call may pass.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .clock import Clock
    from .families.base import Model
    from .options import Options, Step

MINUTE = 60.0
_ROUNDING = 1e-9
"""Sixty sixtieths need not add up to one in floating point."""


class Meter(Protocol):
    """The quota of one model, account and Region."""

    def admit(self, now: float) -> bool:
        """Whether a call at `now` passes; if it does, it has used up its part of the quota."""

    def retune(self, rpm: float, now: float) -> None:
        """Go on with another number of requests a minute."""


class TokenBucket:
    """Fills at `rpm` a minute up to its capacity; a call takes one out."""

    def __init__(
        self, rpm: float, *, capacity: int | None = None, count_rejected: bool = False
    ) -> None:
        self._rpm = rpm
        self._fixed = capacity
        self._count_rejected = count_rejected
        self._level = float(self._capacity)
        self._seen: float | None = None

    @property
    def _capacity(self) -> float:
        if self._fixed is not None:
            return self._fixed
        # Less than one call a minute would otherwise never fill up to a whole call.
        return max(self._rpm, 1) if self._rpm else 0

    def admit(self, now: float) -> bool:
        """Whether a call at `now` passes."""
        self._fill(now)
        if self._level >= 1 - _ROUNDING:
            self._level = max(self._level - 1, 0)
            return True
        if self._count_rejected:
            self._level = 0
        return False

    def retune(self, rpm: float, now: float) -> None:
        """Go on with another number of requests a minute."""
        self._fill(now)
        self._rpm = rpm
        self._level = min(self._level, self._capacity)

    def _fill(self, now: float) -> None:
        passed = 0 if self._seen is None else now - self._seen
        self._level = min(self._capacity, self._level + passed * self._rpm / MINUTE)
        self._seen = now


class FixedMinute:
    """Counts anew with each minute of the clock."""

    def __init__(self, rpm: float, *, count_rejected: bool = False) -> None:
        self._rpm = rpm
        self._count_rejected = count_rejected
        self._minute: int | None = None
        self._used = 0

    def admit(self, now: float) -> bool:
        """Whether a call at `now` passes."""
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        passes = self._used < self._rpm
        if passes or self._count_rejected:
            self._used += 1
        return passes

    def retune(self, rpm: float, now: float) -> None:  # noqa: ARG002 - the shape of a meter
        """Go on with another number of requests a minute."""
        self._rpm = rpm


class SlidingMinute:
    """Counts the calls of the last sixty seconds, at every moment."""

    def __init__(self, rpm: float, *, count_rejected: bool = False) -> None:
        self._rpm = rpm
        self._count_rejected = count_rejected
        self._counted: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Whether a call at `now` passes."""
        while self._counted and self._counted[0] <= now - MINUTE + _ROUNDING:
            self._counted.popleft()
        passes = len(self._counted) < self._rpm
        if passes or self._count_rejected:
            self._counted.append(now)
        return passes

    def retune(self, rpm: float, now: float) -> None:  # noqa: ARG002 - the shape of a meter
        """Go on with another number of requests a minute."""
        self._rpm = rpm


Key = tuple[str, str, str]
"""Account, Region and model id: what AWS has one quota for."""


class Quotas:
    """The quotas of all accounts."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._started = clock.monotonic()
        self._own = dict(options.quota)
        self._meters: dict[Key, tuple[float, Meter]] = {}
        """Each with the time until which its steps were taken."""
        self._in_flight: Counter[Key] = Counter()

    def rpm(self, model: Model) -> float:
        """Requests a minute of this model, now."""
        value = self._first(model)
        for step in self._steps_between(model, -math.inf, self._elapsed()):
            value = step.rpm
        return value

    @contextmanager
    def slot(self, account: str, region: str, model: Model) -> Iterator[None]:
        """Pass the quota and count as in flight.

        Raises:
            Refused: `ThrottlingException`.
        """
        key = (account, region, model.id)
        most = self._options.max_concurrent
        if most is not None and self._in_flight[key] >= most:
            raise Refused("ThrottlingException")
        if not self._admit(key, model):
            raise Refused("ThrottlingException")
        self._in_flight[key] += 1
        try:
            yield
        finally:
            self._in_flight[key] -= 1

    def reset(self) -> None:
        """Forget what was used up, and begin with the steps again. Calls in flight stay counted."""
        self._started = self._clock.monotonic()
        self._meters.clear()

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _first(self, model: Model) -> float:
        common = self._options.requests_per_minute
        return self._own.get(model.id, model.rpm if common is None else common)

    def _steps_between(self, model: Model, after: float, until: float) -> list[Step]:
        steps = sorted(self._options.quota_step, key=lambda step: step.after)
        return [s for s in steps if s.model in {None, model.id} and after < s.after <= until]

    def _admit(self, key: Key, model: Model) -> bool:
        if self._options.meter == "none":
            return True
        now = self._elapsed()
        seen, meter = self._meters.get(key) or (now, self._new(self.rpm(model)))
        # Each at its own time: what flows into a bucket before a step does so at the old rate.
        for step in self._steps_between(model, seen, now):
            meter.retune(step.rpm, step.after)
        self._meters[key] = (now, meter)
        return meter.admit(now)

    def _new(self, rpm: float) -> Meter:
        counted = self._options.count_rejected
        if self._options.meter == "fixed":
            return FixedMinute(rpm, count_rejected=counted)
        if self._options.meter == "sliding":
            return SlidingMinute(rpm, count_rejected=counted)
        capacity = self._options.bucket_capacity
        return TokenBucket(rpm, capacity=capacity, count_rejected=counted)
