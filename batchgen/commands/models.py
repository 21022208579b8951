"""`batchgen models`: what can be called, where, at what price and quota."""

from __future__ import annotations

import json

import click

from batchgen.commands.streams import result
from batchgen.models import MODELS, Model

HEADINGS: tuple[str, ...] = ("MODEL", "USD", "RPM", "STATE/END", "REGIONS")
"""They fit 80 columns; `--json` has the rest."""


@click.command(name="models")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on standard output.")
def command(*, as_json: bool) -> int:
    """List the models: prices, quotas, Regions, life cycle.

    USD is the price of an image, RPM the quota in calls a minute. Where an end of life is known it
    stands in place of the state. The figures are defaults of November 2026; a job overrides prices
    with `prices` and quotas with `limits.requests_per_minute`.
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
        "?" if model.price_usd is None else f"{model.price_usd:.3f}",
        "?" if model.requests_per_minute is None else f"{model.requests_per_minute}",
        str(model.end_of_life or model.life_cycle),
        " ".join(model.regions) or "-",
    )


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
