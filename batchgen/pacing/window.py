"""The calls of the last minute: when the next may start at a rate, and what the meter saw of them.

Invariant: within any 60 s as the service meters them, no more calls than the rate allows are let
start, however late a caller wakes up, as long as no message is delayed by more than `MARGIN_S`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

MINUTE_S = 60.0
MARGIN_S = 0.5
"""How much longer than another a call may be on its way to the service's meter. Between a start
and its metering lie a connection and a request: 20 to 300 ms as a rule. A call metered late and one
metered early, a minute later, come this much closer to each other than they started."""
WINDOW_S = MINUTE_S + MARGIN_S
"""In this time as we see it, no more calls than the quota may start: 99.2 % of it is used."""
SURE_S = 1.0
"""A call that was not refused within this time was admitted: a refusal comes back at once, in the
time of two messages."""
_KEPT_S = WINDOW_S + 30.0
_EXACT = 4096
"""Entries from which on calls that start close to each other share one: above 2,700 a minute."""
_CLOSE_S = _KEPT_S / 512
"""At most 512 such entries are in the log; what is known less exactly is 0.3 % of a minute."""
_CATCH_UP = 0.2
_CATCH_UP_S = 0.05
"""So much of a late start, as a share of a distance or in seconds, is made up for by the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that started: what the estimators want back with its outcome."""

    number: int
    """1, 2, 3 in the order of starting."""
    started_at: float
    in_flight: int
    """Calls in flight when it started, itself included."""


@dataclass(slots=True)
class _Entry:
    """A call, or several that started close to each other."""

    first: Call
    last: Call
    calls: int = 1

    @property
    def started_at(self) -> float:
        """When the last of them started."""
        return self.last.started_at


class StartLog:
    """Calls that started in the last minute and were not throttled; of a bounded size."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._calls = 0
        self._next: float | None = None
        self._first: float | None = None

    def next_start(self, rate: float) -> float:
        """The earliest instant for the next call at `rate` calls a minute."""
        places = max(1, math.ceil(rate - 1e-9))
        due = -math.inf if self._next is None else self._next
        if self._calls < places:
            return due
        return max(due, self._start_of(places) + WINDOW_S * places / rate)

    def _start_of(self, place: int) -> float:
        """When the call so many places back started, or one that shares its entry, later."""
        if len(self._entries) == self._calls:
            return self._entries[-place].started_at
        for entry in reversed(self._entries):
            place -= entry.calls
            if place <= 0:
                return entry.started_at
        return -math.inf

    def add(self, call: Call, rate: float) -> None:
        """`call` starts. A late start is made up for by shorter distances, never by a burst."""
        while self._entries and self._entries[0].started_at < call.started_at - _KEPT_S:
            self._calls -= self._entries.popleft().calls
        self._calls += 1
        if len(self._entries) >= _EXACT and self._close_to_the_last(call):
            self._entries[-1].last = call
            self._entries[-1].calls += 1
        else:
            self._entries.append(_Entry(call, call))
        if self._first is None:
            self._first = call.started_at
        interval = WINDOW_S / rate
        due = call.started_at if self._next is None else self._next
        late = min(call.started_at - due, interval / 2, max(_CATCH_UP * interval, _CATCH_UP_S))
        self._next = call.started_at - late + interval

    def _close_to_the_last(self, call: Call) -> bool:
        return call.started_at - self._entries[-1].first.started_at < _CLOSE_S

    def drop(self, call: Call) -> None:
        """The service did not admit `call`: no meter counts it."""
        for entry in reversed(self._entries):
            if entry.first.number <= call.number:
                if call.number <= entry.last.number:
                    self._calls -= 1
                    entry.calls -= 1
                if not entry.calls:
                    self._entries.remove(entry)
                return

    def between(self, after: float, before: float) -> int:
        """Calls that started between two instants, both excluded; at most the last 90 s."""
        return sum(each.calls for each in self._entries if after < each.started_at < before)

    def reached(self, now: float) -> int:
        """Calls that started in the last 60 s."""
        return self.between(now - MINUTE_S, math.inf)

    def rate(self, now: float, *, waiting: bool) -> float:
        """Calls a minute, over the last 60 s in which calls could start."""
        if self._next is None or self._first is None:
            return 0.0
        end = max(now, self._next) if waiting else self._next
        begin = max(self._first, end - MINUTE_S)
        calls = sum(each.calls for each in self._entries if each.started_at >= begin)
        return calls * MINUTE_S / (end - begin)
