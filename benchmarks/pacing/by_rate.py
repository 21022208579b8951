"""Algorithms that pace the rate: AIMD, AWS SDK adaptive mode, rclone's pacer, a simple estimator.

Each is written from the formulas of its origin; a comment names what was left to choose.
"""

# ruff: noqa: D102 - `world.Client` says what the methods do
from __future__ import annotations

import math
from collections import deque


class AimdRate:
    """Doubles to the first 429, then adds a call a minute every 10 s and keeps 85 % after a 429.

    One cut per episode; the figures are ours, chosen as the best of a few.
    """

    def __init__(self) -> None:
        self._rate = 6.0
        self._next = 0.0
        self._raised_at = 0.0
        self._slow_start = True
        self._number = 0
        self._cut = 0

    def next_start(self, now: float) -> float:
        del now
        return self._next

    def started(self, now: float) -> int:
        if self._slow_start and now - self._raised_at >= 15:
            self._rate *= 2
            self._raised_at = now
        elif not self._slow_start and now - self._raised_at >= 10:
            self._rate += 1
            self._raised_at = now
        self._next = max(self._next, now) + 60 / self._rate
        self._number += 1
        return self._number

    def served(self, call: int, now: float) -> None:
        """Says nothing: the rate rises with time."""

    def throttled(self, call: int, now: float) -> None:
        if call <= self._cut:
            return
        self._cut = self._number
        self._slow_start = False
        self._raised_at = now
        self._rate = max(1.0, self._rate * 0.85)


class AwsAdaptive:
    """`botocore.retries.adaptive` of botocore 1.40: cubic rate, token bucket, measured rate.

    Off until the first throttling error; then never below 0.5 calls a second.
    """

    _SCALE = 0.4
    _BETA = 0.7
    _SMOOTHING = 0.8
    _LEAST = 0.5

    def __init__(self) -> None:
        self._enabled = False
        self._w_max = 0.0
        self._k = 0.0
        self._last_fail = 0.0
        self._measured = 0.0
        self._bucket_at = 0.0
        self._count = 0
        self._fill = 1.0
        self._room = 1.0
        self._level = 0.0
        self._at = 0.0

    def next_start(self, now: float) -> float:
        if not self._enabled:
            return now
        self._refill(now)
        return now if self._level >= 1 else now + (1 - self._level) / self._fill

    def started(self, now: float) -> None:
        if self._enabled:
            self._refill(now)
            self._level -= 1

    def served(self, call: None, now: float) -> None:
        del call
        measured = self._measure(now)
        since = now - self._last_fail
        self._set(self._SCALE * (since - self._k) ** 3 + self._w_max, measured, now)

    def throttled(self, call: None, now: float) -> None:
        del call
        measured = self._measure(now)
        rate = min(measured, self._fill) if self._enabled else measured
        self._w_max = rate
        self._k = (rate * (1 - self._BETA) / self._SCALE) ** (1 / 3)
        self._last_fail = now
        self._enabled = True
        self._set(rate * self._BETA, measured, now)

    def _set(self, rate: float, measured: float, now: float) -> None:
        self._refill(now)
        wanted = min(rate, 2 * measured)
        self._fill = max(wanted, self._LEAST)
        self._room = max(1.0, wanted)
        self._level = min(self._level, self._room)

    def _refill(self, now: float) -> None:
        self._level = min(self._room, self._level + (now - self._at) * self._fill)
        self._at = now

    def _measure(self, now: float) -> float:
        bucket = math.floor(now * 2) / 2
        self._count += 1
        if bucket > self._bucket_at:
            rate = self._count / (bucket - self._bucket_at)
            self._measured = rate * self._SMOOTHING + self._measured * (1 - self._SMOOTHING)
            self._count = 0
            self._bucket_at = bucket
        return self._measured


class Rclone:
    """rclone's default pacer: 10 ms to 2 s between two starts, doubled by a 429, else 1/4 less."""

    def __init__(self) -> None:
        self._sleep = 0.01
        self._next = 0.0

    def next_start(self, now: float) -> float:
        del now
        return self._next

    def started(self, now: float) -> None:
        self._next = now + self._sleep

    def served(self, call: None, now: float) -> None:
        del call, now
        self._sleep = max(0.01, self._sleep * 0.75)

    def throttled(self, call: None, now: float) -> None:
        del call, now
        self._sleep = min(2.0, self._sleep * 2)


class SimpleEstimator:
    """Paces with bursts of one and learns the rate from what was admitted; no proof, no rations.

    Doubling every 15 s to the first 429, then half; later the larger of rate/2 and the smaller of
    0.93 rate and 0.97 of what was admitted in 60 s; after 30 s and 20 calls of quiet up by 2, 4, 8,
    16 %. A cap on calls in flight is inferred.
    """

    def __init__(self) -> None:
        self._rate = 4.0
        self._next = 0.0
        self._raised_at: float | None = None
        self._slow_start = True
        self._gain = 0.02
        self._quiet_at = 0.0
        self._quiet_calls = 0
        self._admitted: deque[float] = deque()
        self._number = 0
        self._cut = 0
        self._in_flight = 0
        self._most = 0
        self._beyond = 0
        self._cap = math.inf

    def next_start(self, now: float) -> float:
        del now
        return math.inf if self._in_flight >= self._cap else self._next

    def started(self, now: float) -> tuple[int, int]:
        self._raised_at = now if self._raised_at is None else self._raised_at
        if self._slow_start and now - self._raised_at >= 15:
            self._raised_at = now
            self._rate *= 2
        self._next = max(self._next, now) + 60 / self._rate
        self._number += 1
        self._in_flight += 1
        return self._number, self._in_flight

    def served(self, call: tuple[int, int], now: float) -> None:
        self._in_flight -= 1
        self._most = max(self._most, call[1])
        self._admitted.append(now)
        self._quiet_calls += 1
        if not self._slow_start and now - self._quiet_at >= 30 and self._quiet_calls >= 20:
            self._rate *= 1 + self._gain
            self._gain = min(0.16, 2 * self._gain)
            self._quiet(now)

    def throttled(self, call: tuple[int, int], now: float) -> None:
        self._in_flight -= 1
        number, in_flight = call
        if in_flight > self._most and not self._slow_start:
            self._beyond += 1
            if self._beyond >= 3:
                self._cap = max(1, in_flight - 1)
                self._beyond = 0
        if number <= self._cut:
            return
        self._cut = self._number
        while self._admitted and self._admitted[0] < now - 60:
            self._admitted.popleft()
        if self._slow_start:
            self._slow_start = False
            self._rate /= 2
        else:
            learned = min(0.93 * self._rate, 0.97 * max(1, len(self._admitted)))
            self._rate = max(self._rate / 2, learned)
        self._next = max(self._next, now + 2)
        self._gain = 0.02
        self._quiet(now)

    def _quiet(self, now: float) -> None:
        self._quiet_at = now
        self._quiet_calls = 0
