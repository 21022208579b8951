"""N coroutines sharing one iterator; knows no other noun of batchgen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import TypeVar

from batchgen.attempt import Failed, RunTask
from batchgen.errors import BatchgenFault, NotStarted, StorageError
from batchgen.policies import Stop, StopCause
from batchgen.runner.recorder import Recorder
from batchgen.task import Task

T = TypeVar("T")


SPARE = 100
"""Most workers beyond the calls in flight. One that waits is eighty objects, and each full
collection of garbage walks them all."""
AT_ONCE = 50
"""Workers that start before the loop turns to what else is due: each has milliseconds to do."""


def pool_size(in_flight: int) -> int:
    """Workers for so many calls in flight: some more, for a task before its retry holds one."""
    return in_flight + min(in_flight + 8, SPARE)


async def drain(items: Iterator[T], work: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Do the work for every item, `workers` at a time, each worker taking the next when it is free.

    The iterator is advanced only when a worker is free, so an endless one costs no memory. `work`
    must not raise: one failure would cancel what the others have in flight.
    """

    async def worker() -> None:
        for item in items:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for number in range(1, workers + 1):
            group.create_task(worker())
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)


Work = Callable[[Task], Awaitable[None]]


log = logging.getLogger(__name__)


def working(run_task: RunTask, recorder: Recorder, stop: Stop) -> Work:
    """What the pool does with each task.

    It never raises: an exception that left it would cancel the paid calls of all the others.
    """

    async def work(task: Task) -> None:
        if recorder.refuses(task):
            recorder.leave_open(task)
            return
        try:
            try:
                outcome = await run_task(task)
            except (NotStarted, StorageError):
                raise
            except Exception as error:
                # A fault of ours is this task's alone: recorded, and the batch goes on.
                log.exception("a fault in batchgen itself, at task %s", task.label)
                outcome = _fault(task, error)
            await recorder.conclude(outcome)
        except NotStarted:
            recorder.leave_open(task)
        except StorageError as error:
            stop.apply(StopCause.DISK, problem=error, remedy="When it is mended,")
        except Exception:
            # The image is there and its task open: the next run adopts it.
            log.exception("a fault in batchgen itself, in recording task %s", task.label)

    return work


def _fault(task: Task, error: Exception) -> Failed:
    return Failed(
        task=task,
        attempts=1,
        maybe_billed=1,
        maybe_billed_usd=task.price_usd or Decimal(0),
        error=BatchgenFault(f"{type(error).__name__}: {error}", code="Internal"),
    )
