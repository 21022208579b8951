"""The rate that calls may start at: given, or found and followed by what the quota refuses.

Three states: *searching* doubles the rate until a 429; *holding* keeps what was proven; *trying*
raises it in growing steps, now and then, up to a 429 or a new level. A 429 tells how many calls the
minute before it held, and no meter of calls a minute refuses before its quota is used: that count
is an upper bound of what there is for us. `docs/pacing.md` has the figures.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from batchgen.pacing.probe_budget import Tries
from batchgen.pacing.window import MINUTE_S

_FIRST = 6.0
"""Calls a minute at which the search begins."""
_LEAST = 3.0
"""Calls a minute that are tried even where all is refused."""
_STEP_S = 15.0
_QUIET_S = 60.0
"""A level that was kept up for so long without a 429 is proven."""
_EXERCISED = 0.7
"""A level of which less was used says nothing about the quota."""
_FEW = 6
_STRIKES = 4
"""So many 429s end the search, and one that comes after `_FEW` calls or more in a minute."""
_GAIN = 0.03
_GAIN_CALLS = 2.0
"""First step of a try: a share of the rate, and calls a minute; the larger counts."""
_GAIN_CONTESTED = 4.0
"""The same while others take from the quota: alike for all of them, which makes it fair."""
_DOUBLINGS = 4
_TOP = 2.0
_TOP_CALLS = 24.0
"""How far one try goes: a multiple of the proven level, or calls a minute above it."""
_BIG = 1.15
_BIG_CALLS = 3.0
"""More than this above the proven level is a quota that rose; less may be a fixed minute's rest."""
_SMALL = 0.03
_SMALL_CALLS = 0.5
_WAKE_S = 60.0
"""A 429 so soon after a try of ours that failed is no news of others."""
_FELL = 0.65
"""Less than this share of the usual rate is a quota that fell, and may come back."""
_SETTLED = 3
"""What was proven so many times in a row is what the quota usually is."""


class Phase(StrEnum):
    """What the estimator is at, for people."""

    SEARCHING = "searching for the quota"
    HOLDING = "steady"
    TRYING = "trying for more"
    BLOCKED = "waiting after a refusal"


class Rate:
    """The rate, calls a minute, and the instant before which no call may start."""

    def __init__(self, known: float | None) -> None:
        self._ceiling = math.inf if known is None else known
        self._allowed = _FIRST if known is None else known
        self._proven = 0.0 if known is None else known
        self._usual = self._proven
        self._searching = known is None
        self._strikes = self._steps = self._starts = 0
        self._tries = Tries()
        self._neighbours = Neighbours()
        self._changed_at: float | None = None
        self._top = 0.0
        self._pause = Pause()
        self._throttled_at = -math.inf
        self._tried_at = -math.inf
        self._settled_at = -math.inf
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
        return self._pause.until

    @property
    def tries(self) -> Tries:
        """The allowance of tries, for all who try."""
        return self._tries

    def phase(self, now: float) -> Phase:
        """What the estimator is at."""
        if now < self._pause.until:
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
            self._settle(now)
            if self._may_try(now):
                top = max(_TOP * self._proven, self._proven + _TOP_CALLS)
                self._top = min(self._ceiling, top)
                self._step_up(now)

    def search_again(self, now: float) -> None:
        """The last refusal had another cause: the quota is not found yet."""
        self._searching = True
        self._steps = 0
        self._pause.briefly(now)
        self._set(self._allowed, now)

    def throttled_again(self, now: float) -> None:
        """A 429 that says nothing new: its call started before the last correction."""
        if self._searching or self._allowed > self._proven or now - self._tried_at < _WAKE_S:
            self._tries.spend()

    def throttled(self, refusal: Refusal, now: float) -> None:
        """A 429 with news."""
        self.throttled_again(now)
        self._pause.after(refusal, now, self._allowed)
        self._throttled_at = now
        if self._searching and not self._found(refusal):
            return
        level = self._level_after(refusal, now)
        self._searching = False
        self._proven = min(self._proven, level)
        if level < _FELL * self._usual and not self._neighbours.have_room(now):
            self._tries.lend_for_drop()
        if self._steps:
            self._tried_at = now
        self._steps = 0
        self._set(level, now)

    def _found(self, refusal: Refusal) -> bool:
        """Whether this 429 of the search tells the quota; few calls before it tell of others."""
        self._strikes += 1
        if refusal.in_window < _FEW and self._strikes < _STRIKES:
            return False
        if not self._usual:
            self._tries.refill()
        return True

    def _level_after(self, refusal: Refusal, now: float) -> float:
        bound = float(min(self._allowed, refusal.in_window))
        if self._searching:
            return bound
        if not self._proven:
            return self._measured(refusal)
        if self._allowed > self._proven:
            return self._after_try(bound, refusal, now)
        if not refusal.passed:
            return bound
        if now - self._tried_at <= _WAKE_S:
            self._neighbours.explained()
            self._tries.lend_for_contest()
            return self._measured(refusal)
        level = self._neighbours.keep(
            refusal, now, self._allowed, whole=self._allowed == self._ceiling
        )
        if level < self._allowed:
            self._tries.lend_for_contest()
        return level

    def _measured(self, refusal: Refusal) -> float:
        """At most what was admitted in the last minute, and what goes through from 429 to 429."""
        bound = float(min(self._allowed, refusal.in_window))
        if refusal.measured is None or not refusal.passed:
            return bound
        return min(bound, max(refusal.measured, self._allowed / 2))

    def _after_try(self, bound: float, refusal: Refusal, now: float) -> float:
        """The level to keep after trying for more than was proven."""
        if bound <= self._proven or not (self._steps or refusal.passed):
            return bound
        # A fixed minute refuses for as long as it was used up too early.
        self._pause.at_least(MINUTE_S * (refusal.in_window / self._proven - 1), now)
        if bound >= _BIG * self._proven + _BIG_CALLS:
            return bound
        most = max(_SMALL_CALLS, _SMALL * self._proven)
        return self._proven + min((bound - self._proven) / 3, most)

    def _settle(self, now: float) -> None:
        """The rate was kept up without a 429."""
        if now - self._settled_at < _QUIET_S:
            return
        self._settled_at = now
        self._steps = 0
        self._proven = self._allowed
        self._settled.append(self._allowed)
        self._usual = self._usual or self._allowed
        lowest = min(self._settled)
        if lowest < _FELL * self._usual and not self._tries.gave_up:
            self._tries.lend_for_drop()
            return
        self._tries.recovered()
        if len(self._settled) == _SETTLED:
            self._usual = min(max(self._settled), max(self._usual, lowest))

    def _may_try(self, now: float) -> bool:
        room = self._neighbours.have_room(now)
        return self._allowed < self._ceiling and self._tries.affordable and not room

    def _step_up(self, now: float) -> None:
        alone = max(_GAIN * self._allowed, _GAIN_CALLS)
        first = _GAIN_CONTESTED if self._tries.contested else alone
        gain = first * 2 ** min(self._steps, _DOUBLINGS)
        self._steps += 1
        self._set(min(self._allowed + gain, self._top), now)

    def _exercised(self, now: float, quiet: float) -> bool:
        """Enough calls started to make use of the rate; if not, the time begins anew."""
        if self._starts >= _EXERCISED * self._allowed * quiet / MINUTE_S - 1:
            return True
        self._set(self._allowed, now)
        return False

    def _set(self, level: float, now: float) -> None:
        self._allowed = min(self._ceiling, max(_LEAST, level))
        self._changed_at = now
        self._starts = 0


