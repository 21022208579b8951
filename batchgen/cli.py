"""The command line: arguments to one command, the only error boundary and the only exit codes."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from click.shell_completion import shell_complete

from batchgen.commands import end_log, flush_streams, note, result, stamp
from batchgen.errors import (
    BatchgenError,
    ExitCode,
    InputError,
    JobError,
    OutputBusy,
    OutputUnusable,
    ServiceUnusable,
    StorageError,
)
from batchgen.text import cannot_be_named, closest, escaped, system_reason

COMMANDS = {
    "run": ("batchgen.commands.run", "Make the images of a job that are not there yet."),
    "reproduce": (
        "batchgen.commands.reproduce",
        "Make the images of a manifest again, and compare.",
    ),
    "plan": ("batchgen.commands.plan", "Say what a run would make and cost, and when it ends."),
    "validate": ("batchgen.commands.validate", "Check a job file; nothing is called or written."),
    "init": ("batchgen.commands.init", "Write a first job file, its CSV and the schema."),
    "doctor": (
        "batchgen.commands.doctor",
        "Check before a run all that it needs; nothing is paid.",
    ),
    "verify": ("batchgen.commands.verify", "Check the files of an output against its manifest."),
    "show": ("batchgen.commands.show", "Tell how an image was made, or what past runs came to."),
    "manifest": ("batchgen.commands.manifest", "Merge manifests, or write one as a table."),
    "models": ("batchgen.commands.models", "List the models: prices, quotas, Regions, life cycle."),
    "schema": ("batchgen.commands.schema", "Print the JSON Schema of a job file, for editors."),
    "simulate": ("batchgen.simulator.cli", "Run a local Bedrock that costs nothing."),
}
"""Command -> its module and its line in the help. A module is imported only for its own command."""
COMPLETE = "_BATCHGEN_COMPLETE"
"""What a shell sets to ask for completions, by Click's convention."""


def _speak_up(ctx: click.Context, _: click.Parameter, count: int) -> None:
    """`-v` stands before the command, behind it, or at both places."""
    root = ctx.find_root()
    root.meta[VERBOSITY] = root.meta.get(VERBOSITY, 0) + count
    _set_up_logging(root.meta[VERBOSITY])


VERBOSITY = "batchgen.verbosity"
VERBOSE = click.Option(
    ["-v", "--verbose"],
    count=True,
    expose_value=False,
    callback=_speak_up,
    help="Say what is decided, on standard error; twice for each attempt.",
)


class Commands(click.Group):
    """The commands, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # Click's signature
        """In the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # Click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command of this name."""
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        command: click.Command = importlib.import_module(known[0]).command
        own = next((each for each in command.params if each.name == "verbose"), None)
        if own is None:
            command.params.append(VERBOSE)
        elif "-v" not in own.opts:
            own.opts.append("-v")  # the simulator has a log of its own
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # Click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """The list of commands, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and name the nearest one to a slip."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            guess = closest(args[0], COMMANDS)
            hint = "" if guess is None else f" Did you mean '{guess}'?"
            raise click.UsageError(f"{error.message}{hint}", ctx) from None


class EscapingFormatter(logging.Formatter):
    """Log lines that cannot steer a terminal, whatever a label or a message in them holds."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry; a traceback keeps its lines."""
        return _harmless(super().format(record))

    def formatTime(  # noqa: N802  # the name in the standard library
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002  # the base class's signature
    ) -> str:
        """As in the lines of a run."""
        return stamp(datetime.fromtimestamp(record.created, UTC))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="batchgen", prog_name="batchgen")
def root() -> None:
    """Generate images in bulk on Amazon Bedrock: unattended, within a budget, on record."""


root.params.append(VERBOSE)


def _set_up_logging(verbosity: int) -> None:
    """Our own decisions in as much detail as was asked for, and only warnings of any library.

    The SDK's DEBUG lines hold session tokens, keys, signatures and prompts.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    levels = (logging.NOTSET, logging.INFO, logging.DEBUG)
    logging.getLogger("batchgen").setLevel(levels[min(verbosity, 2)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, whatever happens."""
    _replace_closed_streams()
    end_log()
    if arguments is None and COMPLETE in os.environ:
        return shell_complete(root, {}, "batchgen", COMPLETE, os.environ[COMPLETE])
    code = _run(arguments)
    flush_streams()
    logging.getLogger("batchgen").setLevel(logging.NOTSET)  # `-v` is one command's
    return code


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not `root.main`, which ends the process by itself where a pipe breaks, whichever it was.
        with root.make_context("batchgen", given) as context:
            outcome = root.invoke(context)
    except click.exceptions.Exit as exiting:
        return exiting.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except SystemExit as exiting:
        return exiting.code if isinstance(exiting.code, int) else ExitCode.FAULT
    except Exception as error:  # noqa: BLE001  # the error boundary
        return _ended_by(error, as_json="--json" in given)
    return outcome if isinstance(outcome, int) else 0


def _ended_by(error: Exception, *, as_json: bool) -> int:
    """Say what ended a command; its exit code. With `--json` a program is told as well."""
    match error:
        case click.ClickException():
            usage = io.StringIO()
            error.show(file=usage)
            if as_json:
                _tell(error, error.format_message(), ExitCode.USAGE)
            return _complain(usage.getvalue().rstrip(), ExitCode.USAGE)
        case BatchgenError():
            code = _exit_code(error)
            if as_json:
                _tell(error, str(error), code)
            return _complain(str(error), code)
        case BrokenPipeError() if not flush_streams():
            return 0  # the reader of a help text went away
        case OSError() if not flush_streams():
            text = f"Standard output cannot be written: {system_reason(error)}."
            return _complain(text, ExitCode.RESUMABLE)
        case UnicodeEncodeError() if sys.getfilesystemencoding() != "utf-8":
            return _ended_by(InputError(cannot_be_named(error.object)), as_json=as_json)
        case _:
            logging.getLogger(__name__).debug("the fault", exc_info=error)
            text = f"A fault in batchgen itself: {type(error).__name__}: {error}"
            return _complain(
                f"{text}. `batchgen -vv …` shows where; please report it.", ExitCode.FAULT
            )


def _tell(error: Exception, text: str, code: int) -> None:
    """What a program that asked for JSON reads in place of a result."""
    complaints = error.to_json() if isinstance(error, JobError) else []
    result(json.dumps({"exit_code": code, "error": text, "complaints": complaints}))


def _exit_code(error: BatchgenError) -> int:
    match error:
        case InputError() | OutputUnusable():
            return ExitCode.USAGE
        case StorageError():
            return ExitCode.RESUMABLE
        case ServiceUnusable():
            return ExitCode.SERVICE
        case OutputBusy():
            return ExitCode.BUSY
        case _:
            return ExitCode.FAULT


def _complain(text: str, code: int) -> int:
    note(_harmless(text))
    return code


def _harmless(text: str) -> str:
    """The lines of a message; file names and arguments in it may hold what steers a terminal."""
    return "\n".join(map(escaped, text.split("\n")))


def _replace_closed_streams() -> None:
    """Give a standard stream that was closed (`2>&-`) a place where its text is lost.

    Else the next file that is opened, a manifest perhaps, takes its number, and what is meant for
    the stream goes there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the end
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # until the end
