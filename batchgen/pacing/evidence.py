"""What refusals say: about a level of the rate, or about nothing that we do.

A 429 has one of two causes: our rate, or something that is not ours (noise). `Evidence` weighs the
two as a sequential test does: each call and each refusal shifts the odds. `Share` is the part of
the calls that is refused, and `TryBudget` holds what refusals may be spent on tries for more.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

LIMIT_SHARE = 0.25
"""Share of calls refused above a limit: few a little above it, half of them at twice the quota."""
_NOISE_LEAST = 0.005
"""Noise that is always possible: one call in 200."""
ONE, TWO, SEVERAL, MANY = 3.0, 5.5, 8.0, 11.0
"""Odds (log) that are enough, for different questions. While no noise is known a refusal adds
log(0.25 / 0.005) = 3.9 and a call takes 0.28 away: so one is enough, or two within eight calls,
three within thirteen, or, against a quota that was told, four within sixteen. The more noise is
known, the more refusals it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a 429 says, apart from that it came."""

    passed: int
    """Calls that were admitted since the refusal before it."""
    in_window: int
    """Calls of the minute before it that were admitted, at least 1: what a minute meter counted,
    and more than a bucket is filled with in a minute. So the quota is at most this, if the
    refusal is about our rate at all."""
    between: float | None
    """Calls a minute admitted between refusals of the last seconds, None if there are none."""
    measured: float | None
    """Calls a minute admitted since a refusal before it, None if too few to tell. A bucket is empty
    at each refusal: what it admits between two is what it is filled with."""


class Evidence:
    """The odds that refusals are about our rate, and the noise that is known."""

    def __init__(self) -> None:
        self.odds = 0.0
        """Logarithm of limit to noise; never below 0, so that a change is seen soon."""
        self.noise = 0.0
        """Share of calls refused for reasons that are not ours, once that is known."""

    def call(self, limit: float = LIMIT_SHARE) -> None:
        """A call starts: a little less likely to be where a limit refuses such a share."""
        self.odds = max(0.0, self.odds + math.log((1 - limit) / (1 - self._expected)))

    def refused(self, limit: float = LIMIT_SHARE) -> None:
        """A call was refused."""
        self.odds += math.log(limit / self._expected)

    def clear(self) -> None:
        """Another level, another question."""
        self.odds = 0.0

    @property
    def _expected(self) -> float:
        return max(_NOISE_LEAST, self.noise)


class Levels:
    """Which of the last calls were refused, and at which level: what noise there is, and the quota.

    Above the quota the share refused grows with the level; noise has the same share at each. The
    two are fitted to what was seen, and a fit with noise has to be clearly better than one without.
    """

    _CALLS = 600
    """What is remembered: thirty refusals of strays of 5 %."""
    _STEP = 1.04
    """Levels and quotas are told apart in steps of 4 %, which is what one refusal changes."""
    _BELOW = 10
    """The quota may be so many steps, a third, below the lowest level seen."""
    _APART, _COMPARED = 2, 30
    """So many of the calls were made two steps below the highest level at least: the levels of a
    bucket that is left with a few percent too much look alike."""
    _SHARES = (0.01, 0.02, 0.03, 0.05, 0.07)
    """Noise that is told apart; a larger share is never taken for noise: going on would cost too
    much."""
    _CALM = 0.002
    """Noise where there is none: a fifth of the least that is told apart, else 600 calls cannot."""
    _CLEARLY = 4.0
    """Log odds: noise explains what was seen fifty times as well."""

    def __init__(self) -> None:
        self._calls: deque[tuple[int, bool]] = deque(maxlen=self._CALLS)

    def call(self, level: float) -> None:
        """A call starts at a level."""
        self._calls.append((round(math.log(level, self._STEP)), False))

    def refused(self) -> None:
        """A call at the level of the last one was refused."""
        if self._calls:
            self._calls[-1] = (self._calls[-1][0], True)

    def noise(self) -> tuple[float, float] | None:
        """The share of noise, and the quota, if there is noise for sure."""
        if not self._calls:
            return None
        tally = Counter(self._calls)
        steps = [step for step, _ in tally]
        lower = (calls for (step, _), calls in tally.items() if step <= max(steps) - self._APART)
        if sum(lower) < self._COMPARED:
            return None
        quotas = range(min(steps) - self._BELOW, max(steps) + 1)
        without = max(self._fit(tally, self._CALM, quota) for quota in quotas)
        fits = ((self._fit(tally, n, quota), n, quota) for n in self._SHARES for quota in quotas)
        best, share, quota = max(fits)
        return (share, self._STEP**quota) if best > without + self._CLEARLY else None

    def _fit(self, tally: Counter[tuple[int, bool]], noise: float, quota: int) -> float:
        """How well noise and a quota explain the calls: logarithm of the likelihood."""
        total = 0.0
        for (step, refused), calls in tally.items():
            admitted = (1 - noise) * self._STEP ** min(0, quota - step)
            total += calls * math.log(1 - admitted if refused else admitted)
        return total


class Share:
    """Share of calls that were refused, the older the less it counts."""

    def __init__(self, memory: float) -> None:
        """`memory`: calls after which one counts for about a third."""
        self.calls = self.refusals = 0.0
        self._keep = 1 - 1 / memory

    def call(self) -> None:
        """A call starts."""
        self.calls = self.calls * self._keep + 1
        self.refusals *= self._keep

    def refused(self) -> None:
        """A call was refused."""
        self.refusals += 1

    @property
    def value(self) -> float:
        """0 to 1."""
        return self.refusals / self.calls if self.calls else 0.0


class TryBudget:
    """Tries for more are paid out of the calls admitted since: one refusal for so many calls."""

    _PRICE, _SMALL = 175.0, 30.0
    """Calls for one refusal: 0.6 % of them; the search costs what is left of one percent. That is
    more where an hour holds few calls: a try costs twice that at 30 a minute, thrice at 15."""
    _MOST, _LEAST, _LEAST_NOISY = 1.0, -3.0, -10.0
    """One try may be saved up; a bad hour is forgotten after four tries' time. Beside noise a try
    takes many more refusals to be seen to fail: each of them is paid."""

    def __init__(self) -> None:
        self._balance = 0.0

    def call(self, level: float, noise: float = 0.0) -> None:
        """A call starts at `level` calls a minute; `noise` of them are refused for no try."""
        price = self._PRICE * (1 + self._SMALL / level)
        self._balance = min(self._MOST, self._balance + 1 / price + noise)

    def refused(self, noise: float = 0.0) -> None:
        """A call was refused, whatever for."""
        least = self._LEAST_NOISY if noise else self._LEAST
        self._balance = max(least, self._balance - 1)

    def clear(self) -> None:
        """What was spent is forgotten."""
        self._balance = 0.0

    @property
    def allows(self) -> bool:
        """Whether a try can be paid."""
        return self._balance >= 0
