"""A run from a program: `batchgen.records` hands over records, and leaves nothing running."""

import asyncio
from contextlib import aclosing

import pytest
from shell import CORE, until

import batchgen as library
from batchgen import Item, Job, StorageError

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


class TestErrors:
    async def test_what_ends_the_run_reaches_whoever_reads(self, job, tmp_path):
        """An output that is a file is a StorageError of the loop over records."""
        (tmp_path / "out").touch()

        with pytest.raises(StorageError, match="cannot be made"):
            async for _ in library.records(job):
                pass

        assert others() == set()
