"""A bar for work on many files, on standard error if that is a terminal; else nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from batchgen.commands.streams import DUMB

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

MOVES_A_SECOND = 10
LOST_TERMINAL = suppress(OSError)
"""A terminal that went away loses its text, and the work goes on."""


@contextmanager
def progress_line(*columns: ProgressColumn, **settings: Any) -> Iterator[Progress]:
    """A progress line of rich on standard error for the length of the block.

    Args:
        columns: of the line.
        settings: of `rich.progress.Progress`.
    """
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(
        *columns,
        console=Console(stderr=True, highlight=False, emoji=False, markup=False),
        redirect_stdout=False,  # results go where the user sent them
        transient=True,  # work that never began leaves its complaint alone on the screen
        **settings,
    )
    with LOST_TERMINAL:
        progress.start()
    try:
        yield progress
    finally:
        with LOST_TERMINAL:
            progress.stop()


@contextmanager
def file_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that takes how many files are done, and of how many."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in DUMB:
        yield lambda *_: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(what, markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with progress_line(*columns, refresh_per_second=MOVES_A_SECOND) as progress:
        bar = progress.add_task("", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
