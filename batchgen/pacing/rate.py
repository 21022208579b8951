"""The rate that calls may start at: six states, each with its question and its evidence.

*Searching* doubles the rate until refusals end it. *Holding* keeps a level. *Trying* raises one
that is proven, now and then. *Backing off* probes with single calls while nothing goes through;
*recovering* comes back to the level of before. *Sharing* adapts to programs with the same quota.
`proven` is never forgotten because of a pause. `docs/pacing.md` has the diagram and the figures.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from batchgen.pacing.evidence import ALLOWANCE, Doubt, Refusal, Share
from batchgen.pacing.window import MINUTE_S, SURE_S

_FIRST = 6.0
"""Calls a minute at which a search begins: the smallest quotas that AWS documents are 10."""
_LEAST = 0.5
"""Calls a minute that are tried even where nearly all is refused."""
_EXERCISED = 0.7
"""A level of which less was used says nothing about the quota."""
_PROOF_S = 75.0
"""A level that was kept up for so long without a blame is proven: a fixed minute and its margin."""
_SMALL_GAIN, _GAIN_PROOFS = 1.2, 1.5
"""A gain of less than so many calls a minute shows after 1/gain minutes; half of that is added."""

_STEP_S, _STEP_CALLS = 15.0, 1.5
"""A step of a search or a try lasts so long, and until so many calls were made."""
_FREELY, _BEYOND = 24.0, 4.0
"""A search goes on freely up to this rate, then to four times what the last minute held at most:
a minute meter refuses only when it is full, and all that runs ahead of it is refused at once."""
_SEARCH_ALLOWANCE = 0.15
_END_SMALL, _END, _FEW = 1.7, 2.6, 12
"""Evidence that ends a search: three refusals in a few calls; two while the minute holds fewer
than `_FEW`, for there each refusal is a percent of the hour. A search has double the quota soon and
half of its calls refused, so it forgives more for each call: strays do not end it."""
_TELLING = 3
"""With fewer calls admitted in the minute a refusal says nothing: an outage looks the same."""
_BURST_SHARE = 0.75
"""A small bucket began full, so that its first minute held more than it refills in one."""

_GAIN, _GAIN_CALLS = 0.03, 0.5
"""First step of a try: a share of the level, or calls a minute; doubled with each step."""
_TRY_TOP, _TRY_TOP_CALLS = 1.3, 2.0
"""A try that gets so far has left the level behind, and goes on as a search."""
_TRY_MIN, _TRY_SCARCE = 1.4, 3000.0
"""Minutes between tries that fail, at most 1.4 + 3000/level²: a try costs a call or two, about 1 %
of the calls between, and a quota that rises should be in use three minutes later."""
_TRY_GROWTH = 1.5
_FIRST_TRY_CALLS, _FIRST_TRY_CALLS_SMALL = 120.0, 240.0
"""After a search, calls until the first try: what was found in a hurry may be too low."""
_NOISY_TRIES = 40.0
"""With strays a try takes more refusals to fail, so tries come 1 + 40 x noise times rarer."""
_FELL_TRY_S, _FELL_S, _FELL = 90.0, 1800.0, 0.9
"""For half an hour after a quota fell, it is tried every 90 s: what fell may come back."""
_ROSE, _ROSE_CALLS = 1.15, 3.0
"""A minute that held more than this above the proven level may be a quota that rose..."""
_SURELY_ROSE = 2.1
"""...and surely is one from here on: a full bucket and a new minute give up to twice."""
_KNOWN = 1.1
"""So far above the best level ever proven a gain is a quota that came back."""
_SMALL_STEP = 0.02
"""What else a failed try gains: a third of what it showed, at most 2 %, for a fixed minute shows
the rest of the minute before."""
_RETRY_MIN = 0.5
"""Minutes until a try that may have met a quota that rose is made again, to be sure."""

_BLAME, _BLAME_MANY, _BLAME_TOLD = 0.9, 1.2, 1.5
"""Evidence against a level that is not proven: a refusal; two within 40 calls where a call more
does not matter or nothing is proven at all; two within 25 of a quota that was told."""
_MANY = 150.0
_BLAME_NOISY, _BLAME_NOISIER, _NOISE, _NOISIER = 1.7, 2.5, 0.005, 0.02
"""The same while strays are known to come, a few or many."""
_BLAME_PROVEN, _BLAME_PER_NOISE = 2.7, 40.0
"""Evidence against a level that is proven or told: three refusals in a few calls."""
_TRIM, _TRIM_CALLS, _TRIM_MOST = 0.03, 0.6, 0.1
"""What a proven level loses by two refusals at it: it may be a little too high."""
_LOWER = 0.85
"""With nothing proven and no minute of ours to tell more."""
_CONTESTED = 0.2
"""From this share of refused calls on, a trim will not do."""
_SPREAD = 5
"""Refusals with so many calls between are spread, as strays are; a full meter refuses in a row."""
_TRIMS, _TRIM_MEMORY = 4, 800
"""Blamed so often within so many calls, lower and lower, and refused as ever: it is noise."""
_NOISE_MOST = 0.12
"""More than this share is never taken for noise: going on would cost too much."""
_REFUTED_CALLS, _REFUTED_FACTOR, _REFUTED_MORE, _REFUTED_AFTER = 150, 1.5, 0.04, 60
"""Noise is refuted by a blame in the first calls after going back, or by a share far above it..."""
_REFUTED_S = 600.0
"""...and then not believed for so long."""

_ROW = 3
"""So many refusals in a row, with nothing admitted between: a block. Strays of 5 % do that once
in 8,000 calls."""
_PAUSE_S, _PAUSE_MOST_S = 2.0, 15.0
"""Pause after a block, doubled with each probe refused, up to the most: a block of five minutes
costs some twenty probes, and its end is seen 15 s later."""
_BACK_S = 5.0
"""After a block of more than a minute: from an eighth of the level by doubling, this long each."""
_BACK_SHARE = 8.0
_BLAME_BACK = 1.7
_BLOCKS_S = 240.0
"""Two blocks within this time are about our rate; one alone may be an outage."""
_OURS = 0.8
"""A minute of which so much was admitted since the last block began is a minute of ours."""
_DROP, _BLOCK_DROP, _FALL_MOST = 0.95, 0.8, 1 / 3
_HALF = 0.7
"""A window that holds less than this of the level, kept up for a minute, is a quota that fell."""

_CUT = 0.8
"""What to keep at a refusal while sharing: who has more gives more, until all have alike."""
_NEAR = 0.9
"""A refusal above this share of the level refused last is what sharing is about; an early one,
below it, comes from others who still adapt, or is noise."""
_EARLY_CALLS, _EARLY = 30.0, 1.5
"""Two early refusals within 15 calls are a cut as well."""
_ADD, _ADD_SHARE, _ADD_TOLD = 1.2, 0.06, 100.0
"""Calls a minute added each step, alike for all who share, whatever each has: that makes it fair.
Less for the smallest quotas, and a hundredth of a quota that was told."""
_ALONE = 1.05
"""So far above the level refused last the others have gone: steps double."""
_SIGNS, _SIGN_NEAR, _SIGN_GAP = 3.5, 0.5, 6
"""Early spread refusals that show noise; one that is near takes half a sign back."""
_PEAKS, _PEAK_SPREAD, _PEAK_S = 4, 1.2, 420.0
"""Refused so often at the same level for so long: a limit that stays, to be held from below."""


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


class Rate:
    """The rate, calls a minute, and the instant before which no call may start."""

    def __init__(self, told: float | None, remembered: float | None = None) -> None:
        """`told`: the quota as the user knows it; `remembered`: what an earlier run proved."""
        self._told = told
        self._ceiling = math.inf if told is None else told
        self.phase = Phase.SEARCHING if told is None else Phase.HOLDING
        self.level = told or remembered or _FIRST
        self.proven = told or 0.0
        """The highest level that was kept up; a quota that was told is believed. 0: none yet."""
        self.not_before = -math.inf
        """No call may start before this instant."""
        self._best = self.proven
        self._changed_at: float | None = None
        self._starts = self._calls = 0
        self._refused_call = self._gap = self._row = 0
        self._doubt = Doubt()
        self._recent, self._long = Share(20), Share(200)
        self._at_level = 0
        self._trims: list[tuple[int, float]] = []
        self._noise_call, self._refuted_at = 0, -math.inf
        self._steps, self._try_min = 0, 0.0
        self._tried_at = self._fell_at = -math.inf
        self._ambiguous = False
        self._block = _Block()
        self._before = (self.phase, self.level, self.proven, self._trims)
        self._falls: deque[float] = deque(maxlen=2)
        self._entry, self._last_refused = 0.0, math.inf
        self._sharing, self._signs, self._early = Share(300), 0.0, 0.0
        self._peaks: deque[float] = deque(maxlen=_PEAKS)
        self._entered_at = 0.0

    @property
    def searching(self) -> bool:
        """No level was found yet."""
        return not self.proven and self.phase is Phase.SEARCHING

    def started(self, now: float) -> None:
        """A call starts."""
        if self._changed_at is None:
            self._changed_at = now
        self._starts += 1
        self._calls += 1
        self._doubt.call(_SEARCH_ALLOWANCE if self.phase is Phase.SEARCHING else ALLOWANCE)
        self._recent.call()
        self._long.call()
        if self.phase is Phase.BACKING_OFF:
            self._block.probed_at = now
            self.not_before = now + SURE_S
        elif self.phase is Phase.SHARING:
            self._sharing.call()
            self._early = max(0.0, self._early - 1 / _EARLY_CALLS)

    def advance(self, now: float, reached: Callable[[float], int]) -> None:
        """Time passed; `reached` tells how many calls of the last minute were admitted."""
        if self._changed_at is None:
            return
        match self.phase:
            case Phase.BACKING_OFF:
                self._watch_probe(now)
            case Phase.HOLDING:
                self._hold(now)
            case Phase.RECOVERING if self._kept(_BACK_S, now):
                self._recover(now)
            case Phase.SEARCHING if self._kept(self._step_s, now):
                self._search(now, reached)
            case Phase.TRYING if self._kept(self._step_s, now):
                self._step_up(now)
            case Phase.SHARING if self._kept(self._step_s, now):
                self._add(now)

    def throttled(self, refusal: Refusal, now: float) -> bool:
        """A 429 with news came; whether it changed anything."""
        self._row = 1 if refusal.passed else self._row + 1
        self._gap = self._calls - self._refused_call
        self._refused_call = self._calls
        for count in (self._doubt, self._recent, self._long):
            count.refused()
        self._block.refused += 1
        if self.phase is Phase.BACKING_OFF:
            self._probe_refused(now)
            return True
        if self._row == 1:
            self._before = (self.phase, self.level, self.proven, list(self._trims))
            return self._judge(refusal, now)
        if self._row < _ROW:
            return False
        self._blocked(refusal, now)
        return True

    def _judge(self, refusal: Refusal, now: float) -> bool:
        """Whether a refusal that came after calls that were admitted is about our rate."""
        answers = {
            Phase.SEARCHING: self._search_refused,
            Phase.TRYING: self._try_refused,
            Phase.HOLDING: self._hold_refused,
            Phase.RECOVERING: self._recovering_refused,
            Phase.SHARING: self._sharing_refused,
        }
        return answers[self.phase](refusal, now)

    # --- searching and trying: where does it end?

    def _search(self, now: float, reached: Callable[[float], int]) -> None:
        if self._doubt.score < 1 / 2:
            self._set(min(2 * self.level, max(_FREELY, _BEYOND * reached(now))), now)

    def _search_refused(self, refusal: Refusal, now: float) -> bool:
        need = _END_SMALL if refusal.in_window < _FEW else _END
        if self.proven:
            need = self._enough()
        if refusal.in_window < _TELLING or self._doubt.score < need:
            return False
        self._found(refusal, now)
        return True

    def _try_refused(self, refusal: Refusal, now: float) -> bool:
        if self._doubt.score < self._enough():
            return False
        self._found(refusal, now)
        return True

    def _found(self, refusal: Refusal, now: float) -> None:
        """A search or a try ends: at what the last minute held, or what a bucket lets through."""
        bound = self._bound(refusal)
        if self.proven:
            self._end_try(bound, now)
            return
        if refusal.passed:
            bound = min(self.level, max(refusal.rate, self.level / 4))
            if refusal.in_window < _FEW:
                count = refusal.in_window
                bound = min(count, max(_BURST_SHARE * count, refusal.rate))
        calls = _FIRST_TRY_CALLS_SMALL if bound < _FEW else _FIRST_TRY_CALLS
        self._try_min = max(1.0, calls / bound)
        self._settle(bound, now)

    def _end_try(self, bound: float, now: float) -> None:
        rose = bound > _ROSE * self.proven + _ROSE_CALLS
        sure = bound > _SURELY_ROSE * self.proven or bound <= _KNOWN * self._best
        accepted = rose and (sure or self._ambiguous)
        self._ambiguous = rose and not accepted
        self._tried_at = now
        if accepted:
            self._try_min = 1.0
            self._settle(bound, now)
            return
        self._try_later()
        if self._ambiguous:
            self._try_min = _RETRY_MIN
            bound = self.proven
        gain = max(0.0, bound - self.proven) / 3
        self._settle(self.proven + min(gain, max(1 / 4, _SMALL_STEP * self.proven)), now)

    def _try_later(self) -> None:
        most = _TRY_MIN + _TRY_SCARCE / self.level**2
        self._try_min = min(most, _TRY_GROWTH * max(1.0, self._try_min))

    def _next_try(self) -> float:
        at = self._changed_at or 0.0
        if self.proven < _FELL * self._best and at - self._fell_at < _FELL_S:
            return self._tried_at + _FELL_TRY_S
        rarer = 1 + _NOISY_TRIES * self._doubt.noise
        return self._tried_at + MINUTE_S * self._try_min * rarer

    def _step_up(self, now: float) -> None:
        self._steps += 1
        gain = max(_GAIN * self.proven, _GAIN_CALLS) * (2**self._steps - 1)
        self._set(self.proven + gain, now)
        if self.level >= self._ceiling:
            self.phase = Phase.HOLDING
        elif self.level > _TRY_TOP * self.proven + _TRY_TOP_CALLS:
            self.phase = Phase.SEARCHING

    # --- holding: is this level right?

    def _hold(self, now: float) -> None:
        gain = self.level - self.proven
        proof_s = _GAIN_PROOFS * MINUTE_S / gain if 0 < gain < _SMALL_GAIN else _PROOF_S
        if not self._kept(max(_PROOF_S, proof_s), now):
            return
        self.proven = max(self.proven, self.level)
        self._best = max(self._best, self.proven)
        if self.level < self._ceiling and now >= self._next_try():
            self.phase = Phase.TRYING
            self._steps = 0
            self._step_up(now)

    def _hold_refused(self, refusal: Refusal, now: float) -> bool:
        if self.level > self.proven:
            return self._unproven_refused(refusal, now)
        return self._proven_refused(refusal, now)

    def _unproven_refused(self, refusal: Refusal, now: float) -> bool:
        score = self._doubt.score
        fresh = now - (self._changed_at or now) < _STEP_S
        still_full = fresh and refusal.in_window >= self.level - _GAIN * self.level
        if score < self._enough() or still_full:
            return False
        if not (score >= _BLAME_MANY and not self._doubt.noise and self._shown_as_noise(now)):
            self._settle(self._between(refusal, now), now)
        return True

    def _between(self, refusal: Refusal, now: float) -> float:
        """A level between what is proven and what was refused."""
        bound = self._bound(refusal)
        if bound <= (1 - _GAIN) * self.level and now - self._block.ended_at > MINUTE_S:
            return max(self.proven, bound)
        if self.level <= (1 + _TRIM) * self.proven:
            return self.proven
        return math.sqrt(self.proven * self.level) if self.proven else _LOWER * self.level

    def _proven_refused(self, refusal: Refusal, now: float) -> bool:
        score, noise = self._doubt.score, self._doubt.noise
        if noise or self._told is not None:
            blamed = score >= _BLAME_PROVEN + _BLAME_PER_NOISE * noise
            if not (blamed or (noise and self._far_above_noise())):
                return False
            self._surprise(refusal, now)
            return True
        self._at_level += 1
        if score < _BLAME_MANY and self._at_level < 2:  # noqa: PLR2004 - the second one at this level
            return False
        if self._shown_as_noise(now):
            return True
        if self._recent.value >= _CONTESTED:
            self._surprise(refusal, now)
            return True
        self._doubt.clear()
        trim = max(_TRIM * self.level, min(_TRIM_CALLS, _TRIM_MOST * self.level))
        self._tried_at = now
        self._try_later()
        self.proven = self.level - trim
        self._set(self.proven, now)
        return True

    def _surprise(self, refusal: Refusal, now: float) -> None:
        """A proven level is refused again and again: the quota fell, or somebody else uses it."""
        fresh = self._calls - self._noise_call < _REFUTED_CALLS
        if self._doubt.noise and (fresh or self._far_above_noise()):
            self._refuted_at = now
            self._doubt.noise = 0.0
        quiet_s = min(now - self._block.ended_at, now - (self._changed_at or now))
        bound = self._bound(refusal)
        if bound < _HALF * self.level and quiet_s >= MINUTE_S:
            self._fall(max(bound, self.level / 2), now)
        else:
            self._share_from_now(now)

    def _enough(self) -> float:
        """Evidence against a level that is not proven."""
        if self._doubt.noise > _NOISE:
            return _BLAME_NOISY if self._doubt.noise < _NOISIER else _BLAME_NOISIER
        if self._told is not None:
            return _BLAME_TOLD
        return _BLAME if self.proven and self.level < _MANY else _BLAME_MANY

    # --- noise: refusals that stay whatever we do

    def _shown_as_noise(self, now: float) -> bool:
        """Lower and lower and refused as ever, one here and one there: back to where it began."""
        if self._gap < _SPREAD:
            self._trims = []
            return False
        self._trims = [each for each in self._trims if each[0] > self._calls - _TRIM_MEMORY]
        self._trims.append((self._calls, self.level))
        first, level = self._trims[0]
        share = 2 * (len(self._trims) - 1) / max(1, self._calls - first)
        if len(self._trims) < _TRIMS or share > _NOISE_MOST or self._refuted(now):
            return False
        self._take_for_noise(share, level, now)
        return True

    def _take_for_noise(self, share: float, level: float, now: float) -> None:
        self._doubt.noise = share
        self._long = Share(200)
        self._noise_call = self._calls
        self._trims = []
        self._try_min = 1.0
        self.proven = level
        self.phase = Phase.HOLDING
        self._doubt.clear()
        self._set(level, now)

    def _refuted(self, now: float) -> bool:
        return now - self._refuted_at < _REFUTED_S

    def _far_above_noise(self) -> bool:
        most = _REFUTED_FACTOR * self._doubt.noise + _REFUTED_MORE
        return self._long.calls >= _REFUTED_AFTER and self._long.value > most

    # --- backing off and recovering: when is it over?

    def _blocked(self, refusal: Refusal, now: float) -> None:
        """Nothing goes through: the meter is full, or the service is out."""
        self.phase, self.level, self.proven, self._trims = self._before
        calls = self._calls - self._block.calls - self._block.refused
        since_s, again = now - self._block.began_at, now - self._block.began_at <= _BLOCKS_S
        self._block.began_at, self._block.calls, self._block.refused = now, self._calls, 0
        count = float(refusal.in_window)
        match self.phase:
            case Phase.SEARCHING | Phase.TRYING if count >= _TELLING:
                self._found(refusal, now)
            case Phase.SHARING:
                self._give(now)
            case Phase.HOLDING if self.level > self.proven:
                self._settle(max(self.proven, min(count, _DROP * self.level)), now)
            case Phase.HOLDING if again and calls < _OURS * count:
                self._share_from_now(now)
            case Phase.HOLDING if again and count >= _TELLING:
                measured = MINUTE_S * calls / max(1.0, since_s)
                full = count >= _DROP * self.level
                self._blocked_again(max(measured, _BLOCK_DROP * self.level) if full else count, now)
        self._back_off(now)

    def _blocked_again(self, level: float, now: float) -> None:
        """The minute was ours, and was full: the quota fell, or somebody else uses it."""
        self._falls.append(now)
        often = len(self._falls) > 1 and now - self._falls[0] < 5 * MINUTE_S
        if often and (self._told is not None or self._trims):
            self._share_from_now(now)
        else:
            self._fall(min(self.level, max(level, _FALL_MOST * self.level)), now)

    def _back_off(self, now: float) -> None:
        if self.phase is not Phase.RECOVERING:
            self._block.level = self.level
            self._block.phase = Phase.HOLDING if self.phase is Phase.TRYING else self.phase
            self._block.first_at = now
        self.phase = Phase.BACKING_OFF
        self._block.pause_s = max(_PAUSE_S, MINUTE_S / self.level) / 2
        self._doubt.clear()
        self._probe_refused(now)

    def _probe_refused(self, now: float) -> None:
        most = max(_PAUSE_MOST_S, MINUTE_S / self.level)
        self._block.pause_s = min(most, 2 * self._block.pause_s)
        self._block.probed_at = None
        self.not_before = now + self._block.pause_s

    def _watch_probe(self, now: float) -> None:
        probed_at = self._block.probed_at
        if probed_at is not None and now >= probed_at + SURE_S:
            self._come_back(now)

    def _come_back(self, now: float) -> None:
        """A probe was admitted."""
        self._row = 0
        self._doubt.clear()
        self._recent = Share(20)
        self.not_before = now
        self._block.probed_at = None
        self._block.ended_at = now
        level = self._block.level
        if now - self._block.first_at <= MINUTE_S:
            self.phase = self._block.phase
        else:
            self.phase = Phase.RECOVERING
            level = max(min(level, _FIRST), level / _BACK_SHARE)
        self._set(level, now)

    def _recover(self, now: float) -> None:
        if self.level >= self._block.level:
            self.phase = self._block.phase
        self._set(min(self._block.level, 2 * self.level), now)

    def _recovering_refused(self, refusal: Refusal, now: float) -> bool:
        if self._doubt.score < _BLAME_BACK:
            return False
        if now - self._block.ended_at >= MINUTE_S:
            self._fall(max(self._bound(refusal), self.level / 2), now)
        else:
            self._doubt.clear()
            self._set(self.level / 2, now)
        return True

    # --- sharing: how much is ours?

    def _share_from_now(self, now: float) -> None:
        self._entry = self._trims[0][1] if self._trims else self.level
        self._sharing, self._signs = Share(300), 0.0
        self._peaks.clear()
        self._entered_at = now
        self.phase = Phase.SHARING
        self._give(now)

    def _sharing_refused(self, _: Refusal, now: float) -> bool:
        self._sharing.refused()
        if self.level >= _NEAR * self._last_refused:
            self._signs = max(0.0, self._signs - _SIGN_NEAR)
            self._peaks.append(self.level)
            if self._limit_stays(now):
                self.proven = _DROP * min(self._peaks)
                self._settle(self.proven, now)
            else:
                self._give(now)
            return True
        self._early += 1
        self._signs = self._signs + 1 if self._gap >= _SIGN_GAP else 0.0
        if self._signs >= _SIGNS and self._sharing.value < _NOISE_MOST and not self._refuted(now):
            self._take_for_noise(self._sharing.value, self._entry, now)
            return True
        if self._early < _EARLY:
            return False
        self._give(now)
        return True

    def _limit_stays(self, now: float) -> bool:
        steady = len(self._peaks) == _PEAKS and max(self._peaks) < _PEAK_SPREAD * min(self._peaks)
        return self._told is None and steady and now - self._entered_at > _PEAK_S

    def _give(self, now: float) -> None:
        self._doubt.clear()
        self._early = 0.0
        self._last_refused = self.level
        self._set(_CUT * self.level, now)

    def _add(self, now: float) -> None:
        """A step up; at the level of before, and after its proof, others have gone."""
        if self.level >= min(self._entry, self._ceiling):
            if self._kept(_PROOF_S, now):
                self.phase = Phase.HOLDING
                self.proven = self.level
                self._doubt.clear()
                self._set(self.level, now)
            return
        self._steps = self._steps + 1 if self.level > _ALONE * self._last_refused else 0
        step = min(_ADD, _ADD_SHARE * self._entry)
        if self._told is not None:
            step = self._told / _ADD_TOLD
        self._set(self.level + step * 2.0 ** min(6, self._steps), now)

    # --- levels

    def _bound(self, refusal: Refusal) -> float:
        """At most what the last minute held, and what goes through from refusal to refusal."""
        bound = min(self.level, float(refusal.in_window))
        if refusal.measured is not None and refusal.passed:
            bound = min(bound, max(refusal.measured, self.level / 2))
        return bound

    @property
    def _step_s(self) -> float:
        return max(_STEP_S, MINUTE_S * _STEP_CALLS / self.level)

    def _kept(self, seconds: float, now: float) -> bool:
        """The level was made use of for so long; if it was not used, the time begins anew."""
        kept_s = now - (self._changed_at or 0.0)
        if kept_s < seconds:
            return False
        if self._starts >= _EXERCISED * self.level * kept_s / MINUTE_S - 1:
            return True
        self._set(self.level, now)
        return False

    def _fall(self, level: float, now: float) -> None:
        """The quota fell; the best level stays known, and is tried again soon."""
        self._fell_at = now
        self.proven = min(self.proven, level)
        self._settle(level, now)

    def _settle(self, level: float, now: float) -> None:
        self.phase = Phase.HOLDING
        self._doubt.clear()
        self._tried_at = max(self._tried_at, now)
        self._set(level, now)

    def _set(self, level: float, now: float) -> None:
        level = min(self._ceiling, max(_LEAST, level))
        if level != self.level:
            self._at_level = 0
        self.level = level
        self._changed_at = now
        self._starts = 0


class _Block:
    """The last time that nothing went through, and what was before it."""

    def __init__(self) -> None:
        self.began_at = self.ended_at = self.first_at = -math.inf
        self.calls = self.refused = 0
        """Calls until it began, and refusals since."""
        self.phase = Phase.HOLDING
        self.level = 0.0
        self.pause_s = 0.0
        self.probed_at: float | None = None
