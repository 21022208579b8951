import asyncio
from itertools import count, pairwise

import pytest
from fakes import settle
from virtual_time import virtual_time

from batchgen.runner.worker import AT_ONCE, drain, pool_size


def test_a_pool_has_some_workers_to_spare():
    """As many again where few calls are in flight; a thousand that idle would only be walked."""
    assert [pool_size(in_flight) for in_flight in (1, 16, 1000)] == [10, 40, 1100]


@virtual_time
async def test_every_item_is_worked_on_once():
    """However many workers there are, they share one iterator."""
    done = []

    async def work(item):
        await asyncio.sleep(item % 3)
        done.append(item)

    await drain(iter(range(100)), work, 7)
    assert sorted(done) == list(range(100))


@virtual_time
async def test_as_many_are_at_work_as_there_are_workers():
    """Never more, and as long as there are items not fewer."""
    at_work, seen = 0, []

    async def work(_):
        nonlocal at_work
        at_work += 1
        await asyncio.sleep(1)
        seen.append(at_work)
        at_work -= 1

    await drain(iter(range(20)), work, 5)
    assert seen == [5] * 16 + [4, 3, 2, 1]
    assert asyncio.get_running_loop().time() == 4


@virtual_time
async def test_the_next_item_is_taken_when_a_worker_is_free():
    """Nothing is made ahead: an endless iterator costs no memory."""
    made, gate = [], asyncio.Event()

    def items():
        for number in count():
            made.append(number)
            yield number

    async def work(_):
        await gate.wait()

    draining = asyncio.create_task(drain(items(), work, 3))
    await settle()
    assert made == [0, 1, 2]
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining


@virtual_time
async def test_a_slow_item_holds_up_only_its_worker():
    """Each worker takes the next item when it is free, whatever the others do."""
    ended = []

    async def work(item):
        await asyncio.sleep(100 if item == 0 else 1)
        ended.append(item)

    await drain(iter(range(11)), work, 2)
    assert ended == [*range(1, 11), 0]
    assert asyncio.get_running_loop().time() == 100


@virtual_time
async def test_no_items_are_no_work():
    """An empty iterator ends at once, with more workers than items too."""

    async def work(_):
        pytest.fail("worked on nothing")

    await drain(iter(()), work, 4)


@virtual_time
async def test_fewer_items_than_workers():
    """Spare workers end by themselves."""
    done = []

    async def work(item):
        done.append(item)

    await drain(iter([1, 2]), work, 50)
    assert done == [1, 2]


@virtual_time
async def test_an_iterator_that_breaks_is_not_hidden():
    """A fault in making the items leaves the pool."""

    def items():
        yield 1
        raise LookupError("a bug")

    async def work(_):
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        await drain(items(), work, 2)
    assert caught.group_contains(LookupError, match="a bug")


async def test_many_workers_do_not_start_in_one_go():
    """The loop turns to what else is due between them; a thousand first steps take 0.2 s."""
    begun, seen, enough = [], [], asyncio.Event()

    async def work(number):
        begun.append(number)
        if len(begun) == 1_000:
            enough.set()
        await enough.wait()

    async def look():
        while not enough.is_set():
            seen.append(len(begun))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        group.create_task(drain(iter(range(2_000)), work, 1_000))
    assert len(begun) == 2_000
    assert max(after - before for before, after in pairwise([*seen, 1_000])) <= 2 * AT_ONCE
