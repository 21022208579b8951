"""Which calls pass: a meter and a count of calls in flight for each account's model."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import Refused
from .meters import FixedMinute, Meter, SlidingMinute, TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catalog import Model
    from .clock import Clock
    from .options import Options
    from .spelling import Step

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
