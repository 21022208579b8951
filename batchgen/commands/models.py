"""`batchgen models`: what can be called, where, at what price and quota."""

from __future__ import annotations

import json

import click

from batchgen.commands.streams import result
from batchgen.models import MODELS, Model

HEADINGS: tuple[str, ...] = ("MODEL", "FAMILY", "USD", "A MINUTE", "STATE", "REGIONS")


@click.command(name="models")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def command(*, as_json: bool) -> int:
    """List the models: prices, quotas, Regions, life cycle.

    The figures are defaults of November 2026; a job overrides prices with `prices` and quotas with
    `limits.requests_per_minute`.
    """
    if as_json:
        result(json.dumps([_fields(model) for model in MODELS.values()], indent=2))
        return 0
    rows = [HEADINGS, *(_row(model) for model in MODELS.values())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        result("  ".join(cells).rstrip())
    return 0


def _row(model: Model) -> tuple[str, ...]:
    return (
        model.id,
        model.family,
        "?" if model.price_usd is None else f"{model.price_usd:.3f}",
        "?" if model.requests_per_minute is None else f"{model.requests_per_minute}",
        _state(model),
        ", ".join(model.regions) or "-",
    )


def _state(model: Model) -> str:
    return f"{model.life_cycle} {model.end_of_life or ''}".strip()


def _fields(model: Model) -> dict[str, object]:
    return {
        "id": model.id,
        "family": model.family,
        "title": model.title,
        "price_usd": None if model.price_usd is None else float(model.price_usd),
        "requests_per_minute": model.requests_per_minute,
        "regions": list(model.regions),
        "life_cycle": str(model.life_cycle),
        "end_of_life": None if model.end_of_life is None else model.end_of_life.isoformat(),
        "seed_max": model.seed_max,
    }
