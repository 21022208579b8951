"""`batchgen run`: make the images of a job that are not there yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Options that stand for keys of the job file and win over them; None leaves the key alone."""

    output: str | None
    concurrency: int | None
    requests_per_minute: float | str | None
    run_budget_usd: Any
    until: Any

    def apply(self, job: Job) -> Job:
        """The job with these values in place of its own."""
        limits = _given(
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            run_budget_usd=self.run_budget_usd,
            until=self.until,
        )
        changes = _given(output=self.output)
        names = ("concurrency", "requests_per_minute")
        own: dict[str, Any] = {name: None for name in names if name in limits}
        changes["routes"] = tuple(route.model_copy(update=own) for route in job.routes)
        return job.model_copy(update={**changes, "limits": job.limits.model_copy(update=limits)})


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


CHOOSING = (
    click.option("--output", type=options.FOLDER, help="Folder of images and manifest."),
    click.option("--endpoint", type=options.ENDPOINT, help="What is called."),
    click.option("--limit", type=options.COUNT, help="Make this many tasks at most."),
    click.option("--only", multiple=True, help="Make only items (or labels) like this: 'mug-*'."),
    click.option("--fresh", is_flag=True, help="Make again what the manifest has."),
    click.option("--reseed", is_flag=True, help="Make what is chosen with new seeds."),
    click.option("--retry-filtered", is_flag=True, help="Make again what moderation refused."),
    click.option("--max-cost", type=options.USD, help="Spend this much at most in this run."),
    click.option("--until", type=options.UNTIL, help="Be done by this time of day."),
    click.option("--max-duration", type=options.DURATION, help="Be done after this time: 90m."),
    click.option("--concurrency", type=options.CONCURRENCY, help="Calls in flight at most."),
    click.option("--rpm", type=options.RATE, help="Calls a minute and model."),
    pricing,
)
"""What chooses tasks, or stands for keys of the job file."""


def choosing(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command these options; `ordered` reads them."""
    for option in reversed(CHOOSING):
        function = option(function)
    return function


def ordered(job: Path, given: Mapping[str, Any]) -> tuple[Job, Selection]:
    """The job with what options changed of it, and the part of it that they choose.

    Raises:
        JobError: the job file cannot be used.
        InputError: a pattern fits no item.
    """
    from batchgen.job import load
    from batchgen.runner import Selection

    loaded = priced(load(job, defer=True, endpoint=given["endpoint"]), given["prices"])
    changed = Overrides(
        output=given["output"],
        concurrency=given["concurrency"],
        requests_per_minute=given["rpm"],
        run_budget_usd=given["max_cost"],
        until=given["until"],
    ).apply(loaded)
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
@click.option(
    "--wait-lock", type=options.DURATION, help="Wait this long for another run to end: 30m."
)
@click.option("-q", "--quiet", is_flag=True, help="Print warnings and the end alone.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; call and write nothing.")
@options.json_option
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
    chosen, selection = ordered(job, given)
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
