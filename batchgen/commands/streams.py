"""Standard output for results, standard error for everything else; either may have gone away."""

from __future__ import annotations

import os
import sys

import click

from batchgen.errors import StorageError


def result(text: str) -> None:
    """Print one result; that nobody reads it any more (`| head`) changes nothing.

    Raises:
        StorageError: standard output cannot be written.
    """
    try:
        click.echo(text)
    except OSError as error:
        lost(error)


def note(text: str) -> None:
    """Print a line on standard error; a reader that went away is no reason to stop."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # commands print
    except OSError:
        return


def lost(error: OSError) -> None:
    """Forget what standard output did not take, or the end of the process would try it again.

    Raises:
        StorageError: for any other reason than that nobody reads it.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if not isinstance(error, BrokenPipeError):
        raise StorageError(f"Standard output cannot be written: {error.strerror}.") from error
