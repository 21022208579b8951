"""Services that meter calls, each in one of the ways that a service may do it."""

# ruff: noqa: D102 - `Server` says what the methods do
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

QuotaAt = Callable[[float], float]
"""The quota, calls a minute, at an instant in seconds."""


class Server(Protocol):
    """Decides over each call as it arrives; times never go back."""

    def admits(self, now: float) -> bool:
        """Meter one call: True if it is served, False if it is answered with 429."""

    def finished(self) -> None:
        """A call that was admitted ends."""

    def capacity(self, start: float, end: float) -> float:
        """What could be used between two instants."""

    def used(self, at: float, service_s: float, start: float, end: float) -> float:
        """What a call that arrived at `at` used of it, in the same unit."""


class _PerMinute:
    """What all meters of calls a minute have in common."""

    def __init__(self, quota: QuotaAt) -> None:
        self._quota = quota

    def finished(self) -> None:
        """Calls in flight are not metered."""

    def capacity(self, start: float, end: float) -> float:
        return sum(self._quota(second + 0.5) / 60 for second in range(int(start), int(end)))

    def used(self, at: float, service_s: float, start: float, end: float) -> float:
        del service_s
        return float(start <= at < end)


class Bucket(_PerMinute):
    """A token bucket that holds what `burst_s` seconds fill in, full at the start."""

    def __init__(self, quota: QuotaAt, burst_s: float = 60.0) -> None:
        super().__init__(quota)
        self._burst_s = burst_s
        self._level = quota(0.0) * burst_s / 60
        self._at = 0.0

    def admits(self, now: float) -> bool:
        rate = self._quota(now) / 60
        room = max(1.0, rate * self._burst_s)
        self._level = min(room, self._level + (now - self._at) * rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class FixedMinute(_PerMinute):
    """Counts from zero at each start of a minute; the first minute began `phase_s` ago."""

    def __init__(self, quota: QuotaAt, phase_s: float = 0.0) -> None:
        super().__init__(quota)
        self._phase_s = phase_s
        self._minute = -1
        self._count = 0

    def admits(self, now: float) -> bool:
        minute = int((now + self._phase_s) // 60)
        if minute != self._minute:
            self._minute = minute
            self._count = 0
        if self._count + 1 > self._quota(now):
            return False
        self._count += 1
        return True


class SlidingMinute(_PerMinute):
    """Counts the calls admitted in the 60 s before each call."""

    def __init__(self, quota: QuotaAt) -> None:
        super().__init__(quota)
        self._admitted: deque[float] = deque()

    def admits(self, now: float) -> bool:
        while self._admitted and self._admitted[0] <= now - 60:
            self._admitted.popleft()
        if len(self._admitted) + 1 > self._quota(now):
            return False
        self._admitted.append(now)
        return True


class InFlightCap:
    """So many calls at once, however often; its capacity is the time of its places."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._in_flight = 0

    def admits(self, now: float) -> bool:
        del now
        if self._in_flight >= self._cap:
            return False
        self._in_flight += 1
        return True

    def finished(self) -> None:
        self._in_flight -= 1

    def capacity(self, start: float, end: float) -> float:
        return self._cap * (end - start)

    def used(self, at: float, service_s: float, start: float, end: float) -> float:
        return max(0.0, min(end, at + service_s) - max(start, at))


def steady(requests_per_minute: float) -> QuotaAt:
    """A quota that never changes."""
    return lambda _: requests_per_minute


def halved(requests_per_minute: float, start: float = 1200.0, end: float = 2400.0) -> QuotaAt:
    """A quota that is half of what it was between two instants."""
    return lambda now: requests_per_minute / (2 if start <= now < end else 1)
