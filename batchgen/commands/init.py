"""`batchgen init`: a first job file, its data file and the schema for the editor."""

from __future__ import annotations

import json
import shlex
from importlib import resources
from pathlib import Path

import click

from batchgen.commands import options
from batchgen.commands.streams import result
from batchgen.errors import InputError, OutputUnusable
from batchgen.text import escaped, system_reason

JOB, ROWS, SCHEMA = "catalog.yaml", "products.csv", "job.schema.json"


@click.command(name="init")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@options.json_option
def command(folder: Path, *, as_json: bool) -> int:
    """Write a commented job file and its CSV to begin with; nothing is asked or overwritten.

    FOLDER is where they go; it is made if it is not there. Left out: the current folder.
    """
    from batchgen.job import schema_text

    starter = resources.files("batchgen.commands") / "starter"
    texts = {name: (starter / name).read_text("utf-8") for name in (JOB, ROWS)}
    texts[SCHEMA] = schema_text()
    paths = {folder / name: text for name, text in texts.items()}
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there:
        names = ", ".join(str(path) for path in there)
        raise InputError(
            f"{names}: there already, and nothing is overwritten. Name another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise OutputUnusable(f"{folder}: cannot be written: {system_reason(error)}.") from error
    if as_json:
        result(json.dumps({"files": [str(path) for path in paths]}))
        return 0
    for path in paths:
        result(f"Written: {escaped(str(path))}")
    result(f"Next: batchgen run {escaped(shlex.quote(str(folder / JOB)))}")
    return 0
