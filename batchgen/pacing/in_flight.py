"""How many calls may be in flight: the user's cap, less while the service lacks capacity.

A 503 halves the number and calls that are served regrow it. A service that caps calls in flight and
says 429 for it is recognised by refusals at a number that was never admitted.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from batchgen.pacing.probe_budget import Tries
from batchgen.pacing.window import Call

_ANSWER_S = 1.0
"""An answer may be on its way for so long: its call is no longer in flight for the service."""
_SURE_S = 2.0
"""A call that was not refused within this time was admitted: refusals come at once."""
_OFTEN = 4
"""A number in flight is one that the service admits if so many calls were admitted at it."""
_QUIET_S = 60.0
_SHORTAGE_S = 1.0
_SHORTAGE_MOST_S = 30.0


@dataclass(slots=True)
class _Flight:
    started_at: float
    surely: int
    """Calls that the service surely had in flight with this one, itself included."""


class Places:
    """The places for calls in flight, and who holds them."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._share = float(cap)
        self._served_cap: int | None = None
        self._widened_at = -math.inf
        self._widening = 1
        self._seen: Counter[int] = Counter()
        self._refused_from: int | None = None
        self._flights: dict[int, _Flight] = {}
        self._number = 0
        self._last_cut = 0
        self._shortages = 0
        self._not_before = -math.inf

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return len(self._flights)

    @property
    def cap(self) -> int:
        """Calls that may be in flight now; at least 1."""
        cap = self._cap if self._served_cap is None else min(self._cap, self._served_cap)
        return max(1, min(cap, int(self._share)))

    @property
    def not_before(self) -> float:
        """No call may start before this instant: the service was short even of one place."""
        return self._not_before

    def start(self, now: float) -> Call:
        """Take a place."""
        self._number += 1
        in_flight = len(self._flights) + 1
        self._flights[self._number] = _Flight(now, in_flight)
        return Call(number=self._number, started_at=now, in_flight=in_flight)

    def leave(self, call: Call) -> None:
        """Give back the place of a call that was not admitted: none that started since had it."""
        del self._flights[call.number]
        for other in reversed(self._flights):
            if other < call.number:
                break
            self._flights[other].surely -= 1

    def admitted(self, call: Call, now: float) -> None:
        """`call` was served: one place more for each round of calls."""
        flight = self._flights.pop(call.number)
        for other in reversed(self._flights.values()):
            if other.started_at < now - _ANSWER_S:
                break
            other.surely -= 1
        self._seen[flight.surely] += 1
        self._share = min(float(self._cap), self._share + 1 / self._share)
        self._shortages = 0

    def unavailable(self, call: Call, now: float) -> None:
        """The service had no capacity for `call`: one cut for all calls that are in flight."""
        in_flight = self.in_flight
        self.leave(call)
        if call.number <= self._last_cut:
            return
        self._last_cut = self._number
        if self._share < 2:  # noqa: PLR2004 - one place is left, so only waiting helps
            pause = _SHORTAGE_S * 2.0 ** min(self._shortages, 10)
            self._not_before = now + min(_SHORTAGE_MOST_S, pause)
            self._shortages += 1
        self._share = max(1.0, min(self._share, in_flight) / 2)

    def explains(self, call: Call, now: float, *, not_rate: bool) -> bool:
        """Whether the number in flight is why `call` got a 429; `not_rate`: the rate is not why."""
        admitted = self._admitted_at(now)
        if call.in_flight <= admitted:
            self._refused_from = None
            if self._served_cap is not None and call.in_flight <= self._served_cap:
                self._served_cap = None
            return False
        suspected = self._refused_from is not None
        self._refused_from = min(call.in_flight, self._refused_from or call.in_flight)
        if self._served_cap is None and not (suspected and not_rate and admitted):
            return False
        self._served_cap = max(1, admitted, self._refused_from - 1)
        self._widened_at = now
        self._widening = 1
        return True

    def widen(self, now: float, tries: Tries) -> None:
        """All places are taken: try one more than the service had, now and then."""
        if self._served_cap is None or not tries.affordable or now < self._widened_at + _QUIET_S:
            return
        self._refused_from = None
        self._served_cap += self._widening
        self._widening *= 2
        self._widened_at = now

    def _admitted_at(self, now: float) -> int:
        """The largest number in flight at which the service admits calls."""
        seen = self._seen + Counter(
            flight.surely for flight in self._flights.values() if flight.started_at < now - _SURE_S
        )
        calls = 0
        for in_flight in sorted(seen, reverse=True):
            calls += seen[in_flight]
            if calls >= _OFTEN:
                return in_flight
        return 0
