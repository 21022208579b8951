"""Which tasks of a chain may start, and with what: the images of their parents.

A task whose parents are pending waits beside those that are handed out, and takes no worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal

from batchgen.attempt import Failed
from batchgen.errors import InputChanged, StorageError
from batchgen.job import InputGone, InputImages, Job
from batchgen.models import InputImage, StepImage
from batchgen.output import OutputFolder, in_thread
from batchgen.plan import JobModels
from batchgen.policies import Budget, Stop, StopCause
from batchgen.record import Record, Status
from batchgen.runner.fates import FATES, Fate, Fates
from batchgen.runner.pending import TaskSet
from batchgen.runner.recorder import Recorder
from batchgen.task import Task

MOST_WAITING = 1_000
"""Tasks of one model that are read ahead while their parents are not made."""


class _ParentGone(InputGone):
    """The image of a parent is not there, or is another one."""

    def __init__(self, text: str, number: int, record: Record | None) -> None:
        super().__init__(text)
        self.number = number
        """The parent's running index."""
        self.record = record


class Chains:
    """Hands out the tasks of a run whose parents are made."""

    def __init__(
        self,
        job: Job,
        pending: tuple[Fates, TaskSet],
        output: OutputFolder,
        stop: Stop,
        budget: Budget,
    ) -> None:
        """Nothing is handed out yet.

        Args:
            job: with steps.
            pending: the fates of all tasks of the plan, as they are now, and a set that takes the
                tasks that are to be made behind all others.
            output: of the run.
            stop: ends the handing-out.
            budget: has room for whole chains, if the job wants that.
        """
        self._fates, self._late = pending
        self._budget = budget
        self._counts_money = job.limits.whole_chains
        self._pools: list[_Pool] = []
        self._at_work = 0
        self._output = output
        self._stop = stop
        self._models = JobModels(job)
        self._made = InputImages(output.folder)
        self._waiting: dict[int, list[tuple[Task, _Pool]]] = {}
        """Running index of a pending task -> those that wait for it."""
        self._first: int | None = None
        """Where the first record of this run stands in the manifest."""

    def note_record(self, task: Task, record: Record, offset: int) -> None:
        """Take note of a record, which is durable."""
        self._first = offset if self._first is None else min(offset, self._first)
        self.settle(task.number, FATES[record.status], offset)

    def settle(self, number: int, fate: Fate, offset: int = 0) -> None:
        """Take note of what became of a task, and let those go that waited for it."""
        self._fates.note(number, fate, offset)
        for task, pool in self._waiting.pop(number, ()):
            pool.waiting -= 1
            self.sort(task, pool)
            pool.changed.set()

    def sort(self, task: Task, pool: _Pool) -> None:
        """Put a task among those that are ready, or have it wait for a parent."""
        for number in task.parents.values():
            if self._fates.of(number) is Fate.PENDING:
                pool.waiting += 1
                self._waiting.setdefault(number, []).append((task, pool))
                return
        if self._begins(task):
            pool.ready.append(task)
        else:
            pool.unpaid.append(task)

    def _begins(self, task: Task) -> bool:
        """Whether the chain of a task has begun, or there is the money for it to begin."""
        price = self._fates.price(task.chain)
        if price and not self._budget.begin_chain(price):
            return False
        self._fates.begin(task.chain)
        return True

    def retry_unpaid(self, pool: _Pool) -> None:
        """Let tasks go for whose chains there is money by now; end the run if there never is."""
        for _ in range(len(pool.unpaid)):
            self.sort(pool.unpaid.popleft(), pool)
        pool.is_stuck = not pool.ready
        self.read_on_or_stop()

    def read_on_or_stop(self) -> None:
        """Where nothing is at work and nothing can be handed out, read on or end the run."""
        unpaid = [each for each in self._pools if each.unpaid]
        are_stuck = all(each.is_stuck and not each.ready for each in self._pools)
        if self._at_work or not are_stuck:
            return
        # What they wait for, or what money was set aside for, is still to be read, if anything is.
        reads_on = not unpaid or self._budget.has_begun
        more = [each for each in self._pools if each.has_more] if reads_on else []
        for each in more:
            each.is_stuck = False
            each.most_waiting += MOST_WAITING
            each.changed.set()
        if unpaid and not more:
            price = self._fates.price(unpaid[0].unpaid[0].chain)
            text = self._budget.shortage(price) or "no money is left for a whole chain."
            self._stop.apply(StopCause.BUDGET, shortage=f"for a whole chain, {text}")

    def pool(self, tasks: Iterator[Task]) -> _Pool:
        """The tasks of one model, each when its parents are made."""
        pool = _Pool(self, tasks, self._stop)
        self._pools.append(pool)
        return pool

    def begin_late(self) -> None:
        """Those tasks are to be made now."""
        for number in self._late.numbers():
            self._fates.note(number, Fate.PENDING)

    def working(self, work: Callable[[Task], Awaitable[None]], recorder: Recorder) -> _Work:
        """What a pool does with a task whose parents are settled."""
        recorder.on_record = self.note_record

        async def work_in_chain(task: Task) -> None:
            self._at_work += 1
            try:
                await self._work(task, work, recorder)
            except StorageError as error:
                self._stop.apply(StopCause.DISK, problem=error, remedy="When it is mended,")
            finally:
                if self._fates.of(task.number) is Fate.PENDING:
                    self.settle(task.number, Fate.OPEN)
                self._end(task)

        return work_in_chain

    async def _work(
        self, task: Task, work: Callable[[Task], Awaitable[None]], recorder: Recorder
    ) -> None:
        fates = self._fates.of_parents(task)
        if Fate.UNMADE in fates:
            reason, is_retryable = await in_thread(self._reason, task)
            await recorder.skip(task, reason, retryable=is_retryable)
            return
        if Fate.OPEN in fates:
            return
        if Fate.LATE in fates:
            self._postpone(task)
            return
        try:
            task = await in_thread(self._with_images, task)
        except _ParentGone as gone:
            self._lose(gone)
            self._postpone(task)
            return
        except InputChanged as error:
            failed = Failed(
                task=task, attempts=0, maybe_billed=0, maybe_billed_usd=Decimal(0), error=error
            )
            await recorder.conclude(failed)
            return
        await work(task)

    def _end(self, task: Task) -> None:
        """A task is off the hands of a worker: what was set aside for it may be another one's."""
        self._at_work -= 1
        if self._counts_money:
            self._budget.end_task(task)
            for pool in self._pools:
                pool.changed.set()

    def _lose(self, gone: _ParentGone) -> None:
        """Have the image of an earlier run made again; one of this run the next one looks for."""
        is_earlier = self._first is None or self._fates.offset(gone.number) < self._first
        if gone.record is not None and is_earlier:
            self._late.add(gone.record.model_id, gone.number)

    def _postpone(self, task: Task) -> None:
        self._late.add(task.model_id, task.number)
        self.settle(task.number, Fate.LATE)

    def _reason(self, task: Task) -> tuple[str, bool]:
        """Why a task is skipped, and whether a later run may make its parent."""
        for number in task.parents.values():
            if self._fates.of(number) is Fate.UNMADE:
                record = self._output.history.record_at(self._fates.offset(number))
                if record is not None:
                    why = "" if record.error is None else f": {record.error.message}"
                    is_retryable = record.status is not Status.FILTERED
                    return f"{record.label} was {record.status}{why}", is_retryable
        return "a parent of it was not made", True

    def _with_images(self, task: Task) -> Task:
        """The task with the images of its parents in its request.

        Raises:
            _ParentGone: one of them is not there any more.
            InputChanged: the model does not take one of them.
        """
        if not task.parents:
            return task
        found = {name: self._image(task, name, number) for name, number in task.parents.items()}
        return replace(task, request={**task.request, **found})

    def _image(self, task: Task, name: str, number: int) -> StepImage:
        record = self._output.history.record_at(self._fates.offset(number))
        if record is None or not record.images or record.status is not Status.SUCCEEDED:
            raise _ParentGone("its record cannot be read any more", number, record)
        image = record.images[0]
        # A file that was made anew since it moved has its name again.
        names = (image.path, self._output.history.moved.get(record.task_id) or image.path)
        path = next((each for each in names if self._is_there(each, image.sha256)), None)
        if path is None:
            raise _ParentGone(f"{image.path} is not there any more", number, record)
        facts = InputImage(
            path,
            image.sha256,
            size=(image.width, image.height),
            file_format=image.format,
            file_bytes=image.bytes,
        )
        check = self._models.of_call(task).parameters[name].check
        for problem in check((name,), facts):
            raise InputChanged(problem.text, code="InputUnfit")
        return StepImage(task=record.task_id, path=path, sha256=image.sha256)

    def _is_there(self, path: str, sha256: str) -> bool:
        try:
            self._output.require_inside(path)
            self._made.read({"path": path, "sha256": sha256})
        except (InputGone, StorageError):
            return False
        return True


