"""How often the pacer may try for more: each try that fails costs a call, so tries are rationed."""

from __future__ import annotations

_PER_CALL = 0.0025
"""Tries earned by each call: their refusals stay well below 1 % of all calls."""
_PER_MINUTE = 0.03
"""Tries earned in a minute by a quota that is too small to earn them by its calls."""
_MOST = 2.0
_LEAST = -1.0
_DROP_LOAN = 16.0
"""Extra tries after the quota fell by much: it may come back, and that should not be missed."""
_DROP_PER_MINUTE = 0.6
_DROP_PER_CALL = 0.02
_CONTEST_LOAN = 8.0
_CONTEST_PER_MINUTE = 0.25
"""Tries earned while others take from the quota: by time, so the smaller one tries as often."""


class Tries:
    """An allowance of tries that calls and time fill; may go a little below zero."""

    def __init__(self) -> None:
        self._credit = _MOST
        self._at: float | None = None
        self._drop_loan: float | None = None
        self._contest_loan = 0.0

    @property
    def affordable(self) -> bool:
        """There is enough for one more."""
        return self._credit >= 1

    @property
    def recovering(self) -> bool:
        """The quota fell by much, and tries to get it back are lent."""
        return self._drop_loan is not None and self._drop_loan > 0

    @property
    def gave_up(self) -> bool:
        """The tries lent to get a quota back are used up."""
        return self._drop_loan is not None and self._drop_loan <= 0

    @property
    def contested(self) -> bool:
        """Somebody else took from the quota lately."""
        return self._contest_loan > 0

    def earn(self, now: float) -> None:
        """A call starts at `now`."""
        minutes = 0.0 if self._at is None else min(1.0, (now - self._at) / 60)
        self._at = now
        if self._credit >= _MOST:
            return
        own = max(_PER_CALL, _PER_MINUTE * minutes)
        self._credit = min(_MOST, self._credit + own + self._borrowed(own, minutes))

    def _borrowed(self, own: float, minutes: float) -> float:
        """What a loan adds to the earnings of a call, and is taken from the loan."""
        extra = 0.0
        if self._drop_loan is not None and self._drop_loan > 0:
            extra = max(0.0, min(_DROP_PER_MINUTE * minutes, _DROP_PER_CALL) - own)
            self._drop_loan -= extra
        elif self.contested:
            extra = max(0.0, _CONTEST_PER_MINUTE * minutes - own)
            self._contest_loan -= extra
        return extra

    def spend(self) -> None:
        """A try cost a call."""
        self._credit = max(_LEAST, self._credit - 1)

    def refill(self) -> None:
        """The first search is over, whatever it cost."""
        self._credit = _MOST

    def lend_for_drop(self) -> None:
        """The quota fell by much."""
        if self._drop_loan is None:
            self._drop_loan = _DROP_LOAN

    def recovered(self) -> None:
        """The rate is what it was before, or has settled at another level."""
        self._drop_loan = None

    def lend_for_contest(self) -> None:
        """A call was refused at a rate that was admitted before: others take from the quota."""
        self._contest_loan = min(_CONTEST_LOAN, self._contest_loan + 1)
