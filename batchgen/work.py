"""All of one task, from its first attempt to its record; nothing that happens to it leaves here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from batchgen.attempt import Made, Make
from batchgen.conclude import Concluding
from batchgen.errors import BatchgenFault, NotStarted, StorageError
from batchgen.stopping import Cause, Stop
from batchgen.task import Task

Work = Callable[[Task], Awaitable[None]]

log = logging.getLogger(__name__)


def working(make: Make, concluding: Concluding, stop: Stop) -> Work:
    """What the pool does with each task.

    It never raises: an exception that left it would cancel the paid calls of all the others.
    """

    async def work(task: Task) -> None:
        if concluding.refuses(task):
            return
        try:
            await concluding.conclude(await _made(make, task))
        except NotStarted:
            return
        except StorageError as error:
            stop.request(Cause.DISK, f"{error}. When it is mended, run the same command again.")
        except Exception:
            # The image is there and its task open: the next run adopts it.
            log.exception("a fault in batchgen itself, in recording task %s", task.label)

    return work


async def _made(make: Make, task: Task) -> Made:
    try:
        return await make(task)
    except (NotStarted, StorageError):
        raise
    except Exception as error:
        # A fault of ours is this task's alone: recorded, and the batch goes on.
        log.exception("a fault in batchgen itself, at task %s", task.label)
        fault = BatchgenFault(f"{type(error).__name__}: {error}", code="Internal")
        return Made(task=task, attempts=1, maybe_billed=1, error=fault)
