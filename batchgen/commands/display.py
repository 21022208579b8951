"""What a person sees of a run on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from batchgen.commands.failures import Failures
from batchgen.commands.streams import note
from batchgen.policies import Retry
from batchgen.record import Record
from batchgen.runner import Observer, Summary
from batchgen.text import escaped

A_MINUTE = 60.0
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


class Display(Observer):
    """Tells a person what happens."""

    def __init__(self, screen: Screen, failures: Failures) -> None:
        self._screen = screen
        self._failures = failures

    def record(self, record: Record) -> None:
        """Print the first failure of each kind."""
        self._line(self._failures.note(record))

    def retry(self, retry: Retry) -> None:
        """Print the first retry of each kind: a person sees why nothing moves."""
        self._line(self._failures.note_retry(retry))

    def notice(self, text: str) -> None:
        """Print a sentence."""
        self._screen.line(escaped(text))

    def _line(self, text: str | None) -> None:
        if text is not None:
            self._screen.line(text)

    @contextmanager
    def showing(self, snapshot: Callable[[], Summary]) -> Iterator[None]:
        """Show the state again and again for the length of the block, from the running loop."""
        ticker = _Ticker(self._screen.every, lambda: self._screen.show(snapshot()))
        try:
            yield
        finally:
            ticker.stop()


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


@contextmanager
def screen() -> Iterator[Screen]:
    """A bar if standard error is a terminal that can move its cursor, else plain lines.

    With -v as well, for log lines and a bar would write over each other.
    """
    logs = logging.getLogger().isEnabledFor(logging.INFO)
    if logs or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in DUMB:
        yield PlainScreen()
        return
    from batchgen.commands.bar import bar_screen  # noqa: PLC0415  # rich costs 100 ms to import

    with bar_screen(BAR_EVERY) as shown:
        yield shown


def figures(summary: Summary) -> list[str]:
    """The figures of a run as short texts, the most important first."""
    parts = [f"{summary.images_per_minute:.1f} images/min", *_pace(summary)]
    if summary.throttled:
        parts.append(f"{summary.throttled} throttled")
    if summary.failed:
        parts.append(f"{summary.failed} failed")
    if summary.filtered:
        parts.append(f"{summary.filtered} filtered")
    parts.append(f"{summary.billed_usd:.2f} USD")
    if summary.time_left_s is not None and summary.left:
        parts.append(f"{duration(summary.time_left_s)} left")
    return parts


def _pace(summary: Summary) -> Iterator[str]:
    """The calls of the last minute and those that the quotas allow, once there is a minute."""
    states = [state for state in summary.pace.values() if state.started]
    allowed = [state.allowed_per_minute for state in states]
    if not states or summary.elapsed_s < A_MINUTE:
        return
    reached = sum(state.reached_per_minute for state in states)
    if None in allowed:
        yield f"{reached} calls/min, looking for the quota"
        return
    most = sum(rate for rate in allowed if rate is not None)
    yield f"{reached} of {most:.0f} calls/min ({min(reached / most, 1):.0%})"


def status_line(summary: Summary) -> str:
    """All figures in one line."""
    return f"{summary.done}/{summary.total}  " + ", ".join(figures(summary))


def report(summary: Summary, failures: Failures, manifest: str) -> list[str]:
    """The lines that close a run."""
    lines = [*failures.repeated(), _counts(summary)]
    if summary.adopted:
        adopted = counted(summary.adopted, "image")
        lines.append(f"{adopted} of a run that was killed, found whole, went on record.")
    if summary.substituted:
        substituted = counted(summary.substituted, "image")
        lines.append(
            f"{substituted} made with another model, seed or prompt, as the job allows; `served` "
            "in the manifest tells which."
        )
    if summary.routes:
        lines.append(_routes(summary))
    lines += [_money(summary), f"Images and manifest: {manifest}"]
    if summary.stopping is not None and summary.left:
        lines.append(escaped(summary.stopping.text))
    if summary.left:
        lines.append("The same command again goes on where this run stopped.")
    return lines


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """`1:05:09` or `0:42`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _counts(summary: Summary) -> str:
    earlier = summary.earlier_succeeded + summary.earlier_filtered
    return (
        f"{counted(summary.succeeded, 'image')} made, {summary.filtered} filtered, "
        f"{summary.failed} failed, {summary.left} left open, {earlier} done earlier, "
        f"in {duration(summary.elapsed_s)} ({summary.average_per_minute:.1f} images/min, "
        f"{summary.throttled} throttled)."
    )


def _routes(summary: Summary) -> str:
    """What each route did."""
    parts = []
    for name, pace in summary.routes.items():
        calls = sum(state.started for state in pace.values())
        throttled = sum(state.throttled for state in pace.values())
        parts.append(f"{escaped(name)} {counted(calls, 'call')} ({throttled} throttled)")
    return f"Routes: {', '.join(parts)}."


def _money(summary: Summary) -> str:
    parts = [f"billed {summary.billed_usd:.2f} USD"]
    if summary.maybe_billed_usd:
        parts.append(f"maybe billed as well {summary.maybe_billed_usd:.2f} USD")
    if summary.saved_usd:
        parts.append(f"saved by reuse {summary.saved_usd:.2f} USD")
    if summary.budget_left_usd is not None:
        parts.append(f"left of the budget {summary.budget_left_usd:.2f} USD")
    return "Cost: " + ", ".join(parts) + "."
