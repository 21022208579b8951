"""Values of options, checked as the job file's own values are, with the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from batchgen.errors import InputError
from batchgen.text import quoted

MOST_TASKS = 1_000_000_000


class Key(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """An option that means what a key of the job file means."""

    def __init__(self, name: str, key: str) -> None:
        """An option for a key.

        Args:
            name: what the help says of the value.
            key: of the job, or `limits.` and one of its limits.
        """
        self.name = name
        self._key = key

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the job has it."""
        # A help text needs neither the job's language nor pydantic.
        from batchgen.job import read_value

        if not isinstance(value, str):
            return value
        try:
            return read_value(self._key, value)
        except InputError as error:
            end = "" if str(error).endswith("?") else "."
            return self.fail(f"cannot be {quoted(value)}; allowed: {error}{end}", param, ctx)


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


ENDPOINT = Key("simulator|aws|URL", "endpoint")
FOLDER = Key("folder", "output")
UNTIL = Key("HH:MM", "limits.until")
RATE = Key("number|auto", "limits.requests_per_minute")
CONCURRENCY = Key("number", "limits.concurrency")
COUNT = Count()
USD = Key("usd", "limits.budget_usd")
DURATION = Key("duration", "limits.give_up_after")

job_argument = click.argument("job", type=click.Path(path_type=Path))
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
