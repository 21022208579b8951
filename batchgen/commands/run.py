"""`batchgen run`: make the images of a job that are not there yet."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.display import Display, Screen, report, screen, status_line
from batchgen.commands.failures import Failures
from batchgen.commands.streams import result
from batchgen.errors import InputError
from batchgen.job import Item, Job, load
from batchgen.runner import Deadline, Selection, deadline_of
from batchgen.text import closest, quoted

if TYPE_CHECKING:
    from batchgen.runner import Batch, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Options that stand for keys of the job file and win over them; None leaves the key alone."""

    output: str | None
    endpoint: str | None
    concurrency: int | None
    requests_per_minute: float | str | None
    budget_usd: Any
    until: Any

    def apply(self, job: Job) -> Job:
        """The job with these values in place of its own."""
        limits = _given(
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            budget_usd=self.budget_usd,
            until=self.until,
        )
        changes = _given(output=self.output, endpoint=self.endpoint)
        names = ("concurrency", "requests_per_minute")
        own: dict[str, Any] = {name: None for name in names if name in limits}
        changes["routes"] = tuple(route.model_copy(update=own) for route in job.routes)
        return job.model_copy(update={**changes, "limits": job.limits.model_copy(update=limits)})


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@click.command(name="run")
@options.job_argument
@click.option("--output", type=options.FOLDER, help="Folder of images and manifest.")
@click.option("--endpoint", type=options.ENDPOINT, help="What is called.")
@click.option("--limit", type=options.COUNT, help="Make this many tasks at most.")
@click.option("--only", multiple=True, help="Make only items (or labels) like this: 'mug-*'.")
@click.option("--fresh", is_flag=True, help="Make again what the manifest has.")
@click.option("--retry-filtered", is_flag=True, help="Make again what moderation refused.")
@click.option("--max-cost", type=options.USD, help="Spend this much at most.")
@click.option("--until", type=options.UNTIL, help="Be done by this time of day.")
@click.option("--max-duration", type=options.DURATION_TYPE, help="Be done after this time: 90m.")
@click.option("--concurrency", type=options.CONCURRENCY, help="Calls in flight at most.")
@click.option("--rpm", type=options.RATE, help="Calls a minute and model.")
@click.option(
    "--wait-lock", type=options.DURATION_TYPE, help="Wait this long for another run to end: 30m."
)
@click.option("--dry-run", is_flag=True, help="Say what would be made; call and write nothing.")
@options.json_option
def command(job: Path, **given: Any) -> int:
    """Make the images of a job that are not there yet.

    The same command again makes only what is missing: after a crash, after an edit, every night.
    """
    ordered = Overrides(
        output=given["output"],
        endpoint=given["endpoint"],
        concurrency=given["concurrency"],
        requests_per_minute=given["rpm"],
        budget_usd=given["max_cost"],
        until=given["until"],
    ).apply(load(job, defer=True))
    selection = Selection(
        limit=given["limit"],
        only=given["only"],
        fresh=given["fresh"],
        retry_filtered=given["retry_filtered"],
    )
    _refuse_strangers(ordered, selection.only)
    if given["dry_run"]:
        from batchgen.commands.dry_run import dry_run  # noqa: PLC0415  # needed for this alone

        return dry_run(ordered, selection, as_json=given["as_json"])
    runner = _Runner(ordered, selection, given["wait_lock"])
    summary = runner.run(given["max_duration"])
    if given["as_json"]:
        result(json.dumps(summary.to_json()))
    return summary.exit_code


class _Runner:
    """One run with its display and its signals."""

    def __init__(self, job: Job, selection: Selection, wait_lock: float | None) -> None:
        self._failures = Failures()
        self._job = job
        self._selection = selection
        self._wait_lock = wait_lock or 0.0

    def run(self, max_duration: float | None) -> Summary:
        """Run to the end, with a bar or with lines that show how far it is."""
        deadline = deadline_of(self._job.limits.until, max_duration, datetime.now(UTC))
        with screen() as terminal:
            summary = asyncio.run(self._run(terminal, deadline))
        for line in report(summary, self._failures, self._job.output):
            terminal.line(line)
        return summary

    async def _run(self, terminal: Screen, deadline: Deadline | None) -> Summary:
        # Half a second of imports that `--help` and `validate` must not pay.
        from batchgen.commands.signals import Signals, handled  # noqa: PLC0415
        from batchgen.runner import Batch, RunOptions  # noqa: PLC0415

        display = Display(terminal, self._failures)
        order = RunOptions(
            job=self._job,
            selection=self._selection,
            deadline=deadline,
            observer=display,
            wait_lock=self._wait_lock,
        )
        batch = Batch(order)
        signals = Signals(batch.stop, lambda: batch.snapshot().in_flight, display.notice)
        with (
            handled(signals, lambda: terminal.line(status_line(batch.snapshot()))),
            display.showing(batch.snapshot),
        ):
            summary = await _completed(batch)
        terminal.show(summary)
        return summary


async def _completed(batch: Batch) -> Summary:
    """The run's summary, also when a second signal ended it."""
    try:
        return await batch.run()
    except asyncio.CancelledError:
        if batch.stop.stopping is None:
            raise
        return batch.snapshot()


def _refuse_strangers(job: Job, patterns: tuple[str, ...]) -> None:
    """A pattern that fits nothing is a slip, and a run that makes nothing would hide it.

    Raises:
        InputError: with the first such pattern.
    """
    for pattern in patterns:
        if not any(_fits(job, item, pattern) for item in job.items):
            near = closest(pattern.strip("*?"), (item.id for item in job.items))
            hint = "" if near is None else f"; did you mean {quoted(near)}?"
            raise InputError(f"--only {quoted(pattern)} fits no item of the job {job.name}{hint}")


def _fits(job: Job, item: Item, pattern: str) -> bool:
    """Whether an item's id or one of its labels is like the pattern."""
    labels = (f"{item.id}/{number + 1}" for number in range(item.variants or job.variants))
    return fnmatchcase(item.id, pattern) or any(fnmatchcase(label, pattern) for label in labels)
