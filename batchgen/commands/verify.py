"""`batchgen verify`: is an output what its manifest says?"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.file_bar import file_bar
from batchgen.commands.streams import note, result
from batchgen.errors import ExitCode, InputError
from batchgen.text import counted, duration, escaped, shortened, usd

if TYPE_CHECKING:
    from batchgen.job import Job
    from batchgen.output import Adopted, Finding, Kind, Obsolete, Repaired, Verified

SHOWN = 20
"""Findings of a kind that are printed; --json has all."""
LONGEST = 300
MB = 1_000_000
ZERO = Decimal(0)


@click.command(name="verify")
@click.argument(
    "path", type=options.EXISTING_PATH, metavar="[MANIFEST|FOLDER]", required=False, default=None
)
@click.option(
    "--quick",
    is_flag=True,
    help="Compare sizes and times; read only files newer than their record.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Move strays and damaged files aside, and let the next run make just these again.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="First rebuild a lost manifest from what the images say of themselves.",
)
@click.option(
    "--job", type=options.JOB_FILE, help="List what the manifest has and this job no longer."
)
@click.option("--prune", is_flag=True, help="Move that aside; needs --job.")
@options.json_option
def command(path: Path | None, *, job: Path | None, as_json: bool, **asked: bool) -> int:
    """Check the files of an output against its manifest.

    Every file that a record names is there, has its size and sha256, and decodes to its last
    pixel; every image file is named by a record; every line can be read; every id is that of its
    request. Ends with 0 if all of this holds, and with 5 if anything does not, also where it was
    repaired. Without --repair, --prune and --adopt nothing is changed; nothing is ever deleted.
    """
    loaded = None if job is None else _load(job)
    from batchgen.output import manifest_of

    if path is None and loaded is None:
        raise InputError("Name an output or its manifest, or a job with --job.")
    if asked["prune"] and loaded is None:
        raise InputError("--prune needs --job: name the job that says what to keep.")
    place = Path(loaded.output) if path is None and loaded is not None else path or Path()
    manifest = manifest_of(place)
    adopted = _adopt(manifest) if asked["adopt"] else None
    started = time.monotonic()
    with file_bar("verifying") as progress:
        repaired = _examine(manifest, progress, quick=asked["quick"], is_repair=asked["repair"])
    elapsed = time.monotonic() - started
    obsolete = [] if loaded is None else _obsolete(loaded, manifest)
    pruned = _prune(manifest, obsolete) if asked["prune"] else None
    if as_json:
        fields = _fields(repaired.verified, quick=asked["quick"])
        if adopted is not None:
            left = [{"path": path, "reason": reason} for path, reason in adopted.left]
            fields["adopted"] = {"records": adopted.records, "left": left}
        if asked["repair"]:
            fields["repaired"] = _repaired_fields(repaired)
        if loaded is not None:
            fields["obsolete"] = [_obsolete_fields(each) for each in obsolete]
            fields["pruned"] = None if pruned is None else _repaired_fields(pruned)
        result(json.dumps(fields))
    else:
        for line in () if adopted is None else _adopted_lines(adopted):
            result(line)
        _print(repaired.verified, elapsed)
        for line in _repaired_lines(repaired, manifest):
            result(line)
        for line in () if loaded is None else _obsolete_lines(obsolete, pruned):
            result(line)
    return ExitCode.DIFFERENT if repaired.verified.findings else ExitCode.DONE


def _load(path: Path) -> Job:
    from batchgen import plan
    from batchgen.job import load

    job = load(path, defer=True)
    plan.check(job)
    return job


def _examine(
    manifest: Path, progress: Callable[[int, int], None], *, quick: bool, is_repair: bool
) -> Repaired:
    from batchgen.output import Repaired, repair_output, verify_output

    if is_repair:
        return asyncio.run(repair_output(manifest, quick=quick, progress=progress))
    return Repaired(verified=verify_output(manifest, quick=quick, progress=progress))


def _adopt(manifest: Path) -> Adopted:
    from batchgen.output import adopt_images

    with file_bar("adopting") as progress:
        return asyncio.run(adopt_images(manifest, progress=progress))


def _obsolete(job: Job, manifest: Path) -> list[Obsolete]:
    """What the job no longer has.

    Raises:
        ManifestError: the manifest is another job's.
    """
    from batchgen import plan
    from batchgen.output import find_obsolete, load_history

    history = load_history(manifest)
    history.require_job(job.name)
    key, reseeds = history.random_seed_key, history.reseeds
    ids = plan.task_ids(job, random_seed_key=key, reseeds=reseeds)
    labels = (task.label for task in plan.expand(job, random_seed_key=key, reseeds=reseeds))
    return list(find_obsolete(manifest, ids, labels))


def _prune(manifest: Path, obsolete: list[Obsolete]) -> Repaired:
    from batchgen.output import prune_output

    return asyncio.run(prune_output(manifest, [each for each in obsolete if not each.is_older]))


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


def _repaired_fields(repaired: Repaired) -> dict[str, Any]:
    return {
        "withdrawn": repaired.withdrawn,
        "damaged_lines": repaired.lines,
        "files": [{"path": each.path, "new_path": each.new_path} for each in repaired.files],
        "left": [
            {**_finding_fields(each.finding), "reason": each.reason} for each in repaired.left
        ],
    }


def _obsolete_fields(obsolete: Obsolete) -> dict[str, Any]:
    return {
        "item_id": obsolete.item_id,
        "label": obsolete.label,
        "task_id": obsolete.task_id,
        "status": str(obsolete.status),
        "files": list(obsolete.files),
        "cost_usd": obsolete.cost_usd,
        "older_version": obsolete.is_older,
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
            f"A run is writing ({escaped(verified.holder)}): what it is working on is left out. "
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
    return f"{name}: {counted(counts.total(), 'difference')} ({found}); {looked}."


def _adopted_lines(adopted: Adopted) -> Iterator[str]:
    yield f"Put on record by what they say of themselves: {counted(adopted.records, 'image')}."
    for path, reason in adopted.left[:SHOWN]:
        yield escaped(shortened(f"not adopted: {path}: {reason}", LONGEST))


def _repaired_lines(repaired: Repaired, manifest: Path) -> Iterator[str]:
    from batchgen.output import ASIDE

    for left in repaired.left:
        yield f"left: {escaped(str(left.finding.path))}: {left.reason}"
    if repaired.files or repaired.withdrawn or repaired.lines:
        yield (
            f"Repaired: {counted(len(repaired.files), 'file')} moved to "
            f"{escaped(str(manifest.parent / ASIDE))}, "
            f"{counted(repaired.withdrawn, 'image')} for the next run to make again, "
            f"{counted(repaired.lines, 'damaged line')} noted."
        )


def _obsolete_lines(obsolete: list[Obsolete], pruned: Repaired | None) -> Iterator[str]:
    """What the job no longer has, with its files and its cost."""
    gone = [each for each in obsolete if not each.is_older]
    for each in gone[:SHOWN]:
        files = ", ".join(each.files) or f"no file ({each.status})"
        cost = usd(_decimal(each.cost_usd))
        yield escaped(shortened(f"no longer in the job: {each.label}: {files}, {cost}", LONGEST))
    if len(gone) > SHOWN:
        yield f"no longer in the job: {len(gone) - SHOWN} more; --json lists them"
    total = sum((_decimal(each.cost_usd) or ZERO for each in gone), ZERO)
    yield f"No longer in the job: {counted(len(gone), 'task')}, which cost {usd(total)}."
    if len(obsolete) > len(gone):
        yield (
            f"Older versions of what the job has: {len(obsolete) - len(gone)}; they are kept, for "
            "an undone edit takes them back without a call."
        )
    if pruned is not None:
        yield f"Moved aside: {counted(len(pruned.files), 'file')}."


def _decimal(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))
