"""What a person is told of a run while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchgen.commands.failures import Failures
from batchgen.commands.screens import Screen
from batchgen.policies import Retry
from batchgen.record import Record
from batchgen.runner import Observer, Summary
from batchgen.text import escaped


class Display(Observer):
    """Prints what an observer of a run hears."""

    def __init__(self, screen: Screen, failures: Failures) -> None:
        self._screen = screen
        self._failures = failures

    def record(self, record: Record) -> None:
        """Print the first failure of each kind."""
        self._line(self._failures.note(record))

    def retry(self, retry: Retry) -> None:
        """Print the first retry of each kind: a person sees why nothing moves."""
        self._line(self._failures.note_retry(retry))

    def notice(self, text: str) -> None:
        """Print a sentence."""
        self._screen.line(escaped(text))

    def _line(self, text: str | None) -> None:
        if text is not None:
            self._screen.line(text)

    @contextmanager
    def showing(self, snapshot: Callable[[], Summary]) -> Iterator[None]:
        """Show the state again and again for the length of the block, from the running loop."""
        ticker = _Ticker(self._screen.every, lambda: self._screen.show(snapshot()))
        try:
            yield
        finally:
            ticker.stop()


class _Ticker:
    """Calls something at even intervals until it is stopped."""

    def __init__(self, every: float, call: Callable[[], None]) -> None:
        self._every = every
        self._call = call
        self._timer = self._next()

    def stop(self) -> None:
        self._timer.cancel()

    def _next(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._every, self._tick)

    def _tick(self) -> None:
        self._call()
        self._timer = self._next()
