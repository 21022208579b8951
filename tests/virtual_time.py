"""Tests in virtual time: an hour of waiting takes no time.

    @virtual_time
    async def test_waits():
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() == 3600

The loop is the one that forecasts rehearse a run in (`batchgen.runner.virtual_time`); here its time
also stands still while a thread of an executor works.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from batchgen.runner.virtual_time import Events, VirtualTimeLoop

P = ParamSpec("P")
T = TypeVar("T")


class ThreadTimeLoop(VirtualTimeLoop):
    """Virtual time that stands still while a thread of an executor works."""

    def __init__(self) -> None:
        self._threads = 0
        super().__init__()

    def wait_outside(
        self, select: Callable[[float | None], Events], timeout: float | None
    ) -> Events | None:
        return select(None) if timeout is None or self._threads else None

    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        self._threads += 1  # it waits for its threads in one of its own
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._threads -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=ThreadTimeLoop) as runner:
        return runner.run(main)


def virtual_time(test: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Make an async test a plain one that runs in virtual time; fixtures work as ever."""

    @functools.wraps(test)
    def in_virtual_time(*args: P.args, **kwargs: P.kwargs) -> T:
        async def main() -> T:
            return await test(*args, **kwargs)

        return run(main())

    return in_virtual_time
