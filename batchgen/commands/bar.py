"""The progress bar of a run; imported only on a terminal, because rich takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from batchgen.commands.figures import figures
from batchgen.commands.file_bar import LOST_TERMINAL, progress_line
from batchgen.runner import Summary


class BarScreen:
    """A bar with the figures beside it, and lines above it."""

    def __init__(self, progress: Progress, every: float) -> None:
        self.every = every
        self._progress = progress
        self._bar = progress.add_task("", total=None, figures="starting")

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        with LOST_TERMINAL:
            self._progress.console.print(Text(text))

    def show(self, summary: Summary) -> None:
        """Move the bar."""
        if not summary.total:
            return
        self._progress.live.transient = not summary.done
        with LOST_TERMINAL:
            self._progress.update(
                self._bar,
                completed=summary.done,
                total=summary.total,
                figures=" · ".join(figures(summary)),
                refresh=True,
            )


@contextmanager
def bar_screen(every: float) -> Iterator[BarScreen]:
    """A bar on standard error for the length of the block; once it has moved, it stays."""
    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        # Folded at a space rather than cut: a narrow terminal shows all figures, too.
        TextColumn("{task.fields[figures]}", markup=False, table_column=Column(no_wrap=False)),
    )
    # Moved by hand, for an error in rich's thread would reach nobody.
    with progress_line(*columns, auto_refresh=False) as progress:
        yield BarScreen(progress, every)
