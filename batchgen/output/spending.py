"""What a run spent and proved, as its lines tell: its `end` line, or all of them if it has none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ZERO = Decimal(0)
FINISHED = (0, 1)
"""Exit codes of a run that had nothing left to start."""


def proven_rates(summary: dict[str, Any]) -> dict[str | None, dict[str, float]]:
    """The rates of an `end` line's summary; what is not as we write it counts as not there."""
    by_route: dict[str | None, Any] = {None: summary.get("quotas")}
    by_route.update(_as_dict(summary.get("routes")).items())
    found: dict[str | None, dict[str, float]] = {}
    for route, quotas in by_route.items():
        found[route] = {}
        for model, quota in _as_dict(quotas).items():
            rate = _as_dict(quota).get("proven_per_minute")
            if isinstance(rate, int | float) and 0 < rate < math.inf:
                found[route][model] = float(rate)
    return found


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class UnfinishedRun:
    """The money of a run that did not end: all that its lines tell."""

    start: int
    """Offset of its first line."""
    simulated: bool = False
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
            price = money(fields.get("price_usd", fields.get("cost_usd")))  # version 1
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


def is_finished(end: dict[str, Any]) -> bool:
    """Whether an `end` line closes the account: nothing of the job was left open.

    A run of a part of the job ends with 0 as well, and says what is left of the whole.
    """
    summary = end.get("summary")
    left = summary.get("job_left") if isinstance(summary, dict) else None
    return end.get("exit_code") in FINISHED and not left


def money(value: object) -> Decimal:
    """USD from a JSON number; what is none counts as nothing."""
    amount = Decimal(str(value)) if type(value) in (int, float) else ZERO
    return amount if amount.is_finite() else ZERO
