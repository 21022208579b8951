"""The simulator's command line, made from the fields of `Options`."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from .options import Options

if TYPE_CHECKING:
    from dataclasses import Field

_EPILOG = """\
Prompts steer it too: the words nude, naked, nsfw, gore have a prompt refused, bloody, bikini have
the finished picture refused, and `simulate:ACTION` in a prompt, as in `simulate:torn-image` or
`simulate:ThrottlingException*2` (the first two attempts), does what a fault directive does.

While it runs: GET /simulator/ledger, /simulator/stats, /simulator/actions (what faults there are);
POST /simulator/faults, /simulator/reset; DELETE /simulator/faults.
"""


def _option(entry: Field[Any]) -> click.Option:
    flag, many = isinstance(entry.default, bool), isinstance(entry.default, tuple)
    kind = {"is_flag": True} if flag else {k: entry.metadata[k] for k in ("type", "metavar")}
    return click.Option(
        ["--" + entry.name.replace("_", "-")],
        default=entry.default,
        multiple=many,
        help=entry.metadata["help"],
        show_default=not flag and not many and entry.default is not None,
        **kind,
    )


def _run(**values: Any) -> None:
    # The server needs aiohttp and Pillow; `--help` does not, and answers at once.
    from .process import run  # noqa: PLC0415 - see above

    sys.exit(run(Options(**values)))


command = click.Command(
    "simulate",
    callback=_run,
    params=[_option(entry) for entry in fields(Options)],
    help="Answer as Amazon Bedrock does, on a loopback port, without cost.",
    short_help="Run a local Bedrock that costs nothing.",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
