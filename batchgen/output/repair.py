"""Settling what `verify` found, and taking out what a job no longer has; nothing is deleted.

A line in the manifest comes first and then the move: whatever stops it in between, a record that
counts has its file, and a file that no record names is what the next repair moves.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path, PurePosixPath

from batchgen.errors import ManifestError, StorageError
from batchgen.output.folder import OutputFolder, open_output, owners_of
from batchgen.output.history import FLAG_BITS
from batchgen.output.images import BrokenImage, decode_image
from batchgen.output.manifest import GROUP, MANIFEST_NAME, open_manifest, parse_object, sync_folder
from batchgen.output.paths import open_regular, refuse_links
from batchgen.output.read_history import load_history
from batchgen.output.threads import in_thread
from batchgen.output.verify import (
    ASIDE,
    LARGEST_FILE,
    OF_RECORDS,
    ON_RECORD_NEXT,
    Finding,
    Kind,
    Progress,
    Verified,
    verify_output,
)
from batchgen.record import MovedFile, RepairLine, Status, utc_now
from batchgen.task import compact
from batchgen.text import system_reason

PRUNED = "pruned"
COARSE = timedelta(seconds=2)
"""What the time of a file may lag behind the clock: file systems keep it in steps."""
LINES_AT_ONCE = 1000
"""Damaged lines that one repair line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that a repair leaves to the next run."""

    finding: Finding
    reason: str


@dataclass(slots=True, kw_only=True)
class Repaired:
    """What a repair came to."""

    verified: Verified
    """As it was found."""
    files: list[MovedFile] = field(default_factory=list)
    """Where files went."""
    withdrawn: int = 0
    """Records that count no more: a run makes their images again."""
    lines: int = 0
    """Damaged lines that are known from now on."""
    left: list[Left] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obsolete:
    """A task of the manifest that the job no longer has."""

    task_id: str
    item_id: str
    label: str
    status: Status
    files: tuple[str, ...]
    """Where they are now, below the output."""
    cost_usd: float | None
    """Of its last record."""
    is_older: bool
    """The job has a task of this label, with another request: the file is kept for an undo."""


async def repair_output(manifest: Path, *, quick: bool = False, progress: Progress) -> Repaired:
    """Verify an output and settle what is found, while no run holds it.

    Strays and damaged files move to `aside/`, their records count no more, and damaged lines are
    named in a line of their own. Left to the next run is what it puts on record without a call.

    Raises:
        OutputBusy: a run holds the output.
        OutputUnusable: it cannot be written.
        ManifestError: as `verify_output`.
        StorageError: the disk did not take a line, or a file could not be moved.
    """
    async with _opened(manifest) as output:
        verified = await in_thread(
            verify_output, manifest, quick=quick, is_ours=True, progress=progress
        )
        repaired = Repaired(verified=verified)
        plan = await in_thread(lambda: list(_Plan(output, repaired).orders()))
        await _carry_out(output, plan, repaired)
        offsets = _offsets(verified)
        for start in range(0, len(offsets), LINES_AT_ONCE):
            lines = offsets[start : start + LINES_AT_ONCE]
            line = RepairLine(reason=str(Kind.LINE), damaged_lines=lines, at=utc_now())
            await output.manifest.append(line)
        repaired.lines = len(offsets)
        return repaired


async def prune_output(manifest: Path, obsolete: Iterable[Obsolete]) -> Repaired:
    """Move the files of these tasks aside, whose records then count no more.

    Raises:
        OutputBusy, OutputUnusable, ManifestError, StorageError: as `repair_output`.
    """
    async with _opened(manifest) as output:
        repaired = Repaired(verified=Verified(manifest=manifest, holder=None))
        orders = (Order(reason=PRUNED, task_id=each.task_id, files=each.files) for each in obsolete)
        await _carry_out(output, list(orders), repaired)
        return repaired


def find_obsolete(
    manifest: Path, task_ids: Iterable[str], labels: Iterable[str]
) -> Iterator[Obsolete]:
    """The tasks of a manifest that a job's plan does not have, in the order of their records.

    Args:
        manifest: of the job's output.
        task_ids: of all tasks of the plan.
        labels: of all tasks of the plan.

    Raises:
        ManifestError: it cannot be read.
    """
    history = load_history(manifest)
    owners = owners_of(manifest)
    known, named = set(map(compact, task_ids)), set(labels)
    for record in history.last_records():
        if compact(record.task_id) not in known:
            images = history.placed(record).images
            paths = [image.path for image in images]
            derived = (each.path for image in images for each in image.derived)
            paths += [path for path in derived if path not in owners]
            yield Obsolete(
                task_id=record.task_id,
                item_id=record.item_id,
                label=record.label,
                status=record.status,
                files=tuple(paths),
                cost_usd=record.cost_usd,
                is_older=record.label in named,
            )


def _opened(manifest: Path) -> AbstractAsyncContextManager[OutputFolder]:
    """The output of a manifest that is there, locked.

    Raises:
        ManifestError: it is not there, or has another name: it is a copy, and no run reads it.
    """
    if manifest.name != MANIFEST_NAME or not manifest.is_file():
        raise ManifestError(
            f"{manifest} is no {MANIFEST_NAME} of an output: only there a run reads what is settled"
        )
    return open_output(manifest.parent, "repair")


def _offsets(verified: Verified) -> tuple[int, ...]:
    found = (each.offset for each in verified.findings if each.kind is Kind.LINE)
    return tuple(offset for offset in found if offset is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A record to take out of the count, files to move, or both."""

    reason: str
    task_id: str | None = None
    files: tuple[str, ...] = ()


