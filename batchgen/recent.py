"""How many things came in the last minutes, in bounded memory at any rate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW = 300.0
"""Seconds over which is counted."""


@dataclass(slots=True)
class _Second:
    at: int
    count: int = 0


class Recent:
    """Counts by the second, for as long as it matters."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._seconds: deque[_Second] = deque()

    def add(self, now: float) -> None:
        """One came."""
        second = int(now)
        if not self._seconds or self._seconds[-1].at != second:
            self._seconds.append(_Second(second))
        self._seconds[-1].count += 1

    def per_minute(self, now: float) -> float:
        """How many a minute over the last minutes, or since the start if that is shorter."""
        while self._seconds and self._seconds[0].at < now - WINDOW:
            self._seconds.popleft()
        window = min(now - self._started, WINDOW)
        count = sum(second.count for second in self._seconds)
        return count * 60.0 / window if window > 0 else 0.0
