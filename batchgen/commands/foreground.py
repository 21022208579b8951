"""A run in the foreground: its progress on standard error, its signals those of the process."""

from __future__ import annotations

import asyncio

from batchgen.commands.display import Display
from batchgen.commands.failures import Failures
from batchgen.commands.figures import opening_line, report, status_line
from batchgen.commands.screens import Screen, screen
from batchgen.commands.signals import Signals, handle_signals
from batchgen.errors import OutputBusy
from batchgen.job import Job
from batchgen.runner import Batch, Deadline, RunOptions, Selection, Summary

BUSY_ADVICE = (
    "Nothing was called. Wait for it with --wait-lock 30m, or end it: what it has made stays, and "
    "this command goes on from there."
)


class ForegroundRun:
    """One run with its display and its signals."""

    def __init__(
        self,
        job: Job,
        selection: Selection,
        *,
        deadline: Deadline | None = None,
        wait_lock: float = 0.0,
        quiet: bool = False,
    ) -> None:
        self._job = job
        self._selection = selection
        self._deadline = deadline
        self._wait_lock = wait_lock
        self._quiet = quiet
        self._failures = Failures()

    def run(self) -> Summary:
        """Run to the end, with a bar or with lines that show how far it is."""
        with screen(quiet=self._quiet) as terminal:
            try:
                summary = asyncio.run(self._run(terminal))
            except OutputBusy as error:
                raise OutputBusy(f"{error} {BUSY_ADVICE}") from None
        for line in report(summary, self._failures):
            terminal.line(line)
        return summary

    async def _run(self, terminal: Screen) -> Summary:
        display = Display(
            terminal,
            self._failures,
            opening=lambda summary: opening_line(self._job, self._deadline, summary),
            quiet=self._quiet,
        )
        options = RunOptions(
            job=self._job,
            selection=self._selection,
            deadline=self._deadline,
            observer=display,
            wait_lock=self._wait_lock,
        )
        batch = Batch(options)
        signals = Signals(batch.stop, lambda: batch.snapshot().in_flight, display.notice)
        with (
            handle_signals(signals, lambda: terminal.line(status_line(batch.snapshot()))),
            display.showing(batch.snapshot),
        ):
            summary = await _completed(batch)
        display.show(summary)
        return summary


async def _completed(batch: Batch) -> Summary:
    """The run's summary, also when a second signal ended it."""
    try:
        return await batch.run()
    except asyncio.CancelledError:
        if batch.stop.stopping is None:
            raise
        return batch.snapshot()
