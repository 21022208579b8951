"""What a program needs to do what the command line does; `import batchgen` offers it.

job = batchgen.load_job("jobs/catalog.yaml")
summary = await batchgen.run(job, on_record=lambda record: print(record.label, record.status))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen import plan
from batchgen.job import Job, Limits, load
from batchgen.output import (
    MANIFEST_NAME,
    Originals,
    Verified,
    in_thread,
    load_history,
    manifest_of,
    read_originals,
    read_records,
    verify_output,
    worker_threads,
)
from batchgen.record import Record, Status
from batchgen.runner import Batch, Observer, RunOptions, Selection, Summary, deadline_of
from batchgen.task import Task

if TYPE_CHECKING:
    from batchgen.report import Judged


def load_job(path: str | Path) -> Job:
    """The job in a YAML file.

    Raises:
        JobError: with every complaint about the file.
    """
    return load(Path(path))


def plan_job(job: Job) -> Iterator[Task]:
    """Every task of a job in order, made as it is asked for; nothing is called or written.

    With `seed: random` the seeds are not those of a run: a run draws its own.

    Raises:
        JobError: with every complaint about the job.
    """
    plan.check(job)
    return plan.expand(job, random_seed_key="plan")


async def run(
    job: Job,
    *,
    selection: Selection | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Summary:
    """Make the images of a job that are not there yet, from a running event loop.

    Whoever is cancelled while it waits, by a timeout or by Ctrl-C, stops the run as one who leaves
    the loop over `records` does; to be cancelled once more ends it at once.

    Args:
        job: from `load_job`, or `Job(...)`.
        selection: a part of it; None: all that is missing.
        on_record: called in the loop with each record as soon as it is durable; it must not block.

    Returns:
        The figures of the run; its `exit_code` is what the command would have returned.

    Raises:
        JobError: the job cannot be run.
        ServiceUnusable: there are no credentials, or the simulator did not start.
        OutputBusy: another run holds the output.
        StorageError: the output cannot be written.
    """
    return await _completed(Batch(_options(job, selection, on_record)))


async def _completed(batch: Batch) -> Summary:
    """The figures of a run; calls in flight are paid for, and finished also if this is cancelled.

    Raises:
        asyncio.CancelledError: all that was in flight is on record.
    """
    running = asyncio.create_task(batch.run())
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        batch.drain()
        await running
        raise


async def records(
    job: Job, *, selection: Selection | None = None, new_only: bool = False
) -> AsyncIterator[Record]:
    """Run a job and hand over the record of each of its tasks.

    First those that this run makes, each as soon as it is durable; then, unless `new_only`, those
    that earlier runs have done, in the order of the job.

    Leaving the loop early, or being cancelled in it, stops the run: no more calls start, and those
    in flight, which are paid for, are finished and recorded. To wait for that after a `break`, put
    `contextlib.aclosing` around it. Raises what `run` raises, after the last new record.
    """
    made: asyncio.Queue[Record | None] = asyncio.Queue()
    batch = Batch(_options(job, selection, made.put_nowait))
    running = asyncio.create_task(batch.run())
    running.add_done_callback(lambda _: made.put_nowait(None))
    try:
        while (record := await made.get()) is not None:
            yield record
    finally:
        batch.drain()
        await running
    if not new_only:
        for record in _earlier(job, selection or Selection(), batch.run_id):
            yield record


def _earlier(job: Job, selection: Selection, run_id: str) -> Iterator[Record]:
    """The records of the tasks, of a job or its selected part, that another run has done."""
    history = load_history(Path(job.output) / MANIFEST_NAME)
    for task_id in _task_ids(job, selection, history.random_seed_key):
        if history.status(task_id) in {Status.SUCCEEDED, Status.FILTERED}:
            record = history.present(task_id)
            if record is not None and record.run_id != run_id:
                yield record


def _task_ids(job: Job, selection: Selection, random_seed_key: str | None) -> Iterator[str]:
    if not selection.only:
        return plan.task_ids(job, random_seed_key=random_seed_key)
    tasks = plan.expand(job, random_seed_key=random_seed_key)
    return (task.id for task in tasks if plan.matches(task, selection.only))


def read_manifest(path: str | Path) -> Iterator[Record]:
    """The records of a manifest in the order of writing; of several with one task id the last wins.

    An image that was moved since has the path that it has now.

    Args:
        path: of a manifest, or of the output folder that holds it.

    Raises:
        ManifestError: it cannot be read, or a later version wrote it.
    """
    yield from read_records(manifest_of(Path(path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What became of the images of a manifest that were made again."""

    summary: Summary | None
    """The figures of the run; None if no call could make any of them again."""
    images: tuple[Judged, ...]
    """Each original with its verdict, in the order of the manifest."""
    output: Path
    """The folder of the new images and their manifest."""


async def reproduce(
    manifest: str | Path,
    *,
    choice: plan.Choice | None = None,
    limits: Limits | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> Reproduction:
    """Make the images of a manifest again from their records alone, and compare.

    Called again it goes on where it was cut off, and pays nothing twice. To be cancelled means what
    it means to `run`.

    Args:
        manifest: or the output folder that holds it.
        choice: a part of it, another model, endpoint or output; None: all of it, as it was.
        limits: of the run; `budget_usd` holds for all runs into the new output together.
        on_record: as for `run`.

    Raises:
        ManifestError: it cannot be used.
        InputError: nothing in it is chosen, or it does not tell what to call.
        ServiceUnusable: as `run`.
        OutputBusy: as `run`.
        StorageError: as `run`.
    """
    from batchgen.report import judge  # noqa: PLC0415  # Pillow, for this alone

    async with worker_threads(1):
        originals, replay = await in_thread(
            _replay, Path(manifest), choice or plan.Choice(), limits or Limits()
        )
    job = replay.job
    options = replace(_options(job, None, on_record), plan=replay, reproduces=originals.manifest)
    summary = await _completed(Batch(options)) if replay.check().tasks else None
    output = Path(job.output)
    async with worker_threads(1):
        judged = judge(replay.planned, originals.folder, output, job.endpoint)
        images = await in_thread(tuple, judged)
    return Reproduction(summary=summary, images=images, output=output)


def _replay(manifest: Path, choice: plan.Choice, limits: Limits) -> tuple[Originals, plan.Replay]:
    originals = read_originals(manifest, choice.run_id)
    replay = plan.replay_of(
        originals, choice, lambda job: job.model_copy(update={"limits": limits})
    )
    return originals, replay


def verify(path: str | Path, *, quick: bool = False) -> Verified:
    """Check an output against its manifest, on all cores; blocks, and changes nothing.

    Args:
        path: of a manifest, or of the output folder that holds it.
        quick: look at sizes and times, and read only what is newer than its record.

    Returns:
        What was looked at; its `findings` are empty where all is as the manifest says.

    Raises:
        ManifestError: it cannot be read, or no run of batchgen wrote it.
        StorageError: the lock of the output cannot be read.
    """
    return verify_output(manifest_of(Path(path)), quick=quick)


class _Callback(Observer):
    def __init__(self, on_record: Callable[[Record], None]) -> None:
        self._on_record = on_record

    def record(self, record: Record) -> None:
        self._on_record(record)


def _options(
    job: Job, selection: Selection | None, on_record: Callable[[Record], None] | None
) -> RunOptions:
    return RunOptions(
        job=job,
        selection=selection or Selection(),
        deadline=deadline_of(job.limits.until, None, datetime.now(UTC)),
        observer=Observer() if on_record is None else _Callback(on_record),
    )
