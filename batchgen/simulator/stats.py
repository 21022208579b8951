"""Counts of what the simulator did, for tests and benchmarks."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .clock import Clock
    from .ledger import Entry

_MINUTE = 60.0


class Stats:
    """Counts since the start, or the last reset."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Count from nothing; calls in flight stay counted."""
        self._most_in_flight = self._in_flight
        self._since = self._clock.monotonic()
        self._statuses: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._recent: deque[tuple[float, bool]] = deque()

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Count a call as in flight."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def count(self, entry: Entry) -> None:
        """Count a call whose outcome is known."""
        self._statuses[str(entry.status)] += 1
        self._outcomes[entry.outcome] += 1
        self._models[entry.model or "unknown"] += 1
        self._recent.append((self._clock.monotonic(), entry.status == _THROTTLED))
        self._forget()

    def snapshot(self) -> dict[str, Any]:
        """All counts, as plain values."""
        self._forget()
        throttled = sum(was for _, was in self._recent)
        return {
            "seconds": self._clock.monotonic() - self._since,
            "calls": self._outcomes.total(),
            "by_status": dict(self._statuses),
            "by_outcome": dict(self._outcomes),
            "by_model": dict(self._models),
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "last_minute": {
                "answered": len(self._recent) - throttled,
                "throttled": throttled,
            },
        }

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - _MINUTE
        while self._recent and self._recent[0][0] <= oldest:
            self._recent.popleft()


_THROTTLED = 429
