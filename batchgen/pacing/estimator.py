"""When the next call may start, and what its outcome says of the quota and of the places; pure.

No clock, no waiting: the instants, in seconds of any clock that never goes back, are given.
"""

from __future__ import annotations

import math

from batchgen.pacing.evidence import Refusal
from batchgen.pacing.in_flight import InFlightLimit
from batchgen.pacing.rate import Phase, Rate
from batchgen.pacing.window import MINUTE_S, WINDOW_S, Call, StartLog

_MEASURED_S = 20.0
_MEASURED_CALLS = 5
"""A series of refusals tells a rate once it is so long, and holds so many calls."""
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
        self._series_at = -math.inf
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
        refusal = self._refusal(call)
        innocent = (
            refusal.in_window < _NEAR * self._rate.proven
            or (refusal.passed > 0 and refusal.in_window > self._refused_at_count + 1)
            or (self._rate.searching and self._places.proven >= _SEVERAL)
        )
        self._refused_at_count = refusal.in_window
        self._refused_at = call.started_at
        if self._places.explains(call, now, rate_is_innocent=innocent):
            return
        if call.number <= self._corrected_at:
            return
        if self._rate.throttled(refusal, now):
            self._corrected_at = self._newest

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
        measured = self._measured(at)
        # A bucket is empty at each 429: what it admits between two is what it is filled with.
        if not passed or at - self._refused_at > MINUTE_S or at - self._series_at > MINUTE_S:
            self._series_at = at
        rate = MINUTE_S * passed / (at - self._refused_at) if at > self._refused_at else 0.0
        return Refusal(passed=passed, in_window=in_window, rate=rate, measured=measured)

    def _measured(self, until: float) -> float | None:
        begin = self._log.first_after(self._series_at)
        if begin is None or until - begin < _MEASURED_S:
            return None
        calls = self._log.between(self._series_at, until)
        return calls * WINDOW_S / (until - begin) if calls >= _MEASURED_CALLS else None
