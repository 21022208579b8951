"""Virtual time for asyncio: the clock jumps to the next timer, so an hour of waiting takes no time.

Time starts at 0 and stands still while anything is ready to run. Where code takes a clock, give it
the loop's `time`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import TypeAlias

Events: TypeAlias = list[tuple[selectors.SelectorKey, int]]


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can happen."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass without running anything: a blocked loop, a late wake-up."""
        self._now += seconds

    def wait_outside(
        self,
        select: Callable[[float | None], Events],  # noqa: ARG002  # for loops with an outside
        timeout: float | None,  # noqa: ARG002
    ) -> Events | None:
        """Wait in real time for threads or sockets; None: for nothing, so that time may pass.

        Args:
            select: waits so many real seconds for events, or without an end.
            timeout: seconds until the next timer of the loop; None if there is none.
        """
        return None


class _Selector(selectors.DefaultSelector):
    """Where a loop would sleep until its next timer, this one moves its clock there."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Events:
        """What is ready.

        Raises:
            RuntimeError: every task waits, and none for a timer.
        """
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        came = self._loop.wait_outside(super().select, timeout)
        if came is not None:
            return came
        if timeout is None:
            raise RuntimeError("every task waits, and none for a timer")
        self._loop.pass_time(timeout)
        return ready
