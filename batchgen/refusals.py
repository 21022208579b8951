"""What a 429 says of the quota, and when it tells that others take from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchgen.starts import MINUTE_S

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
