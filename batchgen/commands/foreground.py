"""A run in the foreground: its progress on standard error, its signals those of the process."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

from batchgen.commands.display import Display
from batchgen.commands.failures import Failures
from batchgen.commands.figures import opening_line, report, status_line
from batchgen.commands.screens import Screen, screen
from batchgen.commands.signals import Signals, handle_signals
from batchgen.errors import OutputBusy
from batchgen.runner import Batch, RunOptions, Summary

BUSY_ADVICE = (
    "Nothing was called. Wait for it with --wait-lock 30m, or end it: what it has made stays, and "
    "this command goes on from there."
)


class ForegroundRun:
    """One run with its display and its signals."""

    def __init__(self, options: RunOptions, *, quiet: bool = False) -> None:
        self._options = options
        self._quiet = quiet
        self._failures = Failures()

    def run(self) -> Summary:
        """Run to the end, with a bar or with lines that show how far it is."""
        gc.unfreeze()  # what was frozen when the command started, for the run freezes it all
        with screen(quiet=self._quiet) as terminal:
            try:
                summary = asyncio.run(self._run(terminal))
            except OutputBusy as error:
                raise OutputBusy(f"{error} {BUSY_ADVICE}") from None
        for line in report(summary, self._failures):
            terminal.line(line)
        return summary

    async def _run(self, terminal: Screen) -> Summary:
        options = self._options
        display = Display(
            terminal,
            self._failures,
            opening=self._open,
            quiet=self._quiet,
        )
        batch = Batch(replace(options, observer=display))
        signals = Signals(batch.stop, lambda: batch.snapshot().in_flight, display.notice)
        with (
            handle_signals(signals, lambda: terminal.line(status_line(batch.snapshot()))),
            display.showing(batch.snapshot),
        ):
            summary = await _completed(batch)
        display.show(summary)
        return summary

    def _open(self, summary: Summary) -> str:
        """The first line, when everything is loaded."""
        return opening_line(self._options.job, self._options.deadline, summary)


async def _completed(batch: Batch) -> Summary:
    """The run's summary, also when a second signal ended it."""
    try:
        return await batch.run()
    except asyncio.CancelledError:
        if batch.stop.stopping is None:
            raise
        return batch.snapshot()
