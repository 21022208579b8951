"""The threads of a run are its own: they end with it, and the caller's loop keeps its executor."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from batchgen.output import cores, in_thread, worker_threads


def ours():
    """The threads of runs that are alive."""
    return [each for each in threading.enumerate() if each.name.startswith("batchgen")]


async def test_work_is_done_in_a_thread_of_the_block():
    """In tasks that it starts as well; the caller's context goes along."""
    async with worker_threads(2), asyncio.TaskGroup() as group:
        name = group.create_task(in_thread(lambda: threading.current_thread().name))

    assert name.result().startswith("batchgen")


async def test_no_more_threads_than_asked_for():
    """The third piece of work waits for the first."""
    async with worker_threads(2):
        names = await asyncio.gather(
            *(in_thread(lambda: threading.current_thread().name) for _ in range(20))
        )

    assert len(set(names)) <= 2


@pytest.mark.parametrize("fails", [False, True])
async def test_no_thread_is_left_after_the_block(fails):
    """The block waits for work that is still going on when it ends, also after an error."""
    go_on, done = threading.Event(), []

    def work():
        go_on.wait(10)
        done.append(threading.current_thread().name)

    with suppress(ZeroDivisionError):
        async with worker_threads(2):
            waiting = asyncio.ensure_future(in_thread(work))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(go_on.set)
            1 / (not fails)  # an error leaves the block

    assert len(done) == 1
    assert ours() == []
    await waiting


async def test_the_loop_keeps_its_executor():
    """`asyncio.to_thread` in the caller's own code runs where it ran before."""

    def where():
        return threading.current_thread().name

    with ThreadPoolExecutor(1, thread_name_prefix="callers") as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        async with worker_threads(2):
            meanwhile = await asyncio.to_thread(where)
            outside = await in_thread(where)
        after = [await asyncio.to_thread(where), await in_thread(where)]

    assert outside.startswith("batchgen")
    assert {name.rpartition("_")[0] for name in (meanwhile, *after)} == {"callers"}


def test_cores_are_those_of_the_process_or_of_the_machine(monkeypatch):
    """Not every system can say which cores a process may use."""
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()
