"""The prices of a user: a file for all jobs, above the list and below a job's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchgen.commands import options

if TYPE_CHECKING:
    from batchgen.job import Job

USUAL = Path("batchgen", "prices.yaml")
"""Below the folder of a user's settings."""


def pricing(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the option `--prices`; `priced` reads it."""
    told = "YAML file of prices, over the list; left out: ~/.config/batchgen/prices.yaml."
    return click.option("--prices", type=options.PRICE_FILE, help=told)(function)


def priced(job: Job, file: Path | None) -> Job:
    """The job for the user who called the command.

    Raises:
        JobError: the file of prices cannot be used.
    """
    return job.with_prices(prices_of_user(file))


def prices_of_user(file: Path | None) -> Mapping[str, Decimal]:
    """Model -> US dollars: of the file that was named, else of the usual one if there is one.

    Raises:
        JobError: the file cannot be used.
    """
    from batchgen.job import read_prices

    path = usual_file() if file is None else file
    return {} if path is None else read_prices(path)


def usual_file() -> Path | None:
    """The file of prices among a user's settings, by the XDG Base Directory Specification."""
    told = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        path = (told if told.is_absolute() else Path.home() / ".config") / USUAL
        return path if path.exists() or path.is_symlink() else None
    except (OSError, RuntimeError):  # no home, or one that may not be looked at
        return None
