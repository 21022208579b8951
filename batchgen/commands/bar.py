"""The progress bar of a terminal; imported only where there is one, for rich takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

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
        self._progress.console.print(escape(text), highlight=False, soft_wrap=True)

    def show(self, summary: Summary) -> None:
        """Move the bar."""
        self._progress.update(
            self._bar,
            completed=summary.done,
            total=summary.total,
            figures=" · ".join(figures(summary)),
        )


@contextmanager
def bar_screen(every: float) -> Iterator[Screen]:
    """A bar on standard error for the length of the block; it stays there at its end."""
    console = Console(stderr=True)
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=console) as progress:
        yield BarScreen(progress, every)
