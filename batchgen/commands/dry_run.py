"""`batchgen run --dry-run`: what a run would make and cost; nothing is called or written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchgen.commands.ends import ends_of
from batchgen.commands.streams import note, result
from batchgen.plan import Plan
from batchgen.record import is_simulated
from batchgen.runner import Deadline, Selection, read_output, reseed, select, shortage
from batchgen.text import escaped, usd


def dry_run(
    whole: Plan,
    selection: Selection,
    *,
    as_json: bool,
    deadline: Deadline | None = None,
    more: Mapping[str, Any] | None = None,
) -> int:
    """Say what a run would make and cost.

    Args:
        whole: what it would make that from.
        selection: the part that was asked for.
        as_json: one JSON object on standard output.
        deadline: when the run must have ended.
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
    ends = ends_of(job, outline, pending, history, deadline)
    short = shortage(job, history, pending, outline)
    for text in (*outline.warnings, *pending.notices(), *([] if short is None else [short])):
        note(escaped(text))
    if as_json:
        fields = {
            "tasks": outline.tasks,
            "to_make": len(pending.to_make),
            "cost_usd": None if cost is None else float(cost),
            **ends.to_json(),
            "simulated": is_simulated(job.endpoint),
            **(more or {}),
        }
        result(json.dumps(fields))
        return 0
    kind = " This money is simulated." if is_simulated(job.endpoint) else ""
    when = ends.sentence() if len(pending.to_make) else ""
    time = f", in {when}" if when.startswith("about") else f": {when}" if when else ""
    result(
        f"{len(pending.to_make)} of {outline.tasks} tasks would be made for {usd(cost)}{time}; "
        f"nothing was called or written.{kind}"
    )
    return 0
