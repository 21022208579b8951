"""`batchgen run --dry-run`: what a run would make and cost; nothing is called or written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from batchgen.commands.preview import preview
from batchgen.commands.streams import note, result
from batchgen.plan import Plan
from batchgen.runner import Deadline, Selection
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
    seen = preview(whole, selection)
    outline, pending, short = seen.outline, seen.pending, seen.shortage
    cost = None if outline.price_usd is None else pending.cost(outline)
    ends = seen.ends(deadline)
    for text in (*outline.warnings, *pending.notices(), *([] if short is None else [short])):
        note(escaped(text))
    if as_json:
        fields = {
            "tasks": outline.tasks,
            "to_make": len(pending.to_make),
            "cost_usd": None if cost is None else float(cost),
            **ends.to_json(),
            "simulated": seen.is_simulated,
            **(more or {}),
        }
        result(json.dumps(fields))
        return 0
    kind = " This money is simulated." if seen.is_simulated else ""
    when = ends.sentence() if len(pending.to_make) else ""
    time = f", in {when}" if when.startswith("about") else f": {when}" if when else ""
    result(
        f"{len(pending.to_make)} of {outline.tasks} tasks would be made for {usd(cost)}{time}; "
        f"nothing was called or written.{kind}"
    )
    return 0
