"""A bar for work on many files, on standard error if that is a terminal; else nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from batchgen.commands.streams import DUMB

EVERY = 0.1
"""Share of a second between two moves of the bar."""


@contextmanager
def file_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that takes how many files are done, and of how many."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in DUMB:
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        TextColumn(what, markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False, emoji=False, markup=False),
        refresh_per_second=1 / EVERY,
        redirect_stdout=False,
        transient=True,
    )
    bar = progress.add_task("", total=None)
    with suppress(OSError):  # a terminal that went away is no reason to stop
        progress.start()
    try:
        yield lambda done, total: progress.update(bar, completed=done, total=total)
    finally:
        with suppress(OSError):
            progress.stop()
