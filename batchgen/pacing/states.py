"""The six states of a rate, each with its question and its evidence.

*Searching* doubles the rate until refusals end it. *Holding* keeps a level. *Trying* raises one
that is proven, now and then. *Backing off* probes with single calls while nothing goes through;
*recovering* comes back to the level of before. *Sharing* adapts to programs with the same quota.
"""

# ruff: noqa: ARG002, B027, D102 - `State` says what the methods do, and what they are given
from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from batchgen.pacing.evidence import LIMIT_SHARE, MANY, ONE, SEVERAL, TWO, Refusal, Share
from batchgen.pacing.window import MINUTE_S, SURE_S

if TYPE_CHECKING:
    from batchgen.pacing.rate import Rate

_STEP_S, _STEP_CALLS = 15.0, 1.5
"""A step of a search or a try lasts so long, and until so many calls were made."""
BLOCK = 3
"""So many refusals in a row, with nothing admitted between: a block. Strays of 5 % do that once
in 8,000 calls."""
_TELLING = 3
"""With fewer calls admitted in the minute a refusal says nothing: an outage looks the same."""


class Phase(StrEnum):
    """The states, in words for people."""

    SEARCHING = "searching for the quota"
    HOLDING = "steady"
    TRYING = "trying for more"
    BACKING_OFF = "waiting after refusals"
    RECOVERING = "coming back after refusals"
    SHARING = "sharing the quota"
    LOWERED = "the service admits fewer calls than the quota that was given"
    """Holding or trying below it; said to people, never a state of its own."""


class State(ABC):
    """What all states have in common."""

    phase: ClassVar[Phase]
    limit_share: ClassVar[float] = LIMIT_SHARE
    """The share of calls that a limit is expected to refuse in this state."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate

    def called(self, now: float) -> None:
        """A call starts."""

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        """Time passed."""

    @abstractmethod
    def refused(self, refusal: Refusal, now: float) -> bool:
        """A call was refused after others were admitted; whether that changed anything."""

    def blocked(self, refusal: Refusal, now: float) -> None:
        """Nothing goes through."""

    @property
    def if_innocent(self) -> tuple[State, float] | None:
        """What goes on, at which level, if a block begins that lasts too long to be our rate's."""
        return None

    @property
    def _step_s(self) -> float:
        return max(_STEP_S, MINUTE_S * _STEP_CALLS / self.rate.level)