class _Plan:
    """What is to be done about each finding."""

    def __init__(self, output: OutputFolder, repaired: Repaired) -> None:
        self._output = output
        self._verified = repaired.verified
        self._repaired = repaired
        self._torn, self._unusable = self._read_damaged()

    def orders(self) -> Iterator[Order]:
        seen: set[str] = set()
        # A file that two records name may be the sound one's.
        owners = self._output.owners()
        shared = {each.path for each in self._verified.findings if each.kind is Kind.SHARED}
        for finding in self._within_reach():
            if finding.kind in OF_RECORDS and finding.task_id is not None:
                if finding.task_id not in seen:
                    seen.add(finding.task_id)
                    own = finding.task_id
                    free = (path for path in finding.files if owners.get(path, own) == own)
                    files = tuple(path for path in free if path not in shared)
                    yield Order(reason=str(finding.kind), task_id=own, files=files)
            elif finding.kind is Kind.LEFTOVER:
                self._leave(finding, ON_RECORD_NEXT)
            elif finding.kind is Kind.DERIVED and finding.path is not None:
                yield from self._derived(finding, finding.path)
            elif finding.kind is Kind.STRAY and finding.path is not None:
                reason = self._may_be_recorded(finding.path)
                if reason is None:
                    yield Order(reason=str(finding.kind), files=(finding.path,))
                else:
                    self._leave(finding, reason)
        for task_id in self._unusable:
            if task_id not in seen:
                yield Order(reason=str(Kind.LINE), task_id=task_id)

    def _within_reach(self) -> Iterator[Finding]:
        """All but those behind a link to a folder, of which nothing is known; no run follows it."""
        for finding in self._verified.findings:
            path = finding.path or "."
            if path != "." and (self._output.folder / path).is_dir():
                path += "/-"  # the link itself
            try:
                refuse_links(self._output.folder, path)
            except OSError as error:
                self._leave(finding, f"{system_reason(error)}: put the folder itself there")
                continue
            yield finding

    def _derived(self, finding: Finding, path: str) -> Iterator[Order]:
        """A damaged one goes; its image's record counts, and was paid for."""
        if os.path.lexists(self._output.folder / path):
            yield Order(reason=str(finding.kind), files=(path,))
        else:
            self._leave(finding, "the next run makes it again, without a call")

    def _leave(self, finding: Finding, reason: str) -> None:
        self._repaired.left.append(Left(finding=finding, reason=reason))

    def _may_be_recorded(self, path: str) -> str | None:
        """Why a file is perhaps put on record by the next run; None if it never is."""
        file = self._output.folder / path
        named = json.dumps(path).encode()
        if any(named in line for line in self._torn):
            said = "its record is torn; the next run puts it on record, or makes it again"
        elif self._output.history.unanswered and self._is_of_last_run(file):
            said = "a run was killed, and this may be its image; the next run knows"
        else:
            return None
        return said if _is_whole(file) else None

    def _is_of_last_run(self, file: Path) -> bool:
        start = self._verified.last_start
        return start is not None and file.lstat().st_mtime >= (start - COARSE).timestamp()

    def _read_damaged(self) -> tuple[list[bytes], list[str]]:
        """Lines that are no JSON, and the tasks whose last record is JSON and cannot be used.

        Of those that are settled only what the history still counts: a run looks for its image.
        """
        torn: list[bytes] = []
        unusable: list[str] = []
        history, found = self._output.history, _offsets(self._verified)
        counted = {entry >> FLAG_BITS for entry in history.entries.values()}
        settled = [each for each in self._verified.settled_lines if each in counted]
        with open_manifest(self._verified.manifest) as file:
            for offset in (*found, *settled):
                file.seek(offset)
                fields = parse_object(data := file.readline())
                if fields is None:
                    torn.append(data)
                elif history.offset(task_id := str(fields.get("task_id"))) == offset:
                    unusable.append(task_id)
        return torn, unusable


