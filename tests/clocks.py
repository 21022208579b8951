"""Clocks for a simulator in the same process: virtual time, or one that is moved by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time


class LoopClock:
    """The time of the running event loop, which a test may have made virtual."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = time.time() - self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return self._started + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, wall: float | None = None) -> None:
        self._now = 0.0
        self._started = time.time() if wall is None else wall
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Condition()

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._started + self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        async with self._changed:
            self._changed.notify_all()
        await future

    def advance(self, seconds: float) -> None:
        """Move time on and wake, in their order, the sleepers that are due."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    async def sleeping(self, count: int) -> None:
        """Return when at least `count` sleepers wait: the moment to move time on."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._sleepers) >= count)
