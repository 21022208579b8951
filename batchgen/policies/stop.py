"""The one switch that ends a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from batchgen.errors import NotStarted
from batchgen.task import Task


class StopCause(StrEnum):
    """Why a run stops before its tasks are done."""

    BUDGET = "budget"
    CREDENTIALS = "credentials"
    DEADLINE = "deadline"
    DENIED = "denied"
    DISK = "disk"
    FAILURES = "failures"
    INTERRUPTED = "interrupted"
    """SIGINT, or a terminal that went away."""
    TERMINATED = "terminated"
    """SIGTERM."""
    THROTTLED_OUT = "throttled_out"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """The first reason to stop that came up."""

    cause: StopCause
    text: str
    """One sentence for a person: what happened and what to do."""


class Stop:
    """The one switch that ends a run: set once, never unset; what is in flight goes on."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.stopping: StopReason | None = None

    def request(self, cause: StopCause, text: str) -> None:
        """Stop handing out tasks. Only the first request counts."""
        if self.stopping is not None:
            return
        self.stopping = StopReason(cause=cause, text=text)
        self._event.set()
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the stop is requested, or now if it was."""
        self._listeners.append(listener)
        if self.stopping is not None:
            listener()

    async def wait(self) -> None:
        """Return when the stop has been requested."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops meanwhile.

        Raises:
            NotStarted: the run is stopping.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise NotStarted("the run is stopping")

    def until(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Hand out tasks until the stop is requested."""
        for task in tasks:
            if self.stopping is not None:
                return
            yield task
