"""The rate that calls may start at: what is known of a quota, and the state that decides.

What outlives the states is here: the level, what is proven, the evidence, the budget for tries. The
states are in `states`; `docs/pacing.md` has the diagram and the figures.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from batchgen.pacing.evidence import Evidence, Levels, Refusal, TryBudget
from batchgen.pacing.states import (
    BLOCK,
    BackingOff,
    Holding,
    Phase,
    Recovering,
    Searching,
    State,
    Trying,
)
from batchgen.pacing.window import MINUTE_S

_FIRST = 6.0
"""Calls a minute at which a search begins: the smallest quotas that AWS documents are 10."""
_TOO_HIGH_S = 600.0
"""A level that was refused when it was held is not believed for so long: then the quota may be
another, as it may be found to be by a try at any time."""
_FELL = 0.75
"""A level below so much of the best one is a quota that fell, not one that was found too high."""
_WIDER = 0.95
"""What a refusal leaves of a level whose distance between calls was too short."""
_CLOSER = 0.5
"""Fewer calls a minute are not worth the refusals that they may cost."""
_LEAST = 0.5
"""Calls a minute that are tried even where nearly all is refused."""
_NEW_NOISE = 150
"""Calls after noise was found in which a surprise refutes it: back at the level of before, refusals
come at once if the rate was the reason."""
_COUNTS, _INNOCENT, _DISTANCE_LEAST, _DISTANCE_MOST = 16, 2, 2.5, 40.0
"""So many of the search's refusals came in minutes that held less than it proves: one may be a
stray, two are a bucket of one token, which wants a distance between calls. Of fewer calls a minute
the count is too coarse to tell, of more the distance is as short as what the network adds."""
_EXERCISED = 0.7
"""A level of which less was used says nothing about the quota."""


class Rate:
    """The rate, calls a minute, and the instant before which no call may start."""

    def __init__(self, told: float | None, remembered: float | None = None) -> None:
        """`told`: the quota as the user knows it; `remembered`: what an earlier run proved."""
        self.told = told
        self.ceiling = math.inf if told is None else told
        self.level = told or remembered or _FIRST
        self.proven = told or 0.0
        """The highest level that was kept up; a quota that was told is believed. 0: none yet."""
        self.best = self.proven
        """The highest that ever was proven."""
        self.not_before = -math.inf
        """No call may start before this instant."""
        self.evidence = Evidence()
        self.levels = Levels()
        self._level_since = -math.inf
        """From here on calls start at levels that are held: a meter remembers the minute before."""
        self.too_high = math.inf
        """The level that was refused last when it was held, until more than it goes through."""
        self._too_high_at = -math.inf
        self.budget = TryBudget()
        self.calls = self.refusals = 0
        """Calls that started, and that were refused."""
        self.previous = self.level
        """The last level that was another one."""
        self.counts: deque[int] = deque(maxlen=_COUNTS)
        """What the minutes before the last refusals held, whatever these were for."""
        self.by_distance = False
        """The meter wants a distance between calls: what a minute held is no bound."""
        self.free_at = math.inf
        """When a try is free, whatever the search cost."""
        self.gap = 0
        """Calls between the last two refusals."""
        self.spaced = 0.0
        """The level at which calls of a told quota were sent further apart; 0: not yet."""
        self.fell_at = self.tried_at = self.refuted_at = -math.inf
        self.block_began_at = -math.inf
        self.block_call = self.noise_call = self._blamed_in_flight = 0
        self._changed_at: float | None = None
        self._starts = self._row = self._refused_call = 0
        self._innocent: tuple[State, float] | None = None
        self.state: State = Searching(self) if told is None else Holding(self)

    @property
    def phase(self) -> Phase:
        """The state, in words for people."""
        return self.state.phase

    @property
    def searching(self) -> bool:
        """No level was found yet."""
        return not self.proven and isinstance(self.state, Searching)

    @property
    def _trying(self) -> bool:
        """More is tried: what is refused now was the price, but for the noise."""
        return isinstance(self.state, Searching | Trying)

    def started(self, now: float) -> None:
        """A call starts."""
        if self._changed_at is None:
            self._changed_at = now
        self._starts += 1
        self.calls += 1
        self.evidence.call(self.state.limit_share)
        self.budget.call(self.level, self.evidence.noise if self._trying else 0.0)
        self.state.called(now)
        if isinstance(self.state, Searching | BackingOff | Recovering):
            self._level_since = now + MINUTE_S
        elif now >= self._level_since:
            self.levels.call(self.level)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        """Time passed; `reached` tells how many calls of the last minute were admitted."""
        if self._changed_at is not None:
            self.state.advance(now, reached)

    def repeated(self) -> None:
        """A 429 without news came: of a call that started before the last correction."""
        self.budget.refused()

    def throttled(self, refusal: Refusal, in_flight: int, now: float) -> bool:
        """A 429 with news came, of one of so many calls in flight; whether it changed anything."""
        self._row = 1 if refusal.passed else self._row + 1
        if self._row == 1:
            self._innocent = self.state.if_innocent
        self.gap = self.calls - self._refused_call
        self._refused_call = self.calls
        self.refusals += 1
        self.evidence.refused(self.state.limit_share)
        if refusal.passed and now >= self._level_since:
            self.levels.refused()
        if self._trying or not self.evidence.noise:
            self.budget.refused(self.evidence.noise)
        if self._row >= BLOCK and not isinstance(self.state, BackingOff):
            self.state.blocked(refusal, now)
            self.state = BackingOff(self, self.state, now, self._innocent)
            return True
        searching = self.searching
        changed = self.state.refused(refusal, now)
        if searching and not self.searching:
            self._blamed_in_flight = in_flight
        return changed

    @property
    def noise_is_new(self) -> bool:
        """Noise was found within the last calls: a surprise now refutes it."""
        return self.evidence.noise > 0 and self.calls - self.noise_call < _NEW_NOISE

    def absolve(self, in_flight: int, now: float) -> None:
        """A cap on calls in flight explains what ended the search: it goes on."""
        if not self.told and in_flight < self._blamed_in_flight:
            self._blamed_in_flight = 0
            self.proven = 0.0
            self.enter(Searching(self), self.level, now)

    # --- for the states

    def enter(self, state: State, level: float, now: float) -> None:
        """Another state, with another question."""
        self.state = state
        self.evidence.clear()
        self.set(level, now)

    def settle(self, level: float, now: float) -> None:
        """Hold a level."""
        self.tried_at = max(self.tried_at, now)
        self.enter(Holding(self), level, now)

    def prove(self) -> None:
        """The level was kept up: no minute that held less can have been full."""
        if not self.proven and _DISTANCE_LEAST <= self.level <= _DISTANCE_MOST:
            innocent = sum(count <= self.level - 1 for count in self.counts)
            self.by_distance = innocent >= _INNOCENT
            if self.by_distance and not self.evidence.odds:
                self.budget.clear()  # there is more, for it was not refused while it was held
        self.proven = max(self.proven, self.level)
        self.best = max(self.best, self.proven)

    def overshot(self, level: float, now: float) -> None:
        """A level was refused when it was held: nothing near it is believed for a while."""
        self.too_high, self._too_high_at = level, now

    def believable(self, level: float, now: float) -> float:
        """`level`, but no more than half of the way from what is proven to what was too high."""
        if now - self._too_high_at > _TOO_HIGH_S:
            self.too_high = math.inf
        level = min(level, (self.proven + self.too_high) / 2)
        return level if level >= self.proven + _CLOSER else self.proven

    def fall(self, level: float, now: float) -> None:
        """The quota fell; the best level stays known, and is tried again soon."""
        self.too_high = self.free_at = math.inf
        if level < _FELL * self.best:
            self.fell_at = now
        self.proven = min(self.proven, level)
        self.settle(level, now)

    def set(self, level: float, now: float) -> None:
        """Another level, whose time begins now."""
        level = min(self.ceiling, max(_LEAST, level))
        if level != self.level:
            self.previous, self.level = self.level, level
        self._changed_at = now
        self._starts = 0

    def kept_s(self, now: float) -> float:
        """How long the level has been what it is."""
        return now - (now if self._changed_at is None else self._changed_at)

    def kept(self, seconds: float, now: float) -> bool:
        """The level was made use of for so long; if it was not used, the time begins anew."""
        if self.kept_s(now) < seconds:
            return False
        if self._starts >= _EXERCISED * self.level * self.kept_s(now) / MINUTE_S - 1:
            return True
        self.set(self.level, now)
        return False

    def unblocked(self, now: float) -> None:
        """Calls go through again."""
        self._row = 0
        self.evidence.clear()
        self.not_before = now

    def bound(self, refusal: Refusal) -> float:
        """At most what the last minute held, and what goes through from refusal to refusal."""
        if self.by_distance:
            return _WIDER * self.level
        bound = min(self.level, float(refusal.in_window))
        if refusal.measured is not None and refusal.passed:
            bound = min(bound, max(refusal.measured, self.level / 2))
        return bound
