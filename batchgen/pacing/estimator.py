"""When the next call may start, and what its outcome says of the quota and of the places; pure.

No clock, no waiting: the instants, in seconds of any clock that never goes back, are given.
"""

from __future__ import annotations

import math
from collections import deque

from batchgen.pacing.evidence import Refusal
from batchgen.pacing.in_flight import InFlightLimit
from batchgen.pacing.rate import Rate
from batchgen.pacing.states import Phase
from batchgen.pacing.window import MINUTE_S, WINDOW_S, Call, StartLog

_MEASURED_S, _MEASURED_CALLS, _MEASURED_MANY = 20.0, 5, 20
"""The time since a refusal tells a rate once it is so long and holds so many calls, or once it
holds twenty: one call more or less is 5 % then."""
_BETWEEN_S, _BETWEEN_CALLS = 20.0, 3
"""Refusals of so many seconds with so many calls between show that no minute is full."""
_IDLE = 1.1
"""What is longer than this share of a distance between two calls is a pause: nothing is measured
in it."""
_REMEMBERED = 16
"""Refusals that are remembered: those of a level that is far too high come two calls apart."""
_NEAR = 0.9
"""A minute that held less than this of the level proven does not make the rate guilty."""
_SEVERAL = 3
"""From so many calls in flight on, a search asks first whether their number is the limit."""


class Estimator:
    """One quota as its calls show it; asked before each call and told each outcome."""

    def __init__(
        self, requests_per_minute: float | None, concurrency: int, proven: float | None = None
    ) -> None:
        """`requests_per_minute` is the quota, None if unknown; `concurrency` the most in flight."""
        self._known = requests_per_minute
        self._rate = Rate(requests_per_minute, proven)
        self._places = InFlightLimit(concurrency)
        self._log = StartLog()
        self._newest = 0
        self._corrected_at = 0
        self._refusals: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._refused = 0
        self._idle_s = 0.0
        self._started_at = -math.inf
        self._refused_at = -math.inf
        self._refused_at_count = 0

    def next_start(self, now: float) -> float:
        """The earliest instant for the next call; infinite until a call in flight ends."""
        self._rate.advance(now, self._log.reached)
        place = self._places.next_start(now)
        if place == math.inf:
            return place
        level = self._rate.level
        if level == self._known and level > 1:
            level = math.floor(level)  # a meter that counts whole calls admits no half of one
        return max(self._log.next_start(level), self._rate.not_before, place)

    def start(self, now: float) -> Call:
        """A call starts now."""
        interval_s = WINDOW_S / self._rate.level
        if self._started_at > -math.inf:
            self._idle_s += max(0.0, now - self._started_at - _IDLE * interval_s)
        self._started_at = now
        call = self._places.start(now)
        self._newest = call.number
        self._log.add(call, self._rate.level)
        self._rate.started(now)
        return call

    def admitted(self, call: Call, now: float) -> None:
        """The quota admitted `call`, whatever became of it then."""
        self._places.admitted(call, now)

    def unavailable(self, call: Call, now: float) -> None:
        """The service had no capacity for `call` (503, not ready)."""
        self._places.unavailable(call, now)

    def unsent(self, call: Call, now: float) -> None:
        """`call` never reached the service."""
        self._places.leave(call, now)
        self._log.drop(call)

    def throttled(self, call: Call, now: float) -> None:
        """The quota refused `call` (429)."""
        self._places.leave(call, now)
        self._log.drop(call)
        self._refused += 1
        refusal = self._refusal(call)
        self._rate.counts.append(refusal.in_window)
        innocent = self._rate_is_innocent(refusal)
        self._refused_at_count = refusal.in_window
        self._refused_at = call.started_at
        if self._places.explains(call, now, rate_is_innocent=innocent):
            self._rate.absolve(self._places.cap, now)
        elif call.number <= self._corrected_at:
            self._rate.repeated()
        elif self._rate.throttled(refusal, call.in_flight, now):
            self._corrected_at = self._newest

    def _rate_is_innocent(self, refusal: Refusal) -> bool:
        """Whether the minute before a refusal held too little for the rate to be the reason."""
        return (
            refusal.in_window < _NEAR * self._rate.proven
            or (refusal.passed > 0 and refusal.in_window > self._refused_at_count + 1)
            or (self._rate.searching and self._places.proven >= _SEVERAL)
        )

    def allowed_per_minute(self) -> float | None:
        """The rate that calls may start at; None while the quota is being searched for."""
        return None if self._rate.searching else self._rate.level

    def proven_per_minute(self) -> float | None:
        """The highest level that was kept up; None while there is none, or if a quota was given."""
        return None if self._known is not None else self._rate.proven or None

    def reason(self) -> str | None:
        """Why calls start more slowly than the quota that was given allows; None if they do not."""
        phase = self._rate.phase
        if phase in (Phase.BACKING_OFF, Phase.RECOVERING):
            return str(phase)
        if self._known is None or self._rate.level >= self._known:
            return None
        return str(phase if phase is Phase.SHARING else Phase.LOWERED)

    def quota_per_minute(self) -> float | None:
        """The quota that was given, else the rate allowed; None while it is searched for."""
        return self._known if self._known is not None else self.allowed_per_minute()

    def reached_per_minute(self, now: float) -> int:
        """Calls that started in the last 60 s and were not throttled."""
        return self._log.reached(now)

    def starting_per_minute(self, now: float, *, waiting: bool) -> float:
        """The rate of these calls, over the last 60 s in which calls could start.

        Args:
            now: the instant.
            waiting: whether attempts wait: then time in which none starts counts as well.
        """
        return self._log.rate(now, waiting=waiting)

    @property
    def phase(self) -> Phase:
        """What the estimator is at."""
        return self._rate.phase

    @property
    def in_flight(self) -> int:
        """Calls in flight."""
        return self._places.in_flight

    @property
    def concurrency(self) -> int:
        """Calls that may be in flight now."""
        return self._places.cap

    def _refusal(self, call: Call) -> Refusal:
        at = call.started_at
        passed = self._log.between(self._refused_at, at)
        in_window = max(1, self._log.between(at - WINDOW_S, at))
        now = (at - self._idle_s, call.number - self._refused)
        since = [(now[0] - busy_s, now[1] - calls) for busy_s, calls in self._refusals]
        if not passed:
            self._refusals.clear()
        self._refusals.append(now)
        return Refusal(
            passed=passed, in_window=in_window, between=_between(since), measured=_measured(since)
        )


def _between(since: list[tuple[float, int]]) -> float | None:
    """Calls a minute since the first refusal of the last seconds; of seconds and calls since."""
    for seconds, calls in since:
        if 0 < seconds < _BETWEEN_S and calls >= _BETWEEN_CALLS:
            return calls * MINUTE_S / seconds
    return None


def _measured(since: list[tuple[float, int]]) -> float | None:
    """Calls a minute since the last refusal that is far enough back to tell."""
    for seconds, calls in reversed(since):
        long = calls >= _MEASURED_CALLS and seconds >= _MEASURED_S
        if long or (calls >= _MEASURED_MANY and seconds > 1):
            return calls * MINUTE_S / seconds
    return None
