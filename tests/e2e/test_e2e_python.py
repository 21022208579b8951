"""A run from a program: `batchgen.records` hands over records, and leaves nothing running."""

import asyncio
import logging
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest
from shell import CORE, until

import batchgen as library
from batchgen import BatchgenError, Item, Job, Selection

IN_FLIGHT = 2


@pytest.fixture
def job(tmp_path, service):
    """Twenty images at a simulator whose answers take half a second each."""
    service.script("late", seconds=0.5)
    return Job(
        name="shop",
        endpoint=service.url,
        model=CORE,
        output=str(tmp_path / "out"),
        items=tuple(Item(id=f"mug-{n}", prompt=f"mug {n}") for n in range(20)),
        limits={"concurrency": IN_FLIGHT, "requests_per_minute": 60_000},
    )


def on_record(job):
    """The ids of the tasks that the manifest has."""
    return [each.task_id for each in library.read_manifest(f"{job.output}/manifest.jsonl")]


def others():
    """The tasks of this loop that are not the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


class TestLeaving:
    async def test_whoever_leaves_early_waits_for_what_is_paid_for(self, job, service):
        """The loop over records is left after the first: what is in flight is recorded, no more."""
        async with aclosing(library.records(job)) as records:
            async for _ in records:
                break

        assert IN_FLIGHT <= service.charged() == len(on_record(job)) <= 2 * IN_FLIGHT
        assert service.in_flight() == 0
        assert others() == set()

    async def test_whoever_is_cancelled_does_so_too(self, job, service):
        """The consumer is cancelled while it waits for a record: the run drains, and then ends."""
        begun = asyncio.Event()

        async def consume():
            async for _ in library.records(job):
                begun.set()

        consumer = asyncio.create_task(consume())
        await begun.wait()
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer

        assert IN_FLIGHT <= service.charged() == len(on_record(job)) < len(job.items)
        assert others() == set()

    async def test_so_does_a_run_that_is_cancelled(self, job, service):
        """As by a timeout around it, or by Ctrl-C in a program."""
        running = asyncio.create_task(library.run(job))
        await asyncio.to_thread(until, lambda: service.in_flight() == IN_FLIGHT)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert IN_FLIGHT <= service.charged() == len(on_record(job)) < len(job.items)
        assert others() == set()

    async def test_and_a_reproduction(self, job, service):
        """What it makes again is paid for like anything else."""
        await library.run(job.model_copy(update={"items": job.items[:4]}))
        service.reset()
        service.script("late", seconds=0.5)
        running = asyncio.create_task(library.reproduce(job.output))
        await asyncio.to_thread(until, lambda: service.in_flight() > 0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        again = list(library.read_manifest(f"{job.output}-reproduced"))
        assert 1 <= service.charged() == len(again)
        assert others() == set()

    async def test_cancelled_twice_the_run_ends_at_once(self, job, service):
        """Whoever cannot wait leaves calls in flight behind, and no task."""
        service.reset()
        service.script("late", seconds=30)
        consumer = asyncio.create_task(anext(library.records(job)))
        await asyncio.to_thread(until, lambda: service.in_flight() == IN_FLIGHT)
        consumer.cancel()
        await asyncio.sleep(0)
        consumer.cancel()
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await consumer

        assert others() == set()


class TestEarlier:
    async def test_the_second_time_all_images_are_handed_over_too(self, job, service):
        """Records that earlier runs made follow those of this one; `new_only` leaves them out."""
        service.reset()
        part = job.model_copy(update={"items": job.items[:3]})

        first = [each.label async for each in library.records(part)]
        again = [each.label async for each in library.records(part)]
        some = Selection(only=["mug-1"])
        one = [each.label async for each in library.records(part, selection=some)]
        new = [each async for each in library.records(part, new_only=True)]

        assert sorted(first) == again == ["mug-0/1", "mug-1/1", "mug-2/1"]
        assert (one, new) == (["mug-1/1"], [])
        assert service.charged() == 3

    async def test_a_record_is_handed_over_once(self, job, service):
        """What this run made again does not come a second time as an earlier one."""
        service.reset()
        part = job.model_copy(update={"items": job.items[:2]})
        await library.run(part)

        fresh = Selection(fresh=True, limit=1)
        records = [each async for each in library.records(part, selection=fresh)]

        assert sorted(each.label for each in records) == ["mug-0/1", "mug-1/1"]
        assert len({each.run_id for each in records}) == 2


class TestManners:
    async def test_a_service_keeps_its_loop_signals_logging_and_executor(self, job, service):
        """A run inside somebody's program changes nothing there."""
        service.reset()
        loop = asyncio.get_running_loop()
        executor = ThreadPoolExecutor(1)
        loop.set_default_executor(executor)
        before = state_of(loop)

        await library.run(job.model_copy(update={"items": job.items[:2]}))

        assert state_of(loop) == before
        assert await asyncio.to_thread(int) == 0

    def test_a_folder_is_read_as_its_manifest(self, job, service):
        """The output of a job is enough to read its records."""
        service.reset()
        asyncio.run(library.run(job.model_copy(update={"items": job.items[:1]})))

        assert len(list(library.read_manifest(job.output))) == 1

    def test_a_manifest_is_reproduced(self, job, service):
        """Images with verdicts, into an output beside the first; again, and nothing is paid."""
        service.reset()
        asyncio.run(library.run(job.model_copy(update={"items": job.items[:3]})))
        choice = library.Choice(only=["mug-0", "mug-1"])

        made = asyncio.run(library.reproduce(job.output, choice=choice))
        again = asyncio.run(library.reproduce(job.output, choice=choice))

        assert {each.verdict for each in made.images} == {library.Verdict.IDENTICAL}
        assert len(made.images) == made.summary.succeeded == again.summary.earlier_succeeded == 2
        assert str(made.output) == f"{job.output}-reproduced"
        assert service.charged() == 5


def state_of(loop):
    """What a run could leave changed."""
    loggers = {"": logging.getLogger(), **logging.Logger.manager.loggerDict}
    return (
        [signal.getsignal(number) for number in signal.valid_signals()],
        loop.get_exception_handler(),
        loop.get_debug(),
        loop._default_executor,
        logging.root.level,
        list(logging.root.handlers),
        {
            name: (each.level, each.propagate, each.disabled, list(each.handlers))
            for name, each in loggers.items()
            if isinstance(each, logging.Logger) and (each.level or each.handlers or each.disabled)
        },
    )


class TestErrors:
    async def test_what_ends_the_run_reaches_whoever_reads(self, job, tmp_path):
        """An output that is a file is an error of the loop over records."""
        (tmp_path / "out").touch()

        with pytest.raises(BatchgenError, match="cannot be made"):
            async for _ in library.records(job):
                pass

        assert others() == set()
