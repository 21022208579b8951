"""When the next call may start under a quota a minute; pure: no clock, no waiting."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

WINDOW_S = 60.0
"""The quota is so many calls in this time."""
MARGIN_S = 0.5
"""What a call may be late on its way to the service's meter without counting in a later minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that started: what the estimators want back with its outcome."""

    number: int
    """1, 2, 3 in the order of starting."""
    started_at: float
    in_flight: int
    """Calls in flight when it started, itself included."""


class Quota:
    """The rate at which calls may start, known or found; asked before each call, told after it."""

    def __init__(self, known_per_minute: float | None = None) -> None:
        self._known = known_per_minute
        self._rate = known_per_minute if known_per_minute is not None else 6.0
        self._log: deque[Call] = deque()
        self._next = -math.inf
        self._cut_at = 0
        self._quiet_since: float | None = None
        self._seen = 0

    @property
    def phase(self) -> str:
        return "known" if self._known is not None else "finding"

    def allowed_per_minute(self) -> float | None:
        return self._rate

    def next_start(self, now: float) -> float:
        self._forget(now)
        places = max(1, math.floor(self._rate))
        if len(self._log) < places:
            return self._next
        return max(self._next, self._log[-places].started_at + WINDOW_S + MARGIN_S)

    def started(self, call: Call) -> None:
        interval = (WINDOW_S + MARGIN_S) / self._rate
        self._next = max(self._next + interval, call.started_at + 0.8 * interval)
        self._log.append(call)
        self._seen = call.number
        if self._quiet_since is None:
            self._quiet_since = call.started_at

    def admitted(self, call: Call, now: float) -> None:
        if self._quiet_since is not None and now - self._quiet_since > 15 and call.number:
            self._quiet_since = now
            factor = 2.0 if self._cut_at == 0 else 1.04
            self._rate = min(self._rate * factor, self._known or math.inf)

    def throttled(self, call: Call, now: float) -> None:
        if call in self._log:
            self._log.remove(call)
        if call.number <= self._cut_at:
            return
        self._cut_at = self._seen
        self._quiet_since = now
        self._rate = max(self._rate / 2, min(0.93 * self._rate, float(len(self._log))), 0.5)

    def unsent(self, call: Call, now: float) -> None:
        self._forget(now)
        if call in self._log:
            self._log.remove(call)

    def reached_per_minute(self, now: float) -> int:
        self._forget(now)
        return sum(call.started_at > now - WINDOW_S for call in self._log)

    def _forget(self, now: float) -> None:
        while self._log and self._log[0].started_at < now - WINDOW_S - MARGIN_S:
            self._log.popleft()
