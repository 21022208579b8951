"""Standard output for results, standard error for everything else; either may have gone away."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

import click

from batchgen.errors import StorageError
from batchgen.text import system_reason

DUMB = ("dumb", "unknown")
"""Values of TERM of terminals that cannot move their cursor."""


class _Log:
    """Whether standard error is the log of a run, of this process."""

    is_begun = False


def result(text: str) -> None:
    """Print one result; a reader that went away (`| head`) changes nothing.

    Raises:
        StorageError: standard output cannot be written.
    """
    with writing_output():
        click.echo(text)


@contextmanager
def writing_output() -> Iterator[None]:
    """Write to standard output within the block, whose reader may go away.

    Raises:
        StorageError: standard output cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        _drop(sys.__stdout__)
    except OSError as error:
        _drop(sys.__stdout__)
        raise StorageError(f"Standard output cannot be written: {system_reason(error)}.") from error


def note(text: str) -> None:
    """Print a line on standard error; a reader that went away is no reason to stop.

    In a log each line has its time.
    """
    try:
        line = f"{stamp(datetime.now(UTC))} {text}" if _Log.is_begun else text
        print(line, file=sys.stderr, flush=True)  # noqa: T201  # commands print
    except OSError:
        _drop(sys.__stderr__)


def begin_log() -> None:
    """Standard error is the log of a run: from now on each line has its time."""
    _Log.is_begun = True


def end_log() -> None:
    """Standard error is what a command says once: lines without a time."""
    _Log.is_begun = False


def stamp(now: datetime) -> str:
    """When something happened, by the clock on the wall, as a log has it."""
    return now.astimezone().isoformat(timespec="seconds")


def flush_streams() -> bool:
    """Write what is buffered, or drop it: Python ends with 120 where its own attempt fails.

    Returns:
        Whether everything was written.
    """
    whole = True
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            _drop(stream)
            whole = False
    return whole


def _drop(stream: TextIO | None) -> None:
    """Send whatever is written to a stream from now on to /dev/null."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
