"""How many calls may be in flight: the user's cap, less while the service lacks capacity; pure."""

from __future__ import annotations

from batchgen.quota import Call


class Places:
    """The number of places for calls in flight: halved when the service is short, then regrown."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._limit = float(cap)
        self._last_cut = 0

    @property
    def cap(self) -> int:
        """Calls that may be in flight now, at least 1."""
        return max(1, int(self._limit))

    def admitted(self) -> None:
        """A call was served: one place more for each round of calls."""
        self._limit = min(float(self._cap), self._limit + 1 / self._limit)

    def unavailable(self, call: Call, newest: int) -> None:
        """The service had no capacity for `call`; one cut for all calls up to number `newest`."""
        if call.number <= self._last_cut:
            return
        self._last_cut = newest
        self._limit = max(1.0, min(self._limit, call.in_flight) / 2)