_Work = Callable[[Task], Awaitable[None]]


class _Pool:
    """Tasks of one model, each handed out when its parents are settled."""

    def __init__(self, chains: Chains, tasks: Iterator[Task], stop: Stop) -> None:
        self._chains = chains
        self._tasks = tasks
        self._stop = stop
        self.has_more = True
        """Not all were read."""
        self.is_stuck = False
        """None of those that were read can be handed out."""
        self.most_waiting = MOST_WAITING
        self.ready: deque[Task] = deque()
        self.unpaid: deque[Task] = deque()
        """Tasks that wait until the budget has room for their chains."""
        self.waiting = 0
        """Tasks that were read and wait for a parent."""
        self.changed = asyncio.Event()
        stop.on_request(self.changed.set)

    async def next(self) -> Task | None:
        """The next task; None if there are no more, or the run stops."""
        while self._stop.stopping is None:
            if self.ready:
                self.is_stuck = False
                return self.ready.popleft()
            if self.has_more and self.waiting + len(self.unpaid) < self.most_waiting:
                task = next(self._tasks, None)
                if task is None:
                    self.has_more = False
                else:
                    self._chains.sort(task, self)
            elif self.waiting or self.unpaid:
                self.changed.clear()
                self._chains.retry_unpaid(self)
                if not self.ready and self._stop.stopping is None:
                    await self.changed.wait()
            else:
                self.is_stuck = True
                self._chains.read_on_or_stop()
                break
        self.changed.set()
        return None

    async def drain(self, work: _Work, workers: int) -> None:
        """Do the work for every task, `workers` at a time."""

        async def worker() -> None:
            while (task := await self.next()) is not None:
                await work(task)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
