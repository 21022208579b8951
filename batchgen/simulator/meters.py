"""Three ways to meter requests a minute. AWS does not say which it uses, so a client must bear all.

A meter is told the time, in seconds that only grow, and answers whether one more call may pass.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

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
