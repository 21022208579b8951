"""Values of options, checked as the job file's own values are, with the same words."""

from __future__ import annotations

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


class Endpoint(Key):
    """The service: `AWS` means `aws`; a URL stays as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The endpoint as the job has it."""
        return super().convert(value if "/" in value else value.lower(), param, ctx)


ENDPOINT = Endpoint("simulator|aws|URL", "endpoint")
FOLDER = Key("folder", "output")
UNTIL = Key("HH:MM", "limits.until")
RATE = Key("number|auto", "limits.requests_per_minute")
CONCURRENCY = Key("number", "limits.concurrency")
COUNT = Count()
USD = Key("usd", "limits.budget_usd")
DURATION = Key("duration", "limits.give_up_after")


class VerdictName(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """How near a reproduction must come: `same pixels` may be written `same-pixels`."""

    name = "verdict"
    names = ("identical", "same pixels", "similar", "different", "not reproducible")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The verdict's name."""
        wanted = str(value).lower().replace("-", " ").replace("_", " ")
        if wanted in self.names:
            return wanted
        allowed = ", ".join(name.replace(" ", "-") for name in self.names)
        near = did_you_mean(closest(str(value), self.names))
        return self.fail(f"cannot be {quoted(value)}; allowed: {allowed}{near}.", param, ctx)


VERDICT = VerdictName()
MODEL = Key("model", "model")


class JobFile(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """The path of a job file."""

    name = "job"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; an empty text, as of an unset variable, would mean the current folder."""
        if not value:
            self.fail("there is no name: name the job file.", param, ctx)
        return Path(value)

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # Click's signature
        param: click.Parameter,  # noqa: ARG002  # Click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The shell completes file names by itself."""
        return [CompletionItem(incomplete, type="file")]


class PriceFile(JobFile):
    """The path of a file of prices."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path."""
        if not value:
            self.fail("there is no name: name a file of prices.", param, ctx)
        return Path(value)


class ExistingPath(click.ParamType):  # type: ignore[type-arg]  # generic in its stubs only
    """A file or a folder that is there."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path; one that is missing is refused by name."""
        path = Path(value)
        if not value or "\0" in str(value):
            self.fail("there is no name: name a file or a folder.", param, ctx)
        try:
            path.lstat()
        except OSError as error:
            self.fail(f"{path} cannot be read: {system_reason(error)}.", param, ctx)
        return path

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002  # Click's signature
        param: click.Parameter,  # noqa: ARG002  # Click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The shell completes file names by itself."""
        return [CompletionItem(incomplete, type="file")]


def manifest_in(path: Path) -> Path:
    """The manifest that a path names: itself, or that of an output folder."""
    from batchgen.output import MANIFEST_NAME

    return path / MANIFEST_NAME if path.is_dir() else path


job_argument = click.argument("job", type=JobFile())
json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on standard output."
)
