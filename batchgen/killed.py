"""The money of a run that was killed: all that its lines tell of calls, answered or not."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)


@dataclass(slots=True)
class KilledRun:
    """The money of a run that did not end: all that its lines tell."""

    start: int
    """Offset of its first line."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """As in the history when it began: what it adopted is paid for already."""
    open: dict[str, tuple[int, Decimal, Decimal]] = field(default_factory=dict)
    """Task id -> its attempts that no record has answered: count, price, and what may be billed."""
    spent: Decimal = ZERO

    def take(self, fields: dict[str, Any]) -> None:
        """Count one line."""
        task_id = str(fields.get("task_id"))
        if fields.get("kind") == "attempt":
            count = self.open[task_id][0] if task_id in self.open else 0
            price = money(fields.get("cost_usd"))
            self.open[task_id] = (count + 1, price, price + _maybe(fields, price))
        elif fields.get("kind") == "record":
            _, price, _ = self.open.pop(task_id, (0, ZERO, ZERO))
            adopted = fields.get("status") == "succeeded" and fields.get("latency_ms") is None
            if adopted and task_id in self.unanswered:
                return  # its attempt counts since the run that was killed
            self.spent += money(fields.get("cost_usd"))
            self.spent += _maybe(fields, price)


def _maybe(fields: dict[str, Any], price: Decimal) -> Decimal:
    """USD that a line says may have been billed besides, at this price unless it tells."""
    told = fields.get("maybe_billed_usd")
    return price * money(fields.get("maybe_billed")) if told is None else money(told)


def money(value: object) -> Decimal:
    """USD from a JSON number; what is none counts as nothing."""
    amount = Decimal(str(value)) if type(value) in (int, float) else ZERO
    return amount if amount.is_finite() else ZERO
