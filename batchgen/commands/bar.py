"""The progress bar of a terminal; imported only where there is one, for rich takes a while."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from batchgen.commands.display import Screen, figures
from batchgen.progress import Summary


class BarScreen:
    """A bar with the figures beside it, and lines above it."""

    def __init__(self, progress: Progress, every: float) -> None:
        self.every = every
        self._progress = progress
        self._bar = progress.add_task("", total=None, figures="starting")

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        with _lost():
            self._progress.console.print(Text(text))

    def show(self, summary: Summary) -> None:
        """Move the bar."""
        if not summary.total:
            return
        with _lost():
            self._progress.update(
                self._bar,
                completed=summary.done,
                total=summary.total,
                figures=" · ".join(figures(summary)),
                refresh=True,
            )
