"""What a run spent and proved, as its lines tell: its `end` line, or all of them if it has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec import UNSET, Struct
from msgspec.json import Decoder

from batchgen.output.manifest import parse_part

ZERO = Decimal(0)
FINISHED = (0, 1)
"""Exit codes of a run that had nothing left to start."""
LEAST_RATE, MOST_RATE = 0.5, 1_000_000
"""Calls a minute that a pacer proves: it tries no fewer, and a job may not ask for more. A search
that began with one call a year would never end."""


def proven_rates(summary: dict[str, Any]) -> dict[str | None, dict[str, float]]:
    """The rates of an `end` line's summary; what is not as we write it counts as not there."""
    by_route: dict[str | None, Any] = {None: summary.get("quotas")}
    by_route.update(_as_dict(summary.get("routes")).items())
    found: dict[str | None, dict[str, float]] = {}
    for route, quotas in by_route.items():
        found[route] = {}
        for model, quota in _as_dict(quotas).items():
            rate = _as_dict(quota).get("proven_per_minute")
            if isinstance(rate, int | float) and LEAST_RATE <= rate <= MOST_RATE:
                found[route][model] = float(rate)
    return found


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Told(Struct, gc=False):
    """What a line tells of money."""

    kind: Any = None
    task_id: Any = None
    status: Any = None
    price_usd: Any = UNSET
    cost_usd: Any = None
    maybe_billed: Any = None
    maybe_billed_usd: Any = None
    latency_ms: Any = None


_decoder = Decoder(_Told)


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

    def take(self, line: bytes) -> None:
        """Count one line."""
        told = parse_part(line, _decoder)
        if told is None:
            return
        task_id = str(told.task_id)
        if told.kind == "attempt":
            count = self.open[task_id][0] if task_id in self.open else 0
            price = money(told.cost_usd if told.price_usd is UNSET else told.price_usd)  # version 1
            self.open[task_id] = (count + 1, price, price + _maybe(told, price))
        elif told.kind == "record":
            _, price, _ = self.open.pop(task_id, (0, ZERO, ZERO))
            adopted = told.status == "succeeded" and told.latency_ms is None
            if adopted and task_id in self.unanswered:
                return  # its attempt counts since the run that was killed
            self.spent += money(told.cost_usd)
            self.spent += _maybe(told, price)


def _maybe(told: _Told, price: Decimal) -> Decimal:
    """USD that a line says may have been billed besides, at this price unless it tells."""
    usd = told.maybe_billed_usd
    return price * money(told.maybe_billed) if usd is None else money(usd)


def is_finished(end: dict[str, Any]) -> bool:
    """Whether an `end` line closes the account: nothing of the job was left open.

    A run of a part of the job ends with 0 as well, and says what is left of the whole.
    """
    summary = end.get("summary")
    left = summary.get("job_left") if isinstance(summary, dict) else None
    return end.get("exit_code") in FINISHED and not left


def money(value: object) -> Decimal:
    """USD from a JSON number; what is none counts as nothing."""
    return _usd(value) if type(value) is float or type(value) is int else ZERO


@lru_cache(maxsize=64, typed=True)
def _usd(amount: float) -> Decimal:
    """A million lines have few amounts."""
    exact = Decimal(str(amount))
    return exact if exact.is_finite() else ZERO
