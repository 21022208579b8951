"""`batchgen run --dry-run`: what a run would make and cost; nothing is called or written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchgen import plan
from batchgen.commands.streams import note, result
from batchgen.job import Job
from batchgen.plan import Plan, PlanSummary
from batchgen.record import is_simulated
from batchgen.runner import Selection, read_output, reseed, select, shortage
from batchgen.text import duration, escaped, usd


def dry_run(
    whole: Plan, selection: Selection, *, as_json: bool, more: Mapping[str, Any] | None = None
) -> int:
    """Say what a run would make and cost.

    Args:
        whole: what it would make that from.
        selection: the part that was asked for.
        as_json: one JSON object on standard output.
        more: fields of that object beside the usual ones.

    Raises:
        JobError: with every complaint about the job.
        ManifestError: the output's manifest cannot be used.
    """
    job, outline = whole.job, whole.check()
    history = read_output(job, fresh=selection.fresh)
    reseed(history, selection, "dry-run")
    key = history.random_seed_key or "dry-run"
    pending = select(whole, history, selection, key, outline=outline)
    cost = None if outline.price_usd is None else pending.cost(outline)
    expected = _estimate(job, outline, pending.to_make.models())
    short = shortage(job, history, pending, outline)
    for text in (*outline.warnings, *pending.notices(), *([] if short is None else [short])):
        note(escaped(text))
    if as_json:
        fields = {
            "tasks": outline.tasks,
            "to_make": len(pending.to_make),
            "cost_usd": None if cost is None else float(cost),
            "minutes": expected.minutes,
            "simulated": is_simulated(job.endpoint),
            **(more or {}),
        }
        result(json.dumps(fields))
        return 0
    kind = " This money is simulated." if is_simulated(job.endpoint) else ""
    result(
        f"{len(pending.to_make)} of {outline.tasks} tasks would be made for {usd(cost)}, "
        f"in about {duration(expected.seconds)}; nothing was called or written.{kind}"
    )
    return 0


def _estimate(job: Job, outline: PlanSummary, counts: Mapping[str, int]) -> plan.Estimate:
    models = {each.model_id: each.model for each in outline.models}
    rates = {
        name: plan.calls_a_minute_of_all_routes(job, name, model) for name, model in models.items()
    }
    return plan.estimate(job, models, counts, rates)
