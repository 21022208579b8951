"""`batchgen schema`: what a job file may say, as an editor reads it."""

from __future__ import annotations

import click

from batchgen.commands.streams import result


@click.command(name="schema")
@click.option("--json", "as_json", is_flag=True, help="The same: it is JSON anyway.")
def command(*, as_json: bool) -> int:  # noqa: ARG001 - it is JSON anyway
    """Print the JSON Schema of a job file, with a description of every key.

    An editor with the YAML language server completes and checks a job file whose first line is
    `# yaml-language-server: $schema=PATH`, with the path of a file that has this.
    """
    from batchgen.job import schema_text

    result(schema_text().rstrip("\n"))
    return 0
