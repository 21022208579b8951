"""N coroutines sharing one iterator; knows no other noun of batchgen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def drain(items: Iterator[T], work: Callable[[T], Awaitable[None]], workers: int) -> None:
    """Do the work for every item, `workers` at a time, each worker taking the next when it is free.

    The iterator is advanced only when a worker is free, so an endless one costs no memory. `work`
    must not raise: one failure would cancel what the others have in flight.
    """

    async def worker() -> None:
        for item in items:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())
