"""How many tasks each model of a plan has, what they cost, and who can stand in for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from batchgen.blueprint import Blueprint, Still
from batchgen.complaints import Path
from batchgen.models.base import Model


@dataclass(slots=True)
class Tally:
    """The tasks of one model, while they are counted."""

    model: Model
    path: Path
    """Where the job names it first."""
    tasks: int = 0
    price: Decimal | None = Decimal(0)
    instead: dict[str, None] | None = field(default_factory=dict)
    """Models that can stand in, of those items that have any; None once an item has none."""

    def add(self, blueprint: Blueprint) -> None:
        """One more item."""
        self.tasks += blueprint.variants
        price = _price(blueprint)
        self.price = None if self.price is None or price is None else self.price + price

    def replaced_by(self, name: str | None) -> None:
        """Which model can stand in for an item's own."""
        if name is None:
            self.instead = None
        elif self.instead is not None:
            self.instead[name] = None


def _price(blueprint: Blueprint) -> Decimal | None:
    """US dollars of all variants; None where nobody knows."""
    requests, variants = blueprint.requests, blueprint.variants
    if isinstance(requests, Still) or not requests.texts.live_parameters:
        price = blueprint.price(blueprint.request(1))
        return None if price is None else price * variants
    total = Decimal(0)
    for variant in range(1, variants + 1):
        price = blueprint.price(blueprint.request(variant))
        if price is None:
            return None
        total += price
    return total
