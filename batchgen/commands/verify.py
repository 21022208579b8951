"""`batchgen verify`: is an output what its manifest says?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.file_bar import file_bar
from batchgen.commands.streams import note, result
from batchgen.errors import ExitCode
from batchgen.text import duration, escaped, shortened

if TYPE_CHECKING:
    from batchgen.output import Finding, Kind, Verified

SHOWN = 20
"""Findings of a kind that are printed; --json has all."""
LONGEST = 300
MB = 1_000_000


@click.command(name="verify")
@click.argument("path", type=options.ExistingPath(), metavar="MANIFEST|FOLDER")
@click.option("--quick", is_flag=True, help="Look at sizes and times; read only what is newer.")
@options.json_option
def command(path: Path, *, quick: bool, as_json: bool) -> int:
    """Hold the files of an output against its manifest; nothing is changed.

    Every file that a record names is there, has its size and sha256, and decodes to its last
    pixel; every image file is named by a record; every line can be read; every id is that of its
    request. Ends with 0 if all of this holds, and with 5 if anything does not.
    """
    from batchgen.output import verify

    started = time.monotonic()
    with file_bar("verifying") as progress:
        verified = verify(options.manifest_in(path), quick=quick, progress=progress)
    elapsed = time.monotonic() - started
    if as_json:
        result(json.dumps(_fields(verified, quick=quick)))
    else:
        _print(verified, elapsed)
    return ExitCode.DIFFERENT if verified.findings else ExitCode.DONE


def _fields(verified: Verified, *, quick: bool) -> dict[str, Any]:
    return {
        "manifest": str(verified.manifest),
        "sound": not verified.findings,
        "quick": quick,
        "active_run": verified.holder,
        "records": verified.records,
        "files": verified.files,
        "bytes_read": verified.bytes,
        "unchecked_ids": verified.unchecked_ids,
        "counts": {str(kind): number for kind, number in verified.counts.items()},
        "findings": [_finding_fields(finding) for finding in verified.findings],
    }


def _finding_fields(finding: Finding) -> dict[str, Any]:
    return {
        "kind": str(finding.kind),
        "path": finding.path,
        "label": finding.label,
        "task_id": finding.task_id,
        "offset": finding.offset,
        "text": finding.text,
    }


def _print(verified: Verified, elapsed: float) -> None:
    if verified.holder is not None:
        note(
            f"A run is writing ({escaped(verified.holder)}): what it has in hand is left out. "
            "Verify again when it has ended."
        )
    for line in _finding_lines(verified.findings):
        result(line)
    result(_verdict(verified, elapsed))


def _finding_lines(findings: list[Finding]) -> Iterator[str]:
    shown: Counter[Kind] = Counter()
    for finding in findings:
        shown[finding.kind] += 1
        if shown[finding.kind] <= SHOWN:
            yield _finding_line(finding)
    for kind, number in shown.items():
        if number > SHOWN:
            yield f"{kind}: {number - SHOWN} more; --json lists them"


def _finding_line(finding: Finding) -> str:
    parts = [str(finding.kind)]
    if finding.path is not None:
        parts.append(finding.path)
    if finding.offset is not None:
        parts.append(f"at byte {finding.offset} of the manifest")
    label = "" if finding.label is None else f" ({shortened(finding.label, 100)})"
    return escaped(shortened(f"{': '.join(parts)}{label}: {finding.text}", LONGEST))


def _verdict(verified: Verified, elapsed: float) -> str:
    counts = verified.counts
    name = escaped(str(verified.manifest))
    read = f"{verified.bytes / MB:,.0f} MB read in {duration(elapsed)}"
    looked = f"{verified.records} images on record, {verified.files} files, {read}"
    if not counts:
        return f"{name} is sound: {looked}."
    found = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    return f"{name}: {counts.total()} differences ({found}); {looked}."
