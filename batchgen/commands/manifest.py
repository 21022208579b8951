"""`batchgen manifest`: a manifest as a table, several as one, and what its fields are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from batchgen.commands import options
from batchgen.commands.streams import note, result, writing_output
from batchgen.errors import InputError


@click.group(name="manifest")
def command() -> None:
    """Merge manifests, write one as a table, or print the schema of its lines."""


OUTPUT = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write."
)


@command.command(name="export")
@click.argument("manifest", type=options.EXISTING_PATH, metavar="MANIFEST|FOLDER")
@click.option("--csv", "form", flag_value="csv", help="CSV; the default.")
@click.option("--parquet", "form", flag_value="parquet", help="Parquet, with types; an extra.")
@OUTPUT
@click.option("--all", "every", is_flag=True, help="Records that later ones replaced, too.")
@options.json_option
def export(
    manifest: Path, form: str | None, output: Path | None, *, every: bool, as_json: bool
) -> int:
    """Write one row an image, and one for each task without; `--json` alone: JSON lines.

    Of each task the last record counts. Seeds are whole numbers, and paths are present ones.
    """
    from batchgen.output import (
        manifest_of,
        read_records,
        require_lines,
        rows_of,
        to_csv,
        to_json_lines,
        to_parquet,
    )

    if output is None and (form == "parquet" or (form is not None and as_json)):
        raise InputError("Name the file to write with --output.")
    path = manifest_of(manifest)
    _refuse_input(output, [path])
    require_lines(path)
    unread: list[int] = []
    records = read_records(path, last=not every, unread=unread.append)
    rows = (row for record in records for row in rows_of(record))
    first = list(islice(rows, 1))  # what refuses the whole manifest does so before a line is out
    forms: dict[str, Callable[..., int]] = {"csv": to_csv, "parquet": to_parquet}
    write = forms.get(form or "", to_json_lines if as_json and output is None else to_csv)
    with _target(output) as file:
        count = write(chain(first, rows), file)
    if unread:
        note(f"Lines that cannot be read, and were left out: {len(unread)}.")
    if output is not None:
        told = {"exit_code": 0, "rows": count, "output": str(output)}
        told |= {"unreadable": len(unread)} if unread else {}
        _tell(told, f"{count:,} rows are in {output}.", as_json=as_json)
    return 0


@command.command(name="merge")
@click.argument(
    "manifests", nargs=-1, required=True, type=options.EXISTING_PATH, metavar="MANIFEST|FOLDER..."
)
@OUTPUT
@options.json_option
def merge(manifests: tuple[Path, ...], output: Path | None, *, as_json: bool) -> int:
    """Write several manifests as one: runs in the order of time, each line once.

    Paths of images count from the folder of the merged manifest; without --output it goes to
    standard output, and they count from the current folder. A file that is there is not replaced.
    """
    from batchgen.output import manifest_of
    from batchgen.output import merge as merge_manifests

    paths = list(dict.fromkeys(map(manifest_of, manifests)))
    folder = Path() if output is None else output.parent
    with _target(output, is_new=True) as file:
        merged = merge_manifests(paths, folder, file)
    if merged.unreadable:
        note(f"Lines that cannot be read, and were left out: {merged.unreadable}.")
    for path in merged.elsewhere:
        note(
            f"{path} does not lie below {folder.resolve()}: its images keep their paths from its "
            "own folder, where nothing can find them by the merged manifest."
        )
    if output is not None:
        told = {
            "exit_code": 0,
            "runs": len(merged.runs),
            "records": merged.records,
            "unreadable": merged.unreadable,
            "output": str(output),
        }
        text = f"{len(merged.runs):,} runs with {merged.records:,} records are in {output}."
        _tell(told, text, as_json=as_json)
    return 0


@command.command(name="schema")
@options.json_option
def schema(*, as_json: bool) -> int:  # noqa: ARG001  # it is JSON in any case
    """Print the JSON Schema of a manifest's lines."""
    from batchgen.output import manifest_schema

    result(json.dumps(manifest_schema(), indent=2))
    return 0


def _tell(fields: dict[str, Any], text: str, *, as_json: bool) -> None:
    """What was written, for a program or for a person."""
    if as_json:
        result(json.dumps(fields))
    else:
        note(text)


def _refuse_input(output: Path | None, inputs: list[Path]) -> None:
    """A slip of the hand must not replace what it reads.

    Raises:
        InputError: the output is one of the inputs.
    """
    if output is not None and output.resolve() in [path.resolve() for path in inputs]:
        raise InputError(f"{output} is the manifest itself: name another file.")


@contextmanager
def _target(output: Path | None, *, is_new: bool = False) -> Iterator[BinaryIO]:
    """The file that was named, or standard output, whose reader may go away.

    Raises:
        StorageError: standard output cannot be written.
    """
    from batchgen.output import replacing

    if output is not None:
        with replacing(output, is_new=is_new) as file:
            yield file
        return
    with writing_output():
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
