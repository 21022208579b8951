"""What a person is told of a run while it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from batchgen.commands.failures import Failures
from batchgen.commands.figures import pace_text
from batchgen.commands.screens import Screen
from batchgen.policies import Retry
from batchgen.record import Record
from batchgen.runner import Observer, Summary
from batchgen.text import escaped

HOLD = 2.0
"""Seconds that notices wait for the run's first line, so that it is the first one in the log."""

log = logging.getLogger(__name__)


class Display(Observer):
    """Prints what an observer of a run hears."""

    def __init__(
        self,
        screen: Screen,
        failures: Failures,
        *,
        opening: Callable[[Summary], str],
        quiet: bool = False,
    ) -> None:
        """A display of one run.

        Args:
            screen: where it goes.
            failures: counts those that are equal.
            opening: the first line.
            quiet: print warnings and failures alone.
        """
        self._screen = screen
        self._failures = failures
        self._opening = opening
        self._quiet = quiet
        self._held: list[str] | None = None
        self._paces: dict[str, str] = {}

    def start(self, summary: Summary) -> None:
        """Print the first line, and then what waited for it."""
        held, self._held = self._held or [], None
        self.info(self._opening(summary))
        for line in held:
            self._screen.line(line)

    def info(self, text: str) -> None:
        """Print a sentence, unless warnings alone are wanted."""
        if not self._quiet:
            self.notice(text)

    def record(self, record: Record) -> None:
        """Print the first failure of each kind."""
        log.info("%s: %s after attempts: %d", record.label, record.status, record.attempts)
        self._line(self._failures.note(record))

    def retry(self, retry: Retry) -> None:
        """Print the first retry of each kind: a person sees why nothing moves."""
        self._line(self._failures.note_retry(retry))

    def notice(self, text: str) -> None:
        """Print a sentence."""
        self._line(escaped(text))

    def _line(self, text: str | None) -> None:
        if text is None:
            return
        if self._held is None:
            self._screen.line(text)
        else:
            self._held.append(text)

    def show(self, summary: Summary) -> None:
        """Show how far the run is, and log how the paces have changed."""
        for model_id, state in summary.pace.items():
            pace = pace_text(state)
            if self._paces.get(model_id) != pace:
                self._paces[model_id] = pace
                log.info("%s: %s", model_id, pace)
        if not self._quiet:
            self._screen.show(summary)

    @contextmanager
    def showing(self, snapshot: Callable[[], Summary]) -> Iterator[None]:
        """Show the state again and again for the length of the block, from the running loop."""
        self._held = []
        ticker = _Ticker(self._screen.every, lambda: self.show(snapshot()))
        release = asyncio.get_running_loop().call_later(HOLD, self._release)
        try:
            yield
        finally:
            release.cancel()
            self._release()
            ticker.stop()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for line in held:
            self._screen.line(line)


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
