"""Values of options, checked as the job file's own values are, with the same words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import click

from batchgen.text import quoted

MOST_USD = 1_000_000_000
"""A larger sum is a slip."""
MOST_TASKS = 1_000_000_000


class Key(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """An option that means what a key of the job file means."""

    def __init__(self, name: str, key: str, parse: Callable[[str], Any] = str) -> None:
        """An option for a key.

        Args:
            name: what the help says of the value.
            key: of the job, or `limits.` and one of its limits.
            parse: from the text of the command line to what the file would hold.
        """
        self.name = name
        self._key = key
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the job has it."""
        try:
            raw = self._parse(value)
        except (ValueError, InvalidOperation):
            raw = value  # which the key does not take either, and says so
        try:
            return self._read(raw)
        except ValueError as error:
            self.fail(f"cannot be {quoted(value)}; {_allowed(error)}", param, ctx)

    def _read(self, raw: object) -> Any:
        # A help text needs neither the job's language nor pydantic.
        from pydantic import TypeAdapter

        from batchgen.job import Job, Limits

        section, _, key = self._key.rpartition(".")
        field = (Limits if section else Job).model_fields[key]
        wanted: Any = Annotated[field.annotation, *field.metadata]
        return TypeAdapter(wanted).validate_python(raw)


class Count(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """A number of tasks."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            if 1 <= (count := int(value)) <= MOST_TASKS:
                return count
        except ValueError:
            pass
        allowed = f"a whole number from 1 to {MOST_TASKS:,}"
        return self.fail(f"cannot be {quoted(value)}; allowed: {allowed}.", param, ctx)


def _allowed(error: ValueError) -> str:
    """What a key says that it takes, as a sentence."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        raise error
    allowed = error.errors()[0]["msg"].partition("; ")[2]
    return allowed if allowed.endswith("?") else f"{allowed}."


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


ENDPOINT = Key("simulator|aws|URL", "endpoint")
FOLDER = Key("folder", "output")
UNTIL = Key("HH:MM", "limits.until")
RATE = Key("number|auto", "limits.requests_per_minute", _number_or_text)
CONCURRENCY = Key("number", "limits.concurrency", int)
COUNT = Count()
USD = Key("usd", "limits.budget_usd", _dollars)
DURATION = Key("duration", "limits.give_up_after")

job_argument = click.argument("job", type=click.Path(path_type=Path))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
