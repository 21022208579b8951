"""The story of one batch, readable from top to bottom; how a task is made stands in `policies`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from batchgen import plan
from batchgen.bedrock import Endpoint
from batchgen.errors import ManifestError, NotStarted, StorageError
from batchgen.job import Job
from batchgen.output import History, LockWait, OutputFolder, network_file_system, open_output
from batchgen.output import history as histories
from batchgen.plan import PlanSummary
from batchgen.policies import (
    Budget,
    DiskReserve,
    RouteQuotas,
    RunContext,
    Stop,
    StopCause,
    availability_of,
    documented,
    open_quotas,
    policies,
    require_quotas,
)
from batchgen.record import EndLine, RunLine, utc_now
from batchgen.runner.audit import audit
from batchgen.runner.deadline import margin_of, watch_deadline
from batchgen.runner.options import RunOptions
from batchgen.runner.progress import RunStats, Summary, all_states, states_by_route
from batchgen.runner.recorder import Ledger, Recorder, RunIdentity
from batchgen.runner.recovery import recover
from batchgen.runner.selection import Pending, TaskSet, select
from batchgen.runner.worker import Work, drain, working
from batchgen.text import quoted

STORE_THREADS = 32
"""Threads for the disk, base64 and Pillow: a slow sync of one image must not hold up the others."""


class Batch:
    """One run of one job; make one for each run."""

    def __init__(self, order: RunOptions) -> None:
        self.order = order
        self.run_id = f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.stop = Stop()
        self.budget = Budget(order.job.limits.budget_usd)
        self.tally = RunStats(
            self.run_id,
            str(order.job.output),
            patience=order.job.limits.give_up_after,
            clock=order.clock,
        )
        job = order.job
        self._origin = RunIdentity.of(self.run_id, job)
        self._quotas: list[RouteQuotas] = []
        self._outline = PlanSummary(tasks=0, models=(), price_usd=None, warnings=())

    def snapshot(self) -> Summary:
        """How far the run is."""
        summary = self.tally.snapshot(self.budget, all_states(self._quotas), self.stop.stopping)
        return replace(summary, routes=states_by_route(self._quotas))

    def drain(self) -> None:
        """Start no more calls; `run` returns when those in flight are recorded."""
        self.stop.request(StopCause.INTERRUPTED, "The caller stopped the run.")

    async def run(self) -> Summary:
        """Make what the output does not have yet, and say what came of it.

        Raises:
            JobError: the job cannot be run; nothing was written or called.
            ServiceUnusable: there are no credentials; nothing was written or called.
            OutputBusy: another run holds the output.
            StorageError: the output cannot be written at all.
            ManifestError: the output's manifest cannot be used.
        """
        job = self.order.job
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(STORE_THREADS))
        self._outline = outline = await asyncio.to_thread(plan.check, job)
        self.tally.total = outline.tasks
        self._tell(outline.warnings)
        async with AsyncExitStack() as stack:
            endpoint = await self._open(stack)
            turn = LockWait(
                wait=self.order.wait_lock, sleep=self.stop.sleep, tell=self.order.observer.notice
            )
            opening = open_output(Path(job.output), self.run_id, turn=turn)
            try:
                output = await stack.enter_async_context(opening)
            except NotStarted:  # asked to stop while another run held the output
                return self.snapshot()
            return await self._within(output, endpoint)

    async def _open(self, stack: AsyncExitStack) -> Endpoint:
        """Open the service, and find out the quotas of each route."""
        job, outline = self.order.job, self._outline
        most = max(route.places(job.limits) for route in job.ways)
        calls = most * len(documented(outline))
        endpoint = await stack.enter_async_context(self.order.open_service(job, calls))
        self._tell(endpoint.notices)
        self._quotas = [
            await open_quotas(job, opened, outline, self.order.clock) for opened in endpoint.routes
        ]
        require_quotas(job, outline, endpoint, self._quotas, self.order.observer.notice)
        return endpoint

    async def _within(self, output: OutputFolder, endpoint: Endpoint) -> Summary:
        """The run proper, with everything open."""
        require_same_job(self.order.job, output.history)
        await output.prepare()
        self.budget.spent = output.history.spent
        key = random_seed_key(output, fresh=self.order.selection.fresh)
        await output.manifest.append(run_line(self.order.job, self.run_id, key))
        output = await self._recover(output, key)
        pending = await asyncio.to_thread(
            select, self.order.job, output.history, self.order.selection, key
        )
        self._announce(pending, output)
        try:
            await self._make_all(pending, output, endpoint)
        except asyncio.CancelledError:
            await asyncio.shield(self._end(output))
            raise
        return await self._end(output)

    async def _end(self, output: OutputFolder) -> Summary:
        """Close the run in the manifest; a fault or a kill leaves it open, and is read as such."""
        summary = self.snapshot()
        line = EndLine(
            run_id=self.run_id,
            finished_at=utc_now(),
            exit_code=summary.exit_code,
            summary=summary.to_json(),
        )
        try:
            await output.manifest.append(line)
        except StorageError as error:
            self.stop.request(StopCause.DISK, f"{error}.")
            return self.snapshot()
        return summary

    async def _recover(self, output: OutputFolder, key: str) -> OutputFolder:
        """Take in what a killed run left behind."""
        await output.finish_move()
        adopted = await recover(self.order.job, output, self._origin, key)
        self.tally.adopted = len(adopted.records)
        self.budget.find(adopted.uncounted_usd)
        for record in adopted.records:
            self.order.observer.record(record)
        self._tell(adopted.notices(output.folder))
        if adopted.records:
            output.history = await asyncio.to_thread(histories.load_history, output.history.path)
        return output

    def _announce(self, pending: Pending, output: OutputFolder) -> None:
        self.tally.earlier = pending.earlier
        self.tally.saved_usd = pending.saved(self._outline)
        earlier = pending.earlier.succeeded + pending.earlier.filtered
        self.tally.total = len(pending.wanted) + earlier
        self._tell(opening_notices(pending, output, earlier))

    def _tell(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.order.observer.notice(text)

    async def _make_all(self, pending: Pending, output: OutputFolder, endpoint: Endpoint) -> None:
        """Every pending task, and then those whose images turned out to be gone.

        Looking for the images of earlier runs takes a while; the first call does not wait for it.
        """
        job = self.order.job
        means = self._means(output)
        availability = availability_of(job, documented(self._outline), means)
        ledger = Ledger(
            manifest=output.manifest,
            store=output.store,
            tally=self.tally,
            observer=self.order.observer,
        )
        concluding = Recorder(
            self._origin, ledger, self.stop, availability, job.limits.max_failures
        )
        make = policies(job, endpoint, self._quotas, means, concluding.retry, availability)
        work = working(make, concluding, self.stop)
        damaged = pending.wanted.emptied()
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch_deadline())
            async with asyncio.TaskGroup() as pools:
                pools.create_task(self._audit(output, pending, damaged))
                self._start_pools(pools, pending.wanted, work)
            async with asyncio.TaskGroup() as pools:
                self._start_pools(pools, damaged, work)
            watcher.cancel()

    def _start_pools(self, pools: asyncio.TaskGroup, chosen: TaskSet, work: Work) -> None:
        """One pool for each model, for each has a quota of its own."""
        workers = 2 * self.order.job.places + 8
        for model_id in chosen.models():
            tasks = self.stop.until(chosen.tasks(model_id))
            pools.create_task(drain(tasks, work, workers))

    async def _audit(self, output: OutputFolder, pending: Pending, damaged: TaskSet) -> None:
        try:
            missing = await audit(output, pending.succeeded, damaged, self.stop, self._origin)
        except StorageError as error:
            self.stop.request(StopCause.DISK, f"{error}.")
            return
        if missing:
            earlier = self.tally.earlier
            self.tally.earlier = replace(earlier, succeeded=earlier.succeeded - missing)
            self.tally.saved_usd *= Decimal(earlier.succeeded - missing) / earlier.succeeded
            self.order.observer.notice(
                f"Missing or altered images of earlier runs: {missing}; they are made again."
            )

    def _means(self, output: OutputFolder) -> RunContext:
        return RunContext(
            run_id=self.run_id,
            region=self.order.job.region,
            manifest=output.manifest,
            store=output.store,
            room=DiskReserve(output.folder),
            budget=self.budget,
            stop=self.stop,
            tell=self.order.observer.notice,
            clock=self.order.clock,
        )

    async def _watch_deadline(self) -> None:
        """Stop handing out early enough for the longest call to end before the deadline."""
        if (deadline := self.order.deadline) is not None:
            await watch_deadline(deadline, self.stop, margin=self._margin, now=self.order.now)

    def _margin(self) -> float:
        return margin_of(self.tally.longest_call, sum(self.tally.counts.values()))


SDK = ("aioboto3", "aiobotocore", "botocore", "aiohttp")
"""The packages that make the calls; their versions stand in the manifest."""


def opening_notices(pending: Pending, output: OutputFolder, earlier: int) -> Iterator[str]:
    """What a person should know before the first call."""
    history = output.history
    if len(history):
        yield (
            f"Tasks done in earlier runs and skipped: {earlier}; to make: {len(pending.wanted)}, "
            f"of them again: {pending.again}; no longer in the job: {pending.unknown}."
        )
    if history.unreadable:
        yield (
            f"Lines of {history.path} that cannot be read: {history.unreadable}; "
            "they count as not written."
        )
    kind = network_file_system(output.folder)
    if kind is not None:
        yield (
            f"{output.folder} lies on a network file system ({kind}), where locks and syncs "
            "promise less; a local disk is safer."
        )


def require_same_job(job: Job, history: History) -> None:
    """An output belongs to one job: another one's names and seeds would mix with its images."""
    name = history.job_name
    if name is not None and name != job.name:
        raise ManifestError(
            f"{history.path.parent} holds the images of the job {quoted(name)}, and this job is "
            f"{quoted(job.name)}: give it an output of its own."
        )


def run_line(job: Job, run_id: str, random_seed_key: str) -> RunLine:
    """The line that opens a run."""
    return RunLine(
        run_id=run_id,
        batchgen_version=version("batchgen"),
        sdk_versions={name: version(name) for name in SDK},
        job_name=job.name,
        job_file=job.source.file if job.source else None,
        job_sha256=job.source.sha256 if job.source else None,
        endpoint=job.endpoint,
        region=job.region,
        random_seed_key=random_seed_key,
        started_at=utc_now(),
    )


def random_seed_key(output: OutputFolder, *, fresh: bool) -> str:
    """What `seed: random` draws from: the same for all runs of an output, until `--fresh`."""
    known = output.history.random_seed_key
    return known if known and not fresh else secrets.token_hex(8)