class Searching(State):
    """Where is the quota? Twice the rate every 15 s, until refusals end it."""

    phase = Phase.SEARCHING
    limit_share = 0.5
    """Each step doubles the rate, so that a limit refuses half of the calls, or all of them."""
    _FREELY, _BEYOND = 24.0, 4.0
    """Up to the first rate freely, then to four times what the last minute held at most: a minute
    meter refuses only when it is full, and all that runs ahead of it is refused at once."""
    _FEW, _ENOUGH_OF_FEW, _ENOUGH = 20, 7.5, 12.0
    """Odds that end it. A refusal adds log(0.5 / 0.005) = 4.6 here and a call takes 0.7 away: while
    the minute holds few calls, two refusals with one call between, else three with two."""
    _DEAR, _PAUSE_S = 40, 30.0
    """So little found, nothing starts for half a minute: a fixed minute that is full refuses until
    it ends, and each of these refusals would be half a percent of an hour or so."""
    _BLOCKS = 3
    """So many blocks, with calls admitted between, are a quota of one or two a minute; one that is
    longer than a minute is an outage, for no minute is full for so long."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate)
        self._blocks = 0

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        rate = self.rate
        if rate.kept(self._step_s, now) and rate.evidence.odds < ONE:
            most = max(self._FREELY, self._BEYOND * reached(now))
            rate.set(min(2 * rate.level, most), now)

    def refused(self, refusal: Refusal, now: float) -> bool:
        need = self._ENOUGH_OF_FEW if refusal.in_window < self._FEW else self._ENOUGH
        if self.rate.proven:
            need = ONE
        if refusal.in_window < _TELLING or self.rate.evidence.odds < need:
            return False
        self._end(refusal, now)
        return True

    def blocked(self, refusal: Refusal, now: float) -> None:
        self._blocks += 1
        if refusal.in_window >= _TELLING or self._blocks >= self._BLOCKS:
            self._end(refusal, now)

    @property
    def if_innocent(self) -> tuple[State, float] | None:
        first = not self.rate.proven and self._blocks < self._BLOCKS - 1
        return (self, self.rate.level) if first else None

    def _end(self, refusal: Refusal, now: float) -> None:
        rate = self.rate
        if rate.proven:
            _end_try(rate, refusal, now)
            return
        # What goes through between refusals is more than the minute held: no minute is full.
        level = max(rate.bound(refusal), refusal.between or 0.0)
        rate.settle(min(rate.level, level), now)
        if refusal.in_window < self._DEAR:
            rate.not_before = now + self._PAUSE_S


class Trying(State):
    """Is there more? Three percent above what is proven, then nine, and on."""

    phase = Phase.TRYING
    _GAIN, _GAIN_CALLS = 0.03, 0.5
    """First step: a share of the level, or calls a minute; doubled with each step."""
    _STEPS, _LONG_S = 3, 55.0
    """Three steps, 21 % more, show within a minute on nearly any meter whether there is more; after
    that the try goes on as a search. Larger ones would fill a fixed minute before its end, so that
    it holds more than the quota for the 60 s that we see."""

    def __init__(self, rate: Rate, now: float) -> None:
        super().__init__(rate)
        self._steps = 0
        self._until = now + max(self._LONG_S, (self._STEPS + 1) * self._step_s)
        rate.evidence.clear()
        self._step_up(now)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        rate = self.rate
        if self._steps < self._STEPS:
            if rate.kept(self._step_s, now):
                self._step_up(now)
        elif now >= self._until and rate.kept(0.0, now):
            rate.too_high = math.inf
            rate.state = Searching(rate)
            rate.set(2 * rate.level, now)

    def _step_up(self, now: float) -> None:
        rate = self.rate
        self._steps += 1
        gain = max(self._GAIN * rate.proven, self._GAIN_CALLS) * (2**self._steps - 1)
        rate.set(rate.proven + gain, now)
        if rate.level >= rate.ceiling:
            rate.settle(rate.level, now)

    def refused(self, refusal: Refusal, now: float) -> bool:
        if self.rate.evidence.odds < ONE:
            return False
        _end_try(self.rate, refusal, now)
        return True

    def blocked(self, refusal: Refusal, now: float) -> None:
        _end_try(self.rate, refusal, now)


_ROSE, _ROSE_CALLS = 1.15, 3.0
"""A minute that held more than this above the proven level is a quota that rose."""
_GAINED, _GAINED_MOST = 1 / 3, 0.02
"""What else a failed try gains: a third of what it showed, at most 2 %, for a fixed minute shows
the rest of the minute before."""

_FAR = 1.1
"""A try that gains more than this by distance is followed by another: it began far too low."""


def _end_try(rate: Rate, refusal: Refusal, now: float) -> None:
    """A try, or a search that came of one, was refused."""
    rate.tried_at = now
    if rate.by_distance:
        if rate.previous > _FAR * rate.proven:
            rate.budget.clear()
        rate.settle(max(rate.proven, rate.previous), now)
        return
    bound = rate.bound(refusal)
    if bound > _ROSE * rate.proven + _ROSE_CALLS:
        rate.settle(bound, now)
        return
    level = rate.proven + min(_GAINED * (bound - rate.proven), _GAINED_MOST * rate.proven)
    rate.settle(rate.believable(level, now), now)


_FREE_TRY = 30.0
"""What a search found of at least so much is tried at once, and again when noise shows, whatever
the search cost: strays or a short outage may have ended it far too low."""
_LATE_TRY_S, _TINY, _LATE_TRY_CALLS = 300.0, 7.0, 400.0
"""Of fewer calls each is dear: they are tried so much later, unless their level was refused again
while it was held, and where they are fewest after so many calls: a refusal is 0.25 % of them."""


class Holding(State):
    """Is this level right? Kept up without a blame it is proven; then more is tried."""

    phase = Phase.HOLDING
    _PROOF_S, _NEW_S = 60.0, 120.0
    """A level is proven after a minute, a new one after two: a fixed minute, and what is left of
    the one before. A bucket shows one call a minute too many in that time."""
    _FELL_TRY_S, _FELL_S = 90.0, 1800.0
    """For half an hour after a quota fell it is tried every 90 s: it may come back, or rise. That
    costs a refusal in 90 s."""
    _TRIM = 0.97
    """What refusals now and then leave of a level, at most: it may be a little too high."""
    _COARSE, _TRIM_COARSE = 4.0, 0.9
    """With fewer calls a minute the count of one is too coarse to lower a level by: so much stays
    of it."""
    _EXCESS, _EXCESS_CALLS = 1.5, 250.0
    """Two refusals within 125 calls lower a level that was found: it may be a call too high."""
    _EXCESS_TOLD, _EXCESS_TOLD_CALLS, _EXCESS_NOISE, _NOISES = 3.0, 150.0, 80.0, 1.5
    """A quota that was told, or noise that is known, takes three more than one in 150 calls and
    half as much again as the noise; and four more at 5 % of it, for strays come in bursts: this
    happens once in some 20,000 calls."""
    _SMALL, _LATE_S = 30.0, 0.2
    """Calls of a quota of at most so many a minute are sent so much further apart when they are
    refused, before anybody else is blamed: a bucket of one token wants its distance between calls
    as they arrive, whatever the network did to them. That costs a tenth of the quota at most."""
    _MEMORY = 100.0
    """Calls over which the share refused is taken: five refusals of strays of 5 %."""
    _FULL, _PAUSED = 0.97, 0.9
    """A minute that holds so much of the level is full; one that holds less, within a minute of a
    change, began with a pause: its count says little."""
    _BLOCKS_S, _OURS = 240.0, 0.8
    """Blocks so close are about our rate: a quota that fell where so much of the minute was ours,
    another program where it was not."""
    _DROP = 0.95
    """A block leaves so much of a level at most."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate)
        self._excess = 0.0
        self._share = Share(self._MEMORY)

    @property
    def _believed(self) -> bool:
        return self.rate.told is not None or self.rate.evidence.noise > 0

    def called(self, now: float) -> None:
        self._share.call()
        calls = self._EXCESS_TOLD_CALLS if self._believed else self._EXCESS_CALLS
        less = 1 / calls + self._NOISES * self.rate.evidence.noise
        self._excess = max(0.0, self._excess - less)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        rate = self.rate
        if not rate.kept(self._PROOF_S if rate.level <= rate.proven else self._NEW_S, now):
            return
        if not rate.proven:
            rate.free_at = now + self._wait_s
        rate.prove()
        if rate.level < rate.ceiling and self._may_try(now):
            rate.state = Trying(rate, now)

    @property
    def _wait_s(self) -> float:
        """From the proof of what a search found to a try that is free."""
        rate = self.rate
        if rate.level >= _FREE_TRY:
            return 0.0
        if rate.too_high < math.inf or rate.evidence.odds:
            return math.inf
        return _LATE_TRY_S if rate.level >= _TINY else MINUTE_S * _LATE_TRY_CALLS / rate.level

    def _may_try(self, now: float) -> bool:
        rate = self.rate
        if now - rate.fell_at < self._FELL_S:
            rate.budget.clear()  # these are paid by the time between them
            return now - rate.tried_at >= self._FELL_TRY_S
        if now >= rate.free_at:
            rate.free_at = math.inf
            rate.budget.clear()
        return rate.budget.allows

    def refused(self, refusal: Refusal, now: float) -> bool:
        rate = self.rate
        self._share.refused()
        if not refusal.passed:
            return False  # one block, which is another question
        still_full = rate.kept_s(now) < _STEP_S and refusal.in_window >= self._FULL * rate.level
        if still_full and rate.evidence.odds < TWO:
            return False
        self._excess += 1
        if rate.level > rate.proven:
            return self._unproven_refused(refusal, now)
        return self._proven_refused(refusal, now)

    def _unproven_refused(self, refusal: Refusal, now: float) -> bool:
        rate = self.rate
        paused = rate.kept_s(now) < MINUTE_S and refusal.in_window < self._PAUSED * rate.level
        if rate.evidence.odds < (TWO if paused else ONE):
            return False
        if not _shown_as_noise(rate, now):
            if refusal.in_window <= rate.proven:
                rate.by_distance = False  # it is the minute after all: it held no more than before
            level = max(rate.proven, self._lower(refusal))
            rate.overshot(rate.level, now)
            rate.settle(level, now)
        return True

    def _lower(self, refusal: Refusal) -> float:
        rate, bound = self.rate, self.rate.bound(refusal)
        if rate.level < self._COARSE:
            bound = max(bound, self._TRIM_COARSE * rate.level)
        return min(bound, self._TRIM * rate.level)

    def _proven_refused(self, refusal: Refusal, now: float) -> bool:
        rate, noise = self.rate, self.rate.evidence.noise
        need = TWO if rate.noise_is_new else SEVERAL if rate.told is None else MANY
        if rate.evidence.odds >= need:
            if not self._space_out(now):
                self._surprise(now)
            return True
        most = self._EXCESS_TOLD + self._EXCESS_NOISE * noise if self._believed else self._EXCESS
        if self._excess < most:
            return False
        if self._space_out(now):
            return True
        if not _shown_as_noise(rate, now) and not self._noise_beside_told(now):
            if self._believed:
                self._surprise(now)
            else:
                rate.fall(self._lower(refusal), now)
        return True

    def _space_out(self, now: float) -> bool:
        """A small quota that was told: its meter may only ask for a distance between calls."""
        rate = self.rate
        if rate.told is None or rate.told > self._SMALL:
            return False
        if not rate.spaced and rate.level == rate.told:
            rate.spaced = MINUTE_S / (MINUTE_S / rate.told + self._LATE_S)
            rate.fall(rate.spaced, now)
            return True
        if rate.level == rate.spaced:
            rate.proven = rate.told
            rate.settle(rate.told, now)
            return True
        return False

    def _noise_beside_told(self, now: float) -> bool:
        """Refusals here and there at the quota that was told are taken for noise before sharing."""
        rate, share = self.rate, self._share.value
        doubted = rate.evidence.noise > 0 or now - rate.refuted_at < _REFUTED_S
        if rate.level != rate.told or doubted or rate.gap < _SPREAD or share >= _NOISE_MOST:
            return False
        _take_for_noise(rate, share, rate.level, now)
        return True

    def _surprise(self, now: float) -> None:
        """A proven level is refused again and again: the quota fell, or somebody else uses it."""
        rate = self.rate
        if rate.noise_is_new:
            rate.refuted_at = now
        rate.evidence.noise = 0.0
        _share(rate, now)

    def blocked(self, refusal: Refusal, now: float) -> None:
        """Two blocks within four minutes are about our rate; one alone may be an outage."""
        rate = self.rate
        calls, since_s = rate.calls - rate.block_call, now - rate.block_began_at
        rate.block_began_at, rate.block_call = now, rate.calls
        self._excess = 0.0
        count = float(refusal.in_window)
        if rate.level > rate.proven:
            if rate.kept(_STEP_S, now):
                rate.settle(max(rate.proven, min(count, self._DROP * rate.level)), now)
        elif since_s > self._BLOCKS_S:
            return
        elif calls < self._OURS * count:
            _share(rate, now)
        elif count >= _TELLING:
            rate.fall(min(self._DROP * rate.level, max(count, rate.level / 3)), now)


