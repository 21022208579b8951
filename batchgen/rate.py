"""The rate that calls may start at: given, or found and followed by what the quota refuses.

Three states: *searching* doubles the rate until the first 429; *holding* keeps what was proven;
*trying* raises it in growing steps, now and then, until a 429 or a new level. Every 429 says how many
calls the last minute held when it came, and no meter of calls a minute refuses before its quota is
used: that count is an upper bound of what there is for us. `docs/pacing.md` has the figures.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from batchgen.probing import Tries
from batchgen.starts import MINUTE_S

_FIRST = 6.0
"""Calls a minute at which the search begins."""
_LEAST = 3.0
_STEP_S = 15.0
_QUIET_S = 60.0
"""A level that was kept up for so long without a 429 is proven."""
_EXERCISED = 0.7
"""A level of which less was used says nothing about the quota."""
_GAIN = 0.03
_GAIN_CALLS = 2.0
_GAIN_CONTESTED = 4.0
"""First step of a try in calls a minute, the same for big and small: that is what makes it fair."""
_DOUBLINGS = 4
_BIG = 1.15
_BIG_CALLS = 3.0
"""More than this above the proven level is a quota that rose; less may be a fixed minute's rest."""
_PAUSES = (1.5, 4.0, 10.0, 27.0)
"""Distances of calls to wait after a 429, by the number of 429s since a call was admitted."""
_PAUSE_LEAST_S = 0.5
_PAUSE_MOST_S = 20.0
_WAKE_S = 60.0
"""A 429 so soon after a try of ours that failed is no news of others."""
_YIELD = 0.95
_SURPRISES = 3
_YIELD_MUCH = 0.7
_YIELD_S = 150.0
"""After making room for a newcomer, how long to leave it to him."""
_FEW = 6
_STRIKES = 4
_FELL = 0.65
_SETTLED = 3
"""What was proven so many times in a row is what the quota usually is."""


class Phase(StrEnum):
    """What the estimator is at, for people."""

    SEARCHING = "searching for the quota"
    HOLDING = "steady"
    TRYING = "trying for more"
    BLOCKED = "waiting after a refusal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a 429 says, apart from that it came."""

    started_at: float
    passed: int
    """Calls that were admitted since the refusal before it."""
    in_window: int
    """Calls of the minute before it that were admitted."""
    measured: float | None
    """Calls a minute admitted since the first of a series of refusals; None if too few to tell."""


