"""Where progress goes: a bar on a terminal, or lines; in a log each line has its time."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from batchgen.commands.figures import status_line
from batchgen.commands.streams import DUMB, begin_log, note
from batchgen.runner import Summary

LINE_EVERY = 5.0
"""Seconds between the lines of progress on a terminal without a bar."""
LOG_EVERY = 60.0
"""Seconds between those of a log."""
BAR_EVERY = 0.25


class Screen(Protocol):
    """Where progress goes."""

    every: float

    def line(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, summary: Summary) -> None:
        """Show how far the run is."""


class PlainScreen:
    """Lines, for a terminal that takes no bar."""

    every = LINE_EVERY

    def line(self, text: str) -> None:
        """Print a line."""
        note(text)

    def show(self, summary: Summary) -> None:
        """One line with all figures, once there are any."""
        if summary.total:
            self.line(status_line(summary))


class LogScreen(PlainScreen):
    """Lines with their time, for logs, pipes and cron mails."""

    every = LOG_EVERY

    def line(self, text: str) -> None:
        """Print a line; whatever is printed after it, a complaint too, has its time as well."""
        begin_log()
        note(text)


@contextmanager
def screen(*, quiet: bool = False) -> Iterator[Screen]:
    """A bar if standard error is a terminal that can move its cursor, else lines.

    Lines with -v as well, for log lines and a bar would write over each other, and with --quiet.
    """
    if not sys.stderr.isatty():
        yield LogScreen()
        return
    verbose = logging.getLogger("batchgen").isEnabledFor(logging.INFO)
    if quiet or verbose or os.environ.get("TERM", "dumb") in DUMB:
        yield PlainScreen()
        return
    from batchgen.commands.bar import bar_screen  # rich costs 100 ms to import

    with bar_screen(BAR_EVERY) as shown:
        yield shown