_NOISE_MOST, _NOISE_FORGIVEN = 0.08, 0.015
"""A larger share is never taken for noise: going on would cost too much. Once there is noise, one
refusal alone is never enough: log(0.25 / 0.015) is below `ONE`."""
_SPREAD = 5
"""Refusals with so many calls between are spread, as strays are; a full meter refuses in a row."""
_REFUTED_S = 600.0
"""A noise that was refuted is not believed for so long."""


def _shown_as_noise(rate: Rate, now: float) -> bool:
    """Refused at lower levels as often as at higher ones: to the quota that this shows."""
    found = rate.levels.noise()
    if rate.told or not found or now - rate.refuted_at < _REFUTED_S:
        return False
    share, level = found
    if share <= rate.evidence.noise or level < rate.level:
        return False
    _take_for_noise(rate, share, level, now)
    return True


def _take_for_noise(rate: Rate, share: float, level: float, now: float) -> None:
    if not rate.evidence.noise and share > _NOISE_FORGIVEN and level >= _FREE_TRY:
        rate.budget.clear()
    rate.evidence.noise = max(share, _NOISE_FORGIVEN)
    rate.by_distance = False
    rate.noise_call = rate.calls
    rate.too_high = math.inf
    rate.proven = level
    rate.settle(level, now)


