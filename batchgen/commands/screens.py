"""Where progress goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from batchgen.commands.figures import status_line
from batchgen.commands.streams import note
from batchgen.runner import Summary

LINE_EVERY = 5.0
"""Seconds between plain lines."""
BAR_EVERY = 0.25
DUMB = ("dumb", "unknown")
"""Values of TERM of terminals that cannot move their cursor."""


class Screen(Protocol):
    """Where progress goes."""

    every: float

    def line(self, text: str) -> None:
        """Print a line that stays."""

    def show(self, summary: Summary) -> None:
        """Show how far the run is."""


class PlainScreen:
    """Lines, for logs, pipes and cron mails."""

    every = LINE_EVERY

    def line(self, text: str) -> None:
        """Print a line."""
        note(text)

    def show(self, summary: Summary) -> None:
        """One line with all figures, once there are any."""
        if summary.total:
            self.line(status_line(summary))


@contextmanager
def screen() -> Iterator[Screen]:
    """A bar if standard error is a terminal that can move its cursor, else plain lines.

    With -v as well, for log lines and a bar would write over each other.
    """
    logs = logging.getLogger().isEnabledFor(logging.INFO)
    if logs or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in DUMB:
        yield PlainScreen()
        return
    from batchgen.commands.bar import bar_screen  # rich costs 100 ms to import

    with bar_screen(BAR_EVERY) as shown:
        yield shown
