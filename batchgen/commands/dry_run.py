"""`batchgen run --dry-run`: what a run would make and cost; nothing is called or written."""

from __future__ import annotations

import json
from pathlib import Path

from batchgen import plan
from batchgen.commands.figures import duration
from batchgen.commands.streams import note, result
from batchgen.job import Job
from batchgen.output import MANIFEST_NAME, load_history
from batchgen.plan import PlanSummary
from batchgen.runner import Selection, TaskSet, select
from batchgen.text import escaped


def dry_run(job: Job, selection: Selection, *, as_json: bool) -> int:
    """Say what a run would make and cost.

    Raises:
        JobError: with every complaint about the job.
        ManifestError: the output's manifest cannot be used.
    """
    outline = plan.check(job)
    history = load_history(Path(job.output) / MANIFEST_NAME)
    history.require_job(job.name)
    pending = select(job, history, selection, history.random_seed_key or "dry-run")
    cost = None if outline.price_usd is None else pending.cost(outline)
    minutes = _minutes(job, outline, pending.to_make)
    for warning in outline.warnings:
        note(escaped(warning))
    if as_json:
        fields = {
            "tasks": outline.tasks,
            "to_make": len(pending.to_make),
            "cost_usd": None if cost is None else float(cost),
            "minutes": round(minutes, 1),
        }
        result(json.dumps(fields))
        return 0
    price = "an unknown sum" if cost is None else f"{cost:.2f} USD"
    result(
        f"{len(pending.to_make)} of {outline.tasks} tasks would be made for {price}, "
        f"in about {duration(minutes * 60)}; nothing was called or written."
    )
    return 0


def _minutes(job: Job, outline: PlanSummary, wanted: TaskSet) -> float:
    """How long the calls take at their quotas; each model has a quota of its own on each route."""
    counts = wanted.models()
    return max(
        (
            counts.get(each.model_id, 0) / rate
            for each in outline.models
            if (rate := plan.calls_a_minute_of_all_routes(job, each.model_id, each.model))
        ),
        default=0.0,
    )
