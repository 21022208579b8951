"""`batchgen validate`: is this job file right?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from batchgen.commands import options
from batchgen.commands.prices import priced, pricing
from batchgen.commands.starting import starting
from batchgen.commands.streams import note, result
from batchgen.text import counted, escaped, usd


@click.command(name="validate")
@options.job_argument
@pricing
@options.json_option
def command(job: Path, *, prices: Path | None, as_json: bool) -> int:
    """Check a job file: every complaint at once, before anything is called or written."""
    with starting():
        from batchgen import plan
        from batchgen.job import load

    loaded = priced(load(job, defer=True), prices)
    outline = plan.check(loaded)
    if as_json:
        fields = {
            "job": loaded.name,
            "tasks": outline.tasks,
            "cost_usd": None if outline.price_usd is None else float(outline.price_usd),
            "warnings": list(outline.warnings),
        }
        result(json.dumps(fields))
        return 0
    for warning in outline.warnings:
        note(escaped(warning))
    cost = usd(outline.price_usd)
    result(f"{escaped(str(job))} is right: {counted(outline.tasks, 'task')}, {cost}.")
    return 0