class BackingOff(State):
    """Is it over? Single calls, ever more rarely, until one goes through."""

    phase = Phase.BACKING_OFF
    _PAUSE_S, _MOST_S = 2.0, 15.0
    """Pause after a block, doubled with each probe refused, up to the most: a block of five
    minutes costs some twenty probes, and its end is seen 15 s later."""

    def __init__(
        self, rate: Rate, before: State, now: float, if_innocent: tuple[State, float] | None
    ) -> None:
        """`if_innocent`: what `State.if_innocent` said at the first refusal of the block."""
        super().__init__(rate)
        self.before, self.level, self.since = before, rate.level, now
        self._if_innocent = if_innocent
        if isinstance(before, Recovering):
            self.before, self.level, self.since = before.before, before.level, before.since
        self._probed_at: float | None = None
        self._pause_s = max(self._PAUSE_S, MINUTE_S / rate.level) / 2
        rate.evidence.clear()
        self._wait(now)

    def called(self, now: float) -> None:
        self._probed_at = now
        self.rate.not_before = now + SURE_S

    def refused(self, refusal: Refusal, now: float) -> bool:
        self._wait(now)
        return True

    def _wait(self, now: float) -> None:
        self._pause_s = min(max(self._MOST_S, MINUTE_S / self.level), 2 * self._pause_s)
        self._probed_at = None
        self.rate.not_before = now + self._pause_s

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        if self._probed_at is None or now < self._probed_at + SURE_S:
            return
        self.rate.unblocked(now)
        if now - self.since <= MINUTE_S:
            self.rate.enter(self.before, self.level, now)
        else:
            if self._if_innocent:
                self.before, self.level = self._if_innocent
            state = Recovering(self)
            self.rate.enter(state, state.first, now)