async def _carry_out(output: OutputFolder, orders: list[Order], repaired: Repaired) -> None:
    """Write the lines of some orders, then move their files, and so on."""
    for start in range(0, len(orders), GROUP):
        lines = [
            RepairLine(
                reason=order.reason,
                task_id=order.task_id,
                files=await in_thread(_targets, output.folder, order),
                at=utc_now(),
            )
            for order in orders[start : start + GROUP]
        ]
        await asyncio.gather(*(output.manifest.append(_shown(line)) for line in lines))
        repaired.withdrawn += sum(line.task_id is not None for line in lines)
        for line in lines:
            for file in line.files:
                await _move_aside(output, file)
                repaired.files.append(file)


def _targets(folder: Path, order: Order) -> tuple[MovedFile, ...]:
    """Where the files of an order go that are there, and that no link leads to."""
    found = []
    for path in order.files:
        try:
            refuse_links(folder, path)
        except OSError:
            continue
        if os.path.lexists(folder / path):
            found.append(MovedFile.model_construct(path=path, new_path=_free(folder, order, path)))
    return tuple(found)


def _free(folder: Path, order: Order, path: str) -> str:
    inside = PurePosixPath(ASIDE, order.reason.replace(" ", "-"), path)
    for number in count(1):
        name = inside if number == 1 else inside.with_name(f"{inside.stem}~{number}{inside.suffix}")
        if not os.path.lexists(folder / name):
            return name.as_posix()
    raise AssertionError("the count has no end")


def _shown(line: RepairLine) -> RepairLine:
    """The line with paths that are no UTF-8 written as JSON and people can read them."""
    files = tuple(
        MovedFile(path=_printable(file.path), new_path=_printable(file.new_path))
        for file in line.files
    )
    return line.model_copy(update={"files": files})


def _printable(path: str) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")


async def _move_aside(output: OutputFolder, file: MovedFile) -> None:
    source, target = output.folder / file.path, output.folder / file.new_path
    try:
        await output.store.make_folder(file.new_path.rpartition("/")[0])
        await in_thread(source.rename, target)
        await in_thread(sync_folder, target.parent)
        await in_thread(sync_folder, source.parent)
    except FileNotFoundError:
        return  # somebody was faster
    except OSError as error:
        text = f"{source} could not be moved to {target}: {system_reason(error)}"
        raise StorageError(text) from error


def _is_whole(path: Path) -> bool:
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            decode_image(file.read(LARGEST_FILE))
    except (OSError, BrokenImage):
        return False
    return True
