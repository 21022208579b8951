"""Values of options, checked as the job file's own values are, with the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from batchgen.errors import InputError
from batchgen.text import closest, did_you_mean, quoted, system_reason

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


class Word(Key):
    """A word or another value: `AWS` means `aws`, `AUTO` means `auto`; a URL stays as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value as the job has it."""
        return super().convert(value if "/" in value else value.lower(), param, ctx)


ENDPOINT = Word("simulator|aws|URL", "endpoint")
FOLDER = Key("folder", "output")
UNTIL = Key("HH:MM", "limits.until")
RATE = Word("number|auto", "limits.requests_per_minute")
CONCURRENCY = Key("number", "limits.concurrency")
COUNT = Count()
USD = Key("usd", "limits.budget_usd")
DURATION = Key("duration", "limits.give_up_after")


VERDICTS = ("identical", "same pixels", "similar", "different", "not reproducible")
"""Names of `report.Verdict`, which a help text need not import; the best first."""


class VerdictName(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """How near a reproduction must come: `same pixels` may be written `same-pixels`."""

    name = "verdict"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The verdict's name."""
        wanted = str(value).lower().replace("-", " ").replace("_", " ")
        if wanted in VERDICTS:
            return wanted
        allowed = ", ".join(name.replace(" ", "-") for name in VERDICTS)
        near = did_you_mean(closest(str(value), VERDICTS))
        return self.fail(f"cannot be {quoted(value)}; allowed: {allowed}{near}.", param, ctx)


VERDICT = VerdictName()
MODEL = Key("model", "model")


class _Path(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """A path; an empty text, as of an unset variable, would mean the current folder."""

    def __init__(self, name: str, needs: str) -> None:
        """A path of something.

        Args:
            name: what the help says of the value.
            needs: the end of the sentence about one without a name.
        """
        self.name = name
        self._needs = needs

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        if not value or "\0" in str(value):
            self.fail(f"there is no name: name {self._needs}.", param, ctx)
        return Path(value)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # Click's signature
        param: click.Parameter,  # noqa: ARG002  # Click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The shell completes file names by itself."""
        return [CompletionItem(incomplete, type="file")]


class _ExistingPath(_Path):
    """A file or a folder that is there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; one that is missing is refused by name."""
        path = super().convert(value, param, ctx)
        try:
            path.lstat()
        except OSError as error:
            self.fail(f"{path} cannot be read: {system_reason(error)}.", param, ctx)
        return path


JOB_FILE = _Path("job", "the job file")
PRICE_FILE = _Path("file", "a file of prices")
EXISTING_PATH = _ExistingPath("path", "a file or a folder")


Command = Callable[..., Any]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which the help lists them."""

    def decorate(function: Command) -> Command:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


job_argument = click.argument("job", type=JOB_FILE)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
