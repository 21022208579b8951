"""Values of options, checked as the job file's own values are, with the same words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from batchgen.job import DURATION, Check, Refused, money, whole
from batchgen.job import fields as checks
from batchgen.text import quoted

MOST_USD = 1_000_000_000
"""What nobody spends on images: a slip, and too wide for a line of figures."""


class Checked(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """An option that means what a key of the job file means."""

    def __init__(self, name: str, check: Check, parse: Callable[[str], Any] = str) -> None:
        self.name = name
        self._check = check
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the job has it."""
        try:
            return self._check.read(self._parse(value) if isinstance(value, str) else value)
        except (Refused, ValueError, InvalidOperation) as error:
            hint = f"; {error}" if isinstance(error, Refused) and str(error) else ""
            allowed = f"{self._check.allowed}{hint}"
            end = "" if allowed.endswith("?") else "."
            self.fail(f"cannot be {quoted(value)}; allowed: {allowed}{end}", param, ctx)


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _dollars(value: str) -> Decimal:
    amount = Decimal(value)
    if amount > MOST_USD:
        raise ValueError
    return amount


ENDPOINT = Checked("simulator|aws|URL", checks.ENDPOINT)
FOLDER = Checked("folder", checks.OUTPUT)
UNTIL = Checked("HH:MM", checks.UNTIL)
RATE = Checked("number|auto", checks.REQUESTS_PER_MINUTE, _number_or_text)
CONCURRENCY = Checked("number", whole(1, 1_000), int)
COUNT = Checked("number", whole(1, 1_000_000_000), int)
USD = Checked("usd", money(positive=True), _dollars)
DURATION_TYPE = Checked("duration", DURATION)

job_argument = click.argument("job", type=click.Path(path_type=Path))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
