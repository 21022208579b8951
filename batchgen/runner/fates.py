"""What became of the tasks of a plan with chains, in nine bytes each.

Where the budget counts whole chains, eight more hold what each of them costs.
"""

from __future__ import annotations

from array import array
from decimal import Decimal
from enum import IntEnum

from batchgen.record import Status
from batchgen.task import Task

MILLIONTHS = 1_000_000
"""Of a USD: prices are whole numbers of these."""


class Fate(IntEnum):
    """What became of a task, as far as its children are concerned."""

    OPEN = 0
    """Not made, and not to be made by this run."""
    PENDING = 1
    """To be made by this run."""
    MADE = 2
    UNMADE = 3
    """It was filtered, failed or skipped."""
    LATE = 4
    """The image of a parent is gone: to be made behind all others, when that is there again."""


FATES = {
    Status.SUCCEEDED: Fate.MADE,
    Status.FILTERED: Fate.UNMADE,
    Status.FAILED: Fate.UNMADE,
    Status.SKIPPED: Fate.UNMADE,
}


class Fates:
    """What became of each task of a plan; one that nobody noted is open."""

    def __init__(self) -> None:
        self._fates = bytearray()
        self._offsets = array("Q")
        self._prices = array("Q")
        """Millionths of a USD, by the first task of a chain; empty unless somebody asks."""

    def note(self, number: int, fate: Fate, offset: int = 0) -> None:
        """Note what became of a task.

        Args:
            number: its running index in the plan.
            fate: of the task.
            offset: where its record stands in the manifest.
        """
        missing = number + 1 - len(self._fates)
        if missing > 0:
            self._fates.extend(bytes(missing))
            self._offsets.extend([0] * missing)
        self._fates[number] = fate
        self._offsets[number] = max(offset, 0)

    def add_price(self, chain: int, price: Decimal) -> None:
        """Add the price of a pending task to that of its chain, until the chain begins."""
        missing = chain + 1 - len(self._prices)
        if missing > 0:
            self._prices.extend([0] * missing)
        self._prices[chain] += int(price * MILLIONTHS)

    def price(self, chain: int) -> Decimal:
        """USD of the pending tasks of a chain that has not begun."""
        return Decimal(self._prices[chain] if chain < len(self._prices) else 0) / MILLIONTHS

    def cheapest(self) -> Decimal | None:
        """USD of the cheapest chain that has not begun; None without one."""
        least = min(filter(None, self._prices), default=None)
        return None if least is None else Decimal(least) / MILLIONTHS

    def begin(self, chain: int) -> None:
        """The money for a chain is set aside."""
        if chain < len(self._prices):
            self._prices[chain] = 0

    def of(self, number: int) -> Fate:
        """What became of a task."""
        return Fate(self._fates[number]) if number < len(self._fates) else Fate.OPEN

    def offset(self, number: int) -> int:
        """Where its record stands."""
        return self._offsets[number]

    def of_parents(self, task: Task) -> set[Fate]:
        """What became of the parents of a task."""
        return {self.of(number) for number in task.parents.values()}