class Recovering(State):
    """Is all of it back? Twice the rate every five seconds, up to the level of before."""

    phase = Phase.RECOVERING
    _STEP_S = 5.0
    _BEGIN, _BEGIN_LEAST = 8, 6.0
    """From an eighth of the level, and 6 a minute at least: 15 s until all is back."""

    def __init__(self, block: BackingOff) -> None:
        super().__init__(block.rate)
        self.before, self.level, self.since = block.before, block.level, block.since
        self.first = max(min(self.level, self._BEGIN_LEAST), self.level / self._BEGIN)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        rate = self.rate
        if not rate.kept(self._STEP_S, now):
            return
        if rate.level >= self.level:
            rate.state = self.before
        rate.set(min(self.level, 2 * rate.level), now)

    def refused(self, refusal: Refusal, now: float) -> bool:
        rate = self.rate
        if rate.evidence.odds < TWO:
            return False
        rate.evidence.clear()
        rate.set(rate.level / 2, now)
        return True


class Sharing(State):
    """How much is ours? A fifth less at a refusal, and the same few calls more every 15 s."""

    phase = Phase.SHARING
    _CUT = 0.8
    """What to keep at a refusal: who has more gives more, until all have alike."""
    _NEAR = 0.9
    """A refusal above this share of the level refused last is what sharing is about; an early one,
    below it, comes from others who still adapt, or is noise."""
    _ADD, _ADD_SHARE, _ADD_TOLD = 1.2, 0.06, 100.0
    """Calls a minute added each step, alike for all who share, whatever each has: that makes it
    fair. Less for the smallest quotas, and a hundredth of a quota that was told."""
    _ALONE = 1.05
    """So far above the level refused last the others have gone: steps double."""
    _SIGNS, _SIGN_NEAR = 2.6, 0.5
    """Early spread refusals that show noise beside a quota that was told, for that is believed. One
    that is near takes half a sign back, one that is not spread a whole one."""
    _PEAKS, _PEAK_SPREAD, _PEAK_S = 4, 1.15, 240.0
    """Refused so often at the same level for so long: a limit that stays, to be held from below."""
    _BELOW = 0.98
    """Of what it refused, for it was refused there."""
    _SMALL, _LONG, _OFTEN, _MOST_OF_IT = 20.0, 60, 0.03, 0.55
    """Of a small quota the level is near again before the next stray comes. There so large a share
    refused in so many calls is noise, as long as more than half of the quota is still ours, for
    another program would have taken that."""
    _PROOF_S = 75.0
    """Back at the level of before for so long, the others have gone: a fixed minute and a step."""

    def __init__(self, rate: Rate, now: float) -> None:
        super().__init__(rate)
        self._entry = rate.level
        self._share = Share(300)
        self._signs = 0.0
        self._peaks: deque[float] = deque(maxlen=self._PEAKS)
        self._entered_at = now
        self._steps = 0
        self._last_refused = rate.level

    def called(self, now: float) -> None:
        self._share.call()

    def refused(self, refusal: Refusal, now: float) -> bool:
        rate = self.rate
        self._share.refused()
        if _shown_as_noise(rate, now):
            return True
        if self._is_noise_of_few:
            _take_for_noise(rate, self._share.value, self._entry, now)
            return True
        if rate.level >= self._NEAR * self._last_refused:
            self._signs = max(0.0, self._signs - self._SIGN_NEAR)
            self._peaks.append(rate.bound(refusal))
            if self._limit_stays(now):
                rate.fall(self._BELOW * min(self._peaks), now)
            else:
                self.give(now)
            return True
        self._signs = max(0.0, self._signs + (1 if rate.gap > _SPREAD else -1))
        believed = self._share.value < _NOISE_MOST and now - rate.refuted_at >= _REFUTED_S
        if rate.told is not None and believed and self._signs >= self._SIGNS:
            _take_for_noise(rate, self._share.value, self._entry, now)
            return True
        if rate.evidence.odds < SEVERAL:
            return False
        self._signs = 0.0
        self.give(now)
        return True

    def blocked(self, refusal: Refusal, now: float) -> None:
        self.give(now)

    @property
    def _is_noise_of_few(self) -> bool:
        """A small quota was told, and calls are refused here and there, whatever the level."""
        rate, share = self.rate, self._share
        return (
            rate.told == self._entry < self._SMALL
            and rate.gap > _SPREAD
            and share.calls >= self._LONG
            and self._OFTEN <= share.value < _NOISE_MOST
            and rate.level >= self._MOST_OF_IT * self._entry
        )

    def _limit_stays(self, now: float) -> bool:
        steady = len(self._peaks) == self._PEAKS and max(self._peaks) < self._PEAK_SPREAD * min(
            self._peaks
        )
        return steady and now - self._entered_at > self._PEAK_S

    def give(self, now: float) -> None:
        """Make room."""
        rate = self.rate
        rate.evidence.clear()
        self._last_refused = rate.level
        rate.set(self._CUT * rate.level, now)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        """A step up; at the level of before, and after its proof, others have gone."""
        rate = self.rate
        if rate.level >= min(self._entry, rate.ceiling):
            if rate.kept(self._PROOF_S, now):
                rate.proven = rate.level
                rate.enter(Holding(rate), rate.level, now)
            return
        if not rate.kept(self._step_s, now):
            return
        self._steps = self._steps + 1 if rate.level > self._ALONE * self._last_refused else 0
        step = min(self._ADD, self._ADD_SHARE * self._entry)
        if rate.told is not None:
            step = rate.told / self._ADD_TOLD
        rate.set(rate.level + step * 2.0 ** min(6, self._steps), now)


def _share(rate: Rate, now: float) -> None:
    state = Sharing(rate, now)
    rate.state = state
    state.give(now)
