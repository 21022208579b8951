"""`batchgen run`: make the images of a job that are not there yet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.prices import priced, pricing
from batchgen.commands.starting import starting
from batchgen.commands.streams import result
from batchgen.errors import InputError
from batchgen.text import closest, did_you_mean, quoted

if TYPE_CHECKING:
    from batchgen.job import Job, Row
    from batchgen.runner import Selection


MOST_COMPARED = 10_000
"""Ids among which the nearest one is sought."""


bounding = options.together(
    click.option("--max-cost", type=options.USD, help="Spend this much at most in this run."),
    click.option("--until", type=options.UNTIL, help="End by this time of day."),
    click.option("--max-duration", type=options.DURATION, help="End after this time: 90m."),
    click.option("--concurrency", type=options.CONCURRENCY, help="Calls in flight at most."),
    click.option("--rpm", type=options.RATE, help="Calls a minute for each model."),
    pricing,
)
"""Bounds of a run, which win over those of its job; `bounded` reads them."""

choosing = options.together(
    click.option("--output", type=options.FOLDER, help="Folder of images and manifest."),
    click.option("--endpoint", type=options.ENDPOINT, help="Which service to call."),
    click.option("--limit", type=options.COUNT, help="Make this many tasks at most."),
    click.option("--only", multiple=True, help="Make only items (or labels) like this: 'mug-*'."),
    click.option("--fresh", is_flag=True, help="Make again what the manifest has."),
    click.option("--reseed", is_flag=True, help="Make what is chosen with new seeds."),
    click.option("--retry-filtered", is_flag=True, help="Make again what moderation refused."),
    bounding,
)
"""What chooses tasks, or stands for keys of the job file; `job_and_selection` reads it."""

running = options.together(
    click.option(
        "--wait-lock", type=options.DURATION, help="Wait this long for another run to end: 30m."
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print only warnings and the end."),
    click.option("--dry-run", is_flag=True, help="Say what would be made; call and write nothing."),
    options.json_option,
)
"""How a command goes about its run."""


def bounded(job: Job, given: Mapping[str, Any]) -> Job:
    """The job with the options of `bounding` in place of its own keys, at its user's prices.

    Raises:
        JobError: the file of prices cannot be used.
    """
    options_of = {
        "concurrency": "concurrency",
        "requests_per_minute": "rpm",
        "run_budget_usd": "max_cost",
        "until": "until",
    }
    limits = {key: given[name] for key, name in options_of.items() if given[name] is not None}
    # What is set for all routes wins over what each has of its own.
    own: dict[str, Any] = {
        name: None for name in ("concurrency", "requests_per_minute") if name in limits
    }
    changes = {
        "limits": job.limits.model_copy(update=limits),
        "routes": tuple(route.model_copy(update=own) for route in job.routes),
    }
    return priced(job.model_copy(update=changes), given["prices"])


def job_and_selection(job: Path, given: Mapping[str, Any]) -> tuple[Job, Selection]:
    """The job with what options changed of it, and the part of it that they choose.

    Raises:
        JobError: the job file cannot be used.
        InputError: a pattern fits no item.
    """
    from batchgen.job import load
    from batchgen.runner import Selection

    changed = bounded(load(job, defer=True, endpoint=given["endpoint"]), given)
    if given["output"] is not None:
        changed = changed.model_copy(update={"output": given["output"]})
    selection = Selection(
        limit=given["limit"],
        only=given["only"],
        fresh=given["fresh"],
        reseed=given["reseed"],
        retry_filtered=given["retry_filtered"],
    )
    _refuse_unmatched(changed, selection.only)
    return changed, selection


@click.command(name="run")
@options.job_argument
@choosing
@running
def command(job: Path, **given: Any) -> int:
    """Make the images of a job that are not there yet.

    The same command again makes only what is missing: after a crash, after an edit, every night.
    """
    with starting():
        from batchgen.plan import JobPlan
        from batchgen.runner import RunOptions, deadline_of

        if not given["dry_run"]:
            from batchgen.bedrock import begin_import
            from batchgen.commands.foreground import ForegroundRun
    if not given["dry_run"]:
        begin_import()
    chosen, selection = job_and_selection(job, given)
    deadline = deadline_of(chosen.limits.until, given["max_duration"], datetime.now(UTC))
    if given["dry_run"]:
        from batchgen.commands.dry_run import dry_run

        as_json = given["as_json"]
        return dry_run(JobPlan(chosen), selection, as_json=as_json, deadline=deadline)
    run_options = RunOptions(
        job=chosen,
        selection=selection,
        deadline=deadline,
        wait_lock=given["wait_lock"] or 0.0,
    )
    summary = ForegroundRun(run_options, quiet=given["quiet"]).run()
    if given["as_json"]:
        result(json.dumps(summary.to_json()))
    return summary.exit_code


def _refuse_unmatched(job: Job, patterns: Sequence[str]) -> None:
    """A pattern that fits nothing is a slip, and a run that makes nothing would hide it.

    Raises:
        InputError: with the first such pattern.
    """
    if job.source is not None and job.source.complaints:
        return  # the check of the plan says what is wrong, and the pattern may fit once it is right
    from batchgen.job import Complaints, Expansion

    found = Complaints()
    for pattern in patterns:
        if not any(_fits(job, row, pattern) for row in Expansion(job, found)):
            if found:
                return  # as above: rows that are wrong are not known
            ids = (row.item.id for row in islice(Expansion(job, Complaints()), MOST_COMPARED))
            near = closest(pattern.strip("*?"), ids)
            raise InputError(
                f"--only {quoted(pattern)} fits no item of the job {job.name}{did_you_mean(near)}"
            )


def _fits(job: Job, row: Row, pattern: str) -> bool:
    """Whether an item's id or one of its labels is like the pattern."""
    labels = map(row.task_label, range(1, (row.item.variants or job.variants) + 1))
    return fnmatchcase(row.item.id, pattern) or any(fnmatchcase(label, pattern) for label in labels)
