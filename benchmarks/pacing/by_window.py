"""Algorithms that limit the calls in flight: Netflix's AIMD, Vegas and gradient; and no limit."""

# ruff: noqa: D102 - `world.Client` says what the methods do
from __future__ import annotations

import math


class _InFlight:
    """A limit on calls in flight; a call is the pair of its start and of those in flight then."""

    def __init__(self) -> None:
        self._limit = 20.0
        self._in_flight = 0

    def next_start(self, now: float) -> float:
        return now if self._in_flight < int(self._limit) else math.inf

    def started(self, now: float) -> tuple[float, int]:
        self._in_flight += 1
        return now, self._in_flight


class NetflixAimd(_InFlight):
    """`AIMDLimit` of Netflix's concurrency-limits: one more while half in use, 90 % after a drop.

    Its timeout is off (a call takes up to 30 s), its least limit is 1 (20 is above small quotas).
    """

    def served(self, call: tuple[float, int], now: float) -> None:
        del now
        self._in_flight -= 1
        if call[1] * 2 >= self._limit:
            self._limit = min(200.0, self._limit + 1)

    def throttled(self, call: tuple[float, int], now: float) -> None:
        del call, now
        self._in_flight -= 1
        self._limit = max(1.0, self._limit * 0.9)


class NetflixVegas(_InFlight):
    """`VegasLimit` of Netflix's concurrency-limits: a queue is guessed from the latency.

    A drop is a sample with its own, short, latency, as there. The probe that measures the least
    latency anew comes every 30 limits of calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self._least_s = 0.0
        self._probes = 0

    def served(self, call: tuple[float, int], now: float) -> None:
        self._sample(now - call[0], call[1], dropped=False)

    def throttled(self, call: tuple[float, int], now: float) -> None:
        self._sample(now - call[0], call[1], dropped=True)

    def _sample(self, latency_s: float, in_flight: int, *, dropped: bool) -> None:
        self._in_flight -= 1
        self._probes += 1
        if self._probes >= 30 * self._limit:
            self._probes = 0
            self._least_s = latency_s
        elif self._least_s == 0 or latency_s < self._least_s:
            self._least_s = latency_s
        elif dropped:
            self._limit -= self._step()
        elif in_flight * 2 >= self._limit:
            self._follow(math.ceil(self._limit * (1 - self._least_s / latency_s)))
        self._limit = min(1000.0, max(1.0, self._limit))

    def _follow(self, queue: int) -> None:
        step = self._step()
        if queue <= step:
            self._limit += 6 * step
        elif queue < 3 * step:
            self._limit += step
        elif queue > 6 * step:
            self._limit -= step

    def _step(self) -> float:
        return max(1.0, math.log10(self._limit))


class NetflixGradient(_InFlight):
    """`Gradient2Limit` of Netflix's concurrency-limits: latency now against its long average.

    A drop is a sample with its own, short, latency, as there. The queue is 4, the tolerance 1.5.
    """

    _KEEP = 1 - 2 / 601
    """An exponential average over 600 samples."""

    def __init__(self) -> None:
        super().__init__()
        self._usual_s = 0.0

    def served(self, call: tuple[float, int], now: float) -> None:
        self._sample(now - call[0])

    def throttled(self, call: tuple[float, int], now: float) -> None:
        self._sample(now - call[0])

    def _sample(self, latency_s: float) -> None:
        in_flight, self._in_flight = self._in_flight, self._in_flight - 1
        usual_s = self._KEEP * (self._usual_s or latency_s) + (1 - self._KEEP) * latency_s
        self._usual_s = 0.95 * usual_s if usual_s > 2 * latency_s else usual_s
        if in_flight * 2 >= self._limit:
            gradient = max(0.5, min(1.0, 1.5 * self._usual_s / latency_s))
            limit = 0.8 * self._limit + 0.2 * (self._limit * gradient + 4)
            self._limit = min(200.0, max(1.0, limit))


class Unshared:
    """Every call for itself: it starts when its worker is free, and backs off alone."""

    def next_start(self, now: float) -> float:
        return now

    def started(self, now: float) -> None:
        """Nothing is shared."""

    def served(self, call: None, now: float) -> None:
        """Nothing is shared."""

    def throttled(self, call: None, now: float) -> None:
        """Nothing is shared."""
