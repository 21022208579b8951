"""The story of one batch, readable from top to bottom; how a task is made stands in `policies`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path

from batchgen.bedrock import Endpoint
from batchgen.errors import JobError, NotStarted, StorageError
from batchgen.output import (
    SPOOL,
    History,
    LockWait,
    OutputFolder,
    in_thread,
    load_history,
    network_file_system,
    open_output,
    refuse_lost_manifest,
    require_names,
    worker_threads,
)
from batchgen.pacing import SharedLimit
from batchgen.plan import JobPlan, PlanSummary
from batchgen.policies import (
    Budget,
    DiskReserve,
    Labelling,
    RouteQuotas,
    RunContext,
    Stop,
    StopCause,
    build_chain,
    documented,
    health_of,
    open_quotas,
    require_quotas,
)
from batchgen.record import EndLine, RunLine, is_simulated, utc_now
from batchgen.runner.account import open_account
from batchgen.runner.audit import audit
from batchgen.runner.chains import Chains
from batchgen.runner.deadline import margin_of, watch_deadline
from batchgen.runner.derivatives import Derivatives
from batchgen.runner.heap import frozen_heap
from batchgen.runner.options import RunOptions
from batchgen.runner.pending import Pending, TaskSet
from batchgen.runner.progress import RunStats, Summary, all_states, states_by_route
from batchgen.runner.recorder import Ledger, Recorder, RunIdentity
from batchgen.runner.recovery import recover
from batchgen.runner.selection import reach, reseed, select
from batchgen.runner.worker import Work, drain, pool_size, working
from batchgen.task import Task

THREADS = 32
"""For the disk, base64 and Pillow: a slow sync of one image must not hold up the others."""


class Batch:
    """One run of one job; make one for each run."""

    def __init__(self, options: RunOptions) -> None:
        job = options.job
        self.options = options
        self._plan = options.plan or JobPlan(job)
        self.run_id = f"{utc_now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self.stop = Stop()
        self.budget = Budget(job.limits.budget_usd, run_limit=job.limits.run_budget_usd)
        self.stats = RunStats(
            self.run_id, str(job.output), patience=job.limits.give_up_after, clock=options.clock
        )
        self.stats.is_simulated = is_simulated(job.endpoint)
        self.stats.begun_with = options.selection.begun_with
        self._origin = RunIdentity.of(self.run_id, job)
        self._quotas: list[RouteQuotas] = []
        self._labelling = Labelling(job, self.run_id, options.observer.notice)
        self._outline = PlanSummary(tasks=0, models=(), price_usd=None, warnings=())

    def snapshot(self) -> Summary:
        """How far the run is."""
        summary = self.stats.snapshot(self.budget, all_states(self._quotas), self.stop.stopping)
        return replace(summary, routes=states_by_route(self._quotas))

    def drain(self) -> None:
        """Start no more calls; `run` returns when those in flight are recorded."""
        self.stop.apply(StopCause.INTERRUPTED, who="The caller")

    async def run(self) -> Summary:
        """Make what the output does not have yet, and say what came of it.

        Raises:
            JobError: the job cannot be run; nothing was written or called.
            ServiceUnusable: there are no credentials; nothing was written or called.
            OutputBusy: another run holds the output.
            StorageError: the output cannot be written at all.
            OutputUnusable: it takes no images; nothing was called.
            ManifestError: the output's manifest cannot be used, or is lost.
        """
        async with worker_threads(THREADS), AsyncExitStack() as stack:
            most = await in_thread(reach, self._plan, self.options.selection)
            self._outline = await in_thread(self._plan.check, most)
            await in_thread(self._require_names)
            await in_thread(self._labelling.prepare)
            self.stats.total = self._outline.tasks
            self._notify(self._outline.warnings)
            try:
                endpoint = await self._open_in_time(stack)
                output = await self._open_output(stack)
            except NotStarted:  # asked to stop while STS was silent or another run held the output
                return self.snapshot()
            return await self._run_within(output, endpoint)

    def _require_names(self) -> None:
        """Where names are not written in UTF-8, look at each: an image without one is lost."""
        if sys.getfilesystemencoding() != "utf-8":
            files = self._plan.files(random_seed_key="of digits, as all seeds")
            stems = (stem for _, _, stem in islice(files, self._outline.tasks))
            require_names(chain((str(self.options.job.output),), stems))

    async def _open_in_time(self, stack: AsyncExitStack) -> Endpoint:
        """Open the service, as long as the run may last.

        Raises:
            NotStarted: the deadline came first.
        """
        if (deadline := self.options.deadline) is None:
            return await self._open_service(stack)
        limit = asyncio.timeout(max(0.0, deadline.at - self.options.now()))
        try:
            async with limit:
                return await self._open_service(stack)
        except TimeoutError:
            if not limit.expired():
                raise
            self.stop.apply(StopCause.DEADLINE, deadline=deadline.text)
            raise NotStarted from None

    async def _open_service(self, stack: AsyncExitStack) -> Endpoint:
        """Open each route, and find out its quotas."""
        job, outline = self.options.job, self._outline
        calls = max(route.in_flight_limit(job.limits) for route in job.effective_routes)
        endpoint = await stack.enter_async_context(self.options.open_service(job, calls))
        self._notify(endpoint.notices)
        shared = SharedLimit(job.limits.concurrency)
        self._quotas = [
            await open_quotas(job, opened, outline, self.options.clock, shared)
            for opened in endpoint.routes
        ]
        require_quotas(job, outline, endpoint, self._quotas, self.options.observer.notice)
        return endpoint

    async def _open_output(self, stack: AsyncExitStack) -> OutputFolder:
        wait = LockWait(
            wait=self.options.wait_lock,
            sleep=self.stop.sleep,
            notify=self.options.observer.notice,
        )
        folder = Path(self.options.job.output)
        if not self.options.selection.fresh:
            await in_thread(refuse_lost_manifest, folder)
        opening = open_output(folder, self.run_id, lock_wait=wait)
        return await stack.enter_async_context(opening)

    async def _run_within(self, output: OutputFolder, endpoint: Endpoint) -> Summary:
        """The run proper, with everything open."""
        job, selection = self.options.job, self.options.selection
        output.history.require_job(job.name)
        output.history.require_service(job.endpoint)
        await output.prove(job.in_flight_limit)
        self.budget.spent = output.history.accounts[self.stats.is_simulated]
        self.options.observer.start(self.snapshot())
        for quotas in self._quotas:
            quotas.remember(output.history.proven.get(quotas.route, {}))
        key = random_seed_key(output, fresh=selection.fresh)
        reseed(output.history, selection, secrets.token_hex(8))
        await output.manifest.append(run_line(self.options, self.run_id, key, output.history))
        spent = output.history.accounts[self.stats.is_simulated]
        uncounted = await self._recover(output, key)
        pending = await in_thread(self._select, output.history, key)
        open_account(self.budget, spent, pending, self._outline)
        self.budget.find(uncounted)
        self._announce(pending, output)
        try:
            with frozen_heap():
                await self._make_all(pending, output, endpoint)
            self._notify(kept_notices(output))
        except asyncio.CancelledError:
            await asyncio.shield(self._end(output))
            raise
        return await self._end(output)

    def _select(self, history: History, key: str) -> Pending:
        selection = self.options.selection
        return select(self._plan, history, selection, key, outline=self._outline)

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
            self.stop.apply(StopCause.DISK, problem=error, remedy="When it is mended,")
            return self.snapshot()
        return summary

    async def _recover(self, output: OutputFolder, key: str) -> Decimal:
        """Take in what a killed run left behind; the price of what no line has counted."""
        await output.finish_move()
        recovered = await recover(self._plan, output, self._origin, key)
        await output.store.remove_empty_spool()
        self.stats.adopted = len(recovered.records)
        for record in recovered.records:
            self.options.observer.record(record)
        self._notify(recovered.notices(output.folder))
        if recovered.records:
            output.history = await in_thread(load_history, output.history.path)
        return recovered.uncounted_usd

    def _announce(self, pending: Pending, output: OutputFolder) -> None:
        self.stats.earlier = pending.earlier
        self.stats.saved_usd = pending.saved(self._outline)
        earlier = pending.earlier.done
        self.stats.total = len(pending.to_make) + earlier
        self.stats.left_elsewhere = pending.elsewhere.total()
        if len(output.history):
            self.options.observer.info(
                f"Tasks done in earlier runs and skipped: {earlier}; "
                f"to make: {len(pending.to_make)}, of them again: {pending.again}; "
                f"no longer asked for: {pending.unknown}."
            )
        self._notify(opening_notices(output))
        self._notify(pending.notices())
        if self.options.selection.fresh and pending.again and self.options.job.seed != "random":
            self._notify((SAME_PICTURES,))

    def _notify(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.options.observer.notice(text)

    async def _make_all(self, pending: Pending, output: OutputFolder, endpoint: Endpoint) -> None:
        """Every pending task, and then those whose images turned out to be gone.

        Looking for the images of earlier runs takes a while; the first call does not wait for it.
        """
        job = self.options.job
        context = self._run_context(output)
        health = health_of(job, documented(self._outline), context)
        notice = self.options.observer.notice
        derivatives = Derivatives(job, self.run_id, output, self.stop, notice)
        ledger = Ledger(
            derivatives=derivatives,
            manifest=output.manifest,
            store=output.store,
            tally=self.stats,
            observer=self.options.observer,
        )
        recorder = Recorder(self._origin, ledger, self.stop, health, job.limits.max_failures)
        run_task = build_chain(job, endpoint, self._quotas, context, recorder.retry, health)
        work = working(run_task, recorder, self.stop)
        damaged = pending.to_make.empty_like()
        chains = None
        if pending.fates is not None:
            chains = Chains(job, (pending.fates, damaged), output, self.stop, self.budget)
            work = chains.working(work, recorder)
        async with asyncio.TaskGroup() as group:
            watchers = [
                group.create_task(self._watch_deadline()),
                group.create_task(recorder.watch()),
            ]
            async with asyncio.TaskGroup() as pools:
                pools.create_task(self._audit(output, pending, damaged, derivatives))
                self._start_pools(pools, pending.to_make, work, chains)
            self._take_back(pending, damaged)
            if chains is not None:
                chains.begin_late()
            async with asyncio.TaskGroup() as pools:
                self._start_pools(pools, damaged, work, chains)
            for watcher in watchers:
                watcher.cancel()
        self.stats.derived, self.stats.underived = derivatives.made, derivatives.unmade
        if derivatives.made:
            self.options.observer.info(f"Derived files made, without a call: {derivatives.made}.")
        self._notify(derivatives.notices())

    def _start_pools(
        self, pools: asyncio.TaskGroup, chosen: TaskSet, work: Work, chains: Chains | None
    ) -> None:
        """One pool for each model, for each has a quota of its own."""
        workers = pool_size(self.options.job.in_flight_limit)
        for model_id in chosen.models():
            tasks = self.stop.until(self._readable(chosen.tasks(model_id)))
            if chains is None:
                pools.create_task(drain(tasks, work, workers))
            else:
                pools.create_task(chains.pool(tasks).drain(work, workers))

    def _readable(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """The tasks, as long as the data files are what they were when the plan was checked.

        An error that left a pool would cancel what the others have in flight, which is paid for.
        """
        try:
            yield from tasks
        except JobError as error:
            self._stop_reading(error)

    def _stop_reading(self, error: JobError) -> None:
        self.stop.apply(StopCause.DISK, problem=error, remedy="When it is as you want it,")

    async def _audit(
        self,
        output: OutputFolder,
        pending: Pending,
        damaged: TaskSet,
        derivatives: Derivatives,
    ) -> None:
        try:
            await audit(output, pending.succeeded, damaged, self.stop, self._origin, derivatives)
        except StorageError as error:
            self.stop.apply(StopCause.DISK, problem=error, remedy="When it is mended,")
            return
        except JobError as error:
            self._stop_reading(error)

    def _take_back(self, pending: Pending, damaged: TaskSet) -> None:
        """What earlier runs made and is to be made again counts as to be made."""
        missing = damaged.shared(pending.succeeded)
        if missing:
            earlier = self.stats.earlier
            self.stats.earlier = replace(earlier, succeeded=earlier.succeeded - missing)
            self.stats.saved_usd *= Decimal(earlier.succeeded - missing) / earlier.succeeded
        unasked = len(damaged) - missing - damaged.shared(pending.to_make)
        self.stats.total += unasked
        if missing + unasked:
            self.options.observer.notice(
                f"Missing or altered images of earlier runs: {missing + unasked}; they are made "
                "again."
            )

    def _run_context(self, output: OutputFolder) -> RunContext:
        return RunContext(
            run_id=self.run_id,
            region=self.options.job.region,
            manifest=output.manifest,
            store=output.store,
            images=self.options.job.images,
            labelling=self._labelling,
            reserve=DiskReserve(output.folder),
            budget=self.budget,
            stop=self.stop,
            notify=self.options.observer.notice,
            clock=self.options.clock,
        )

    async def _watch_deadline(self) -> None:
        """Stop handing out early enough for the longest call to end before the deadline."""
        if (deadline := self.options.deadline) is not None:
            await watch_deadline(deadline, self.stop, margin=self._margin, now=self.options.now)

    def _margin(self) -> float:
        return margin_of(self.stats.longest_call, sum(self.stats.counts.values()))


SAME_PICTURES = (
    "--fresh asks for the same pictures with the same seeds, and pays for them once more; "
    "--reseed makes others."
)
SDK = ("aioboto3", "aiobotocore", "botocore", "aiohttp")
"""The packages that make the calls; their versions stand in the manifest."""


def opening_notices(output: OutputFolder) -> Iterator[str]:
    """What a person should know before the first call."""
    history = output.history
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


def kept_notices(output: OutputFolder) -> Iterator[str]:
    """Where images are that could not be written to their place."""
    for folder, count in output.store.kept.items():
        move = "" if folder.parent == output.folder else f"; move them to {output.folder / SPOOL}"
        yield (
            f"Replies that could not be stored in their place: {count}. They are kept in {folder}"
            f"{move}, where the next run finds them."
        )


def run_line(options: RunOptions, run_id: str, random_seed_key: str, history: History) -> RunLine:
    """The line that opens a run."""
    job, selection = options.job, options.selection
    return RunLine(
        run_id=run_id,
        batchgen_version=version("batchgen"),
        sdk_versions={name: version(name) for name in SDK},
        job_name=job.name,
        job_file=str(Path(job.source.file).absolute()) if job.source else None,
        job_sha256=job.source.sha256 if job.source else None,
        output=str(Path(job.output).absolute()),
        reproduces=str(options.reproduces.absolute()) if options.reproduces else None,
        endpoint=job.endpoint,
        region=job.region,
        random_seed_key=random_seed_key,
        reseeds=history.reseeds or None,
        fresh=selection.fresh or None,
        only=tuple(selection.only) or None,
        limit=selection.limit,
        started_at=utc_now(),
    )


def random_seed_key(output: OutputFolder, *, fresh: bool) -> str:
    """What `seed: random` draws from: the same for all runs of an output, until `--fresh`."""
    known = output.history.random_seed_key
    return known if known and not fresh else secrets.token_hex(8)