_YIELD = 0.95
"""What to keep of a proven rate that was refused: who has more gives more, until all have alike."""


_SURPRISES = 3


_YIELD_MUCH = 0.7
"""What to keep after so many surprises in a minute: somebody new needs room."""


_YIELD_S = 150.0
"""How long to leave them the room that was made."""


_PAUSES = (1.5, 4.0, 10.0, 27.0)
"""Distances of calls to wait after a 429, by the number of 429s since a call was admitted."""


_PAUSE_LEAST_S = 0.5


_PAUSE_MOST_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a 429 says, apart from that it came."""

    started_at: float
    passed: int
    """Calls that were admitted since the refusal before it."""
    in_window: int
    """Calls of the minute before it that were admitted, at least 1."""
    measured: float | None
    """Calls a minute admitted since the first of a series of refusals; None if too few to tell."""


class Pause:
    """The instant until which nothing starts, because a call was refused."""

    def __init__(self) -> None:
        self.until = -math.inf
        self._blocked = 0

    def after(self, refusal: Refusal, now: float, rate: float) -> None:
        """Longer with each refusal in a row: a minute that is used up refuses until it ends."""
        self._blocked = 0 if refusal.passed else min(len(_PAUSES) - 1, self._blocked + 1)
        pause = max(_PAUSE_LEAST_S, MINUTE_S / rate) * _PAUSES[self._blocked]
        self.until = now + min(_PAUSE_MOST_S, pause)

    def at_least(self, seconds: float, now: float) -> None:
        """The pause that began at `now` takes so long, if that is longer and not too long."""
        self.until = max(self.until, now + min(_PAUSE_MOST_S, seconds))

    def briefly(self, now: float) -> None:
        """The refusal was none of the quota's."""
        self.until = now + _PAUSE_LEAST_S


class Neighbours:
    """Others that use the quota, as refusals of a proven rate show them."""

    def __init__(self) -> None:
        self._surprises: list[float] = []
        self._yielded_until = -math.inf

    def have_room(self, now: float) -> bool:
        """Room was made for others a short while ago, and is theirs to take."""
        return now < self._yielded_until

    def explained(self) -> None:
        """The refusals so far had another cause."""
        self._surprises.clear()

    def keep(self, refusal: Refusal, now: float, rate: float, *, whole: bool) -> float:
        """What to keep of `rate` after it was refused; `whole` if it is all of a known quota."""
        recent = [at for at in self._surprises if refusal.started_at - at < MINUTE_S]
        self._surprises = [*recent, refusal.started_at]
        if whole and len(self._surprises) == 1:
            # One call that was metered too late looks like this, and is no reason to slow down.
            return rate
        level = min(rate, refusal.in_window)
        if refusal.measured is not None:
            level = min(level, max(refusal.measured, rate / 2))
        self._yielded_until = now + _YIELD_S
        if len(self._surprises) < _SURPRISES:
            return min(level, _YIELD * rate)
        self._surprises.clear()
        return min(level, _YIELD_MUCH * rate)
