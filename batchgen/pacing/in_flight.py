"""How many calls may be in flight: the user's cap, less while the service has a cap of its own.

A 503 halves the number and calls that are served regrow it. A service that caps calls in flight and
says 429 for it shows by refusals at a number in flight that it never admitted.
"""

from __future__ import annotations

import math
from collections import deque

from batchgen.pacing.window import SURE_S, Call

_FIRST = 4
"""Calls in flight that are tried at once; beyond, twice as many as were admitted. So a cap costs
few refusals, not one for each call that an absurd rate allows."""
_DOUBTS, _NEAR = 2, 12
"""So many refusals at new numbers in flight within so many calls make a cap: one may be a stray."""
_WIDEN_S, _WIDEN_MOST_S, _WIDEN_FACTOR = 4.0, 600.0, 3.0
"""From a refusal to calls more than the cap, first, at most, and how the time grows while they are
refused. A cap that is none ends within seconds; a true one costs ten tries an hour, which is 1.5 %
at a cap of 3."""
_WIDER = 6
"""A try is a sixth more, at least one call: of many in flight some end before one more shows."""
_SHORTAGE_S, _SHORTAGE_MOST_S = 1.0, 30.0
"""Pause after a 503 with a single place left, doubled up to the most: retries should be rare while
the service is down, and soon once it is back."""


class InFlightLimit:
    """The places for calls in flight, and who holds them."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._share = float(cap)
        self._flights: dict[int, Call] = {}
        self._unsure: deque[Call] = deque()
        self._sure: set[int] = set()
        self._proven = 0
        self._served_at = 0
        """The most calls in flight when one started that was served."""
        self._served_cap: int | None = None
        self._doubts: list[tuple[int, int]] = []
        self._widen_at = math.inf
        self._widen_s = _WIDEN_S
        self._wider_left = 0
        self._number = 0
        self._capped_at = 0
        self._last_cut = 0
        self._shortages = 0
        self._not_before = -math.inf

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return len(self._flights)

    @property
    def proven(self) -> int:
        """The most calls that were surely in flight at once."""
        return self._proven

    @property
    def _admitted(self) -> int:
        """The most calls in flight, as we count them, of which one was admitted.

        Nobody knows how many of those that end within a second the service had at once.
        """
        return max(self._proven, self._served_at)

    @property
    def cap(self) -> int:
        """Calls that may be in flight now; at least 1."""
        cap = self._cap if self._served_cap is None else min(self._cap, self._served_cap)
        return max(1, min(cap, int(self._share)))

    @property
    def _widest(self) -> int:
        """Calls in flight while more than the cap is tried."""
        cap = self._served_cap or 0
        return min(self._cap, int(self._share), cap + max(1, cap // _WIDER))

    def next_start(self, now: float) -> float:
        """The earliest instant for one call more; infinite until a call in flight ends."""
        self._confirm(now)
        in_flight = len(self._flights)
        if in_flight >= self.cap:
            if self._served_cap is None or in_flight >= self._widest:
                return math.inf
            return max(self._not_before, now if self._wider_left else self._widen_at)
        if self._unsure and in_flight >= max(_FIRST, 2 * self._admitted):
            return max(self._not_before, self._unsure[0].started_at + SURE_S)
        return self._not_before

    def start(self, now: float) -> Call:
        """Take a place."""
        self._confirm(now)
        if self._served_cap is not None and len(self._flights) >= self._served_cap:
            if not self._wider_left:
                self._widen_s = min(_WIDEN_MOST_S, self._widen_s * _WIDEN_FACTOR)
                self._widen_at = now + self._widen_s
                self._wider_left = self._widest - self._served_cap
            self._wider_left -= 1
        self._number += 1
        call = Call(number=self._number, started_at=now, in_flight=len(self._flights) + 1)
        self._flights[call.number] = call
        self._unsure.append(call)
        return call

    def leave(self, call: Call, now: float) -> None:
        """Give back the place of a call."""
        self._confirm(now)
        del self._flights[call.number]
        self._sure.discard(call.number)

    def admitted(self, call: Call, now: float) -> None:
        """`call` was served: one place more for each round of calls."""
        self.leave(call, now)
        self._share = min(float(self._cap), self._share + 1 / self._share)
        self._shortages = 0
        self._served_at = max(self._served_at, call.in_flight)

    def unavailable(self, call: Call, now: float) -> None:
        """The service had no capacity for `call`: one cut for all calls that are in flight."""
        in_flight = self.in_flight
        self.leave(call, now)
        if call.number <= self._last_cut:
            return
        self._last_cut = self._number
        if self._share < 2:  # noqa: PLR2004 - one place is left, so only waiting helps
            pause = _SHORTAGE_S * 2.0 ** min(self._shortages, 10)
            self._not_before = now + min(_SHORTAGE_MOST_S, pause)
            self._shortages += 1
        self._share = max(1.0, min(self._share, in_flight) / 2)

    def explains(self, call: Call, now: float, *, rate_is_innocent: bool) -> bool:
        """Whether the number in flight is why `call`, which has left, got a 429."""
        if call.in_flight <= self._proven:
            # Refused at a number that was admitted: no cap, unless other calls overtook this one.
            if call.in_flight + len(self._unsure) <= self._proven:
                self._served_cap = None
                self._doubts.clear()
            return False
        if self._served_cap is not None and call.number <= self._capped_at:
            return True
        if self._served_cap is not None:
            self._served_cap = max(1, self._proven, min(self._served_cap, call.in_flight - 1))
            return call.in_flight > self._served_cap
        self._doubts = [each for each in self._doubts if each[0] > call.number - _NEAR]
        self._doubts.append((call.number, call.in_flight))
        if len(self._doubts) >= _DOUBTS and self._admitted and rate_is_innocent:
            self._served_cap = max(1, self._proven, min(n for _, n in self._doubts) - 1)
            self._widen_s = _WIDEN_S
            self._widen_at = now + _WIDEN_S
            self._capped_at = self._number
            return True
        return False

    def _confirm(self, now: float) -> None:
        """Calls that were not refused by now were admitted: refusals come at once."""
        while self._unsure and self._unsure[0].started_at <= now - SURE_S:
            call = self._unsure.popleft()
            if call.number in self._flights:
                self._sure.add(call.number)
                self._proven = max(self._proven, len(self._sure))
        if self._served_cap is not None and self._proven > self._served_cap:
            self._served_cap = None
            self._doubts.clear()
