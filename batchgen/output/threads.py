"""The threads of a run: an executor of its own, so that the caller's event loop stays as it was."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def cores() -> int:
    """Cores that this process may use; all of the machine's where the system cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CORES = max(1, cores() - 1)
"""Threads that may compute at the same time: one core is left to the event loop."""
COMPUTING = threading.BoundedSemaphore(CORES)
"""Held by a thread while it computes or copies megabytes, not while it waits for the disk: of a
thousand replies that come together the others wait here, not for the core that the loop needs."""
_executor: ContextVar[ThreadPoolExecutor | None] = ContextVar("batchgen_executor", default=None)


@asynccontextmanager
async def worker_threads(count: int) -> AsyncIterator[None]:
    """Give `in_thread` this many threads within the block, in all tasks that it starts.

    They have ended when the block ends; the loop goes on while the last of them finish.
    """
    executor = ThreadPoolExecutor(count, thread_name_prefix="batchgen")
    token = _executor.set(executor)
    try:
        yield
    finally:
        _executor.reset(token)
        with ThreadPoolExecutor(1) as closer:
            await asyncio.get_running_loop().run_in_executor(closer, executor.shutdown)


def run_executor() -> ThreadPoolExecutor | None:
    """The executor of the run that this is a part of; outside of one None, the loop's default."""
    return _executor.get()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do blocking work in a thread of the run, as `asyncio.to_thread` does in one of the loop."""
    call = partial(copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(run_executor(), call)