class Rate:
    """The rate, calls a minute, and the instant before which no call may start."""

    def __init__(self, known: float | None) -> None:
        self._ceiling = math.inf if known is None else known
        self._allowed = _FIRST if known is None else known
        self._proven = 0.0 if known is None else known
        self._usual = self._proven
        self._searching = known is None
        self._tries = Tries()
        self._changed_at: float | None = None
        self._starts = 0
        self._strikes = 0
        self._steps = 0
        self._top = 0.0
        self._blocked = 0
        self._not_before = -math.inf
        self._throttled_at = -math.inf
        self._tried_at = -math.inf
        self._yielded_until = -math.inf
        self._surprises: list[float] = []
        self._settled: deque[float] = deque(maxlen=_SETTLED)

    @property
    def allowed(self) -> float:
        """Calls a minute."""
        return self._allowed

    @property
    def searching(self) -> bool:
        """The quota is not found yet."""
        return self._searching

    @property
    def not_before(self) -> float:
        """No call may start before this instant."""
        return self._not_before

    @property
    def tries(self) -> Tries:
        """The allowance of tries, for all who try."""
        return self._tries

    def phase(self, now: float) -> Phase:
        """What the estimator is at."""
        if now < self._not_before:
            return Phase.BLOCKED
        if self._searching:
            return Phase.SEARCHING
        return Phase.TRYING if self._steps else Phase.HOLDING

    def started(self, now: float) -> None:
        """A call starts."""
        if self._changed_at is None:
            self._changed_at = now
        self._tries.earn(now)
        self._starts += 1

    def advance(self, now: float) -> None:
        """Time passed: search, try or settle where enough of it did."""
        if self._changed_at is None:
            return
        quiet = now - self._changed_at
        if self._searching:
            if quiet >= _STEP_S and self._exercised(now, quiet):
                self._set(2 * self._allowed, now)
        elif self._steps and self._allowed < self._top:
            if quiet >= _STEP_S and self._exercised(now, quiet):
                self._step_up(now)
        elif min(quiet, now - self._throttled_at) >= _QUIET_S and self._exercised(now, quiet):
            self._settle()
            if self._allowed < self._ceiling and self._tries.affordable and now >= self._yielded_until:
                self._top = min(self._ceiling, max(2 * self._proven, self._proven + 4))
                self._step_up(now)

    def search_again(self, now: float) -> None:
        """The last refusal had another cause: the quota is not found yet."""
        self._searching = True
        self._steps = 0
        self._not_before = now + _PAUSE_LEAST_S
        self._set(self._allowed, now)

    def throttled_again(self, now: float) -> None:
        """A 429 that says nothing new: its call started before the last correction."""
        if self._searching or self._allowed > self._proven or now - self._tried_at < _WAKE_S:
            self._tries.spend()

    def throttled(self, refusal: Refusal, now: float) -> None:
        """A 429 with news."""
        self.throttled_again(now)
        self._pause(refusal, now)
        level = min(self._allowed, refusal.in_window)
        if self._searching:
            self._strikes += 1
            if refusal.in_window < _FEW and self._strikes < _STRIKES:
                self._throttled_at = now
                return
            self._searching = False
            self._tries.refill()
        elif self._proven and self._allowed > self._proven:
            level = self._after_try(level, refusal, now)
        elif refusal.passed:
            level = self._after_surprise(level, refusal, now)
        self._proven = min(self._proven, level)
        if level < _FELL * self._usual and now >= self._yielded_until:
            self._tries.lend_for_drop()
        if self._steps:
            self._tried_at = now
        self._steps = 0
        self._throttled_at = now
        self._set(level, now)

    def _pause(self, refusal: Refusal, now: float) -> None:
        self._blocked = 0 if refusal.passed else min(len(_PAUSES) - 1, self._blocked + 1)
        pause = max(_PAUSE_LEAST_S, MINUTE_S / self._allowed) * _PAUSES[self._blocked]
        self._not_before = now + min(_PAUSE_MOST_S, pause)

    def _after_try(self, level: float, refusal: Refusal, now: float) -> float:
        """The level to keep after trying for more than was proven."""
        if level <= self._proven or not (self._steps or refusal.passed):
            return level
        # A fixed minute refuses for as long as it was used up too early.
        early = MINUTE_S * (refusal.in_window / self._proven - 1)
        self._not_before = max(self._not_before, now + min(_PAUSE_MOST_S, early))
        if level >= _BIG * self._proven + _BIG_CALLS:
            return level
        return self._proven + min((level - self._proven) / 3, max(0.5, _GAIN * self._proven))

    def _after_surprise(self, level: float, refusal: Refusal, now: float) -> float:
        """The level to keep when what was proven is refused: others take from the quota, or it fell."""
        if refusal.measured is not None:
            level = min(level, max(refusal.measured, self._allowed / 2))
        if not self._proven:
            return level
        if now - self._tried_at <= _WAKE_S:
            self._tries.lend_for_contest()
            self._surprises.clear()
            return level
        recent = [at for at in self._surprises if refusal.started_at - at < MINUTE_S]
        self._surprises = [*recent, refusal.started_at]
        if len(self._surprises) == 1 and self._allowed == self._ceiling:
            # One call that was metered too late looks like this, and is no reason to slow down.
            return self._allowed
        self._tries.lend_for_contest()
        if len(self._surprises) < _SURPRISES:
            return min(level, _YIELD * self._allowed)
        self._surprises.clear()
        self._yielded_until = now + _YIELD_S
        return min(level, _YIELD_MUCH * self._allowed)

    def _settle(self) -> None:
        """The rate was kept up without a 429."""
        self._steps = 0
        self._proven = self._allowed
        self._settled.append(self._allowed)
        if self._allowed < _FELL * self._usual and not self._tries.gave_up:
            self._tries.lend_for_drop()
            return
        self._tries.recovered()
        if len(self._settled) == _SETTLED:
            self._usual = min(max(self._settled), max(self._usual, min(self._settled)))

    def _step_up(self, now: float) -> None:
        first = _GAIN_CONTESTED if self._tries.contested else max(_GAIN * self._allowed, _GAIN_CALLS)
        gain = first * 2 ** min(self._steps, _DOUBLINGS)
        self._steps += 1
        self._set(min(self._allowed + gain, self._top), now)

    def _exercised(self, now: float, quiet: float) -> bool:
        """Enough calls started to make use of the rate; if not, the time begins anew."""
        enough = self._starts >= _EXERCISED * self._allowed * quiet / MINUTE_S - 1
        if not enough:
            self._set(self._allowed, now)
        return enough

    def _set(self, level: float, now: float) -> None:
        self._allowed = min(self._ceiling, max(_LEAST, level))
        self._changed_at = now
        self._starts = 0
