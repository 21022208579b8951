"""The records of a manifest, with the paths that their images have now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from batchgen.errors import ManifestError
from batchgen.output.manifest import (
    ATTEMPT,
    MANIFEST_NAME,
    RECORD,
    TASK_ID,
    cannot_be_read,
    is_damaged,
    open_manifest,
    parse_line,
    parse_object,
    refuse_later_format,
)
from batchgen.output.paths import inner_path
from batchgen.record import DerivedLine, Line, Record
from batchgen.task import compact
from batchgen.text import quoted

MANY = (ATTEMPT, RECORD)
"""How the lines begin that say nothing of others."""


@dataclass(slots=True)
class _Index:
    """What the whole of a manifest says of its records; little, however many they are."""

    path: Path
    last: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of its last record, of all tasks or of those in `derived`."""
    moves: dict[tuple[str, str], list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Task id and path -> offsets of the lines that moved the file, and where to."""
    derived: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Compact task id -> offsets of the lines that say what is derived of its image."""

    def look(self, lines: Iterable[bytes]) -> None:
        """Note what other lines say of records.

        Raises:
            ManifestError: a later version of batchgen wrote it.
        """
        offset = 0
        for data in lines:
            if not data.startswith(MANY):
                self._take(parse_object(data) or {}, offset)
            offset += len(data)

    def _take(self, fields: dict[str, Any], offset: int) -> None:
        refuse_later_format(fields, str(self.path))
        match fields.get("kind"):
            case "moved":
                key = (str(fields.get("task_id")), str(fields.get("path")))
                self.moves[key].append((offset, str(fields.get("new_path"))))
            case "derived":
                self.derived[compact(str(fields.get("task_id")))].append(offset)
            case "repair":
                self._repair(fields, offset)

    def _repair(self, fields: dict[str, Any], offset: int) -> None:
        task_id, files = fields.get("task_id"), fields.get("files")
        if isinstance(task_id, str) and isinstance(files, list):
            for each in files:
                if isinstance(each, dict):
                    key = (task_id, str(each.get("path")))
                    self.moves[key].append((offset, str(each.get("new_path"))))

    def find_last(self, lines: Iterable[bytes], wanted: Container[bytes] | None) -> None:
        """Note the last records of these tasks, None: of all."""
        offset = 0
        for data in lines:
            if data.startswith(RECORD) and (start := data.find(TASK_ID)) >= 0:
                start += len(TASK_ID)
                task_id = data[start : data.find(b'"', start)].decode(errors="replace")
                self._note_last(task_id, offset, wanted)
            elif not data.startswith(ATTEMPT):
                fields = parse_object(data) or {}
                if fields.get("kind") == "record":
                    self._note_last(str(fields.get("task_id")), offset, wanted)
                elif fields.get("kind") == "repair" and isinstance(fields.get("task_id"), str):
                    self.last.pop(compact(fields["task_id"]), None)
            offset += len(data)

    def _note_last(self, task_id: str, offset: int, wanted: Container[bytes] | None) -> None:
        key = compact(task_id)
        if wanted is None or key in wanted:
            self.last[key] = offset

    def derived_after(self, record: Record, offset: int) -> int | None:
        """Offset of the line that says what there is of derived files of a record that counts."""
        key = compact(record.task_id)
        if not record.images or self.last.get(key) != offset:
            return None
        return next((each for each in reversed(self.derived.get(key, ())) if each > offset), None)

    def present(self, record: Record, offset: int) -> Record:
        """A record with the paths that its images have now."""
        paths = {image.path: self._follow(record.task_id, image.path, offset)
                 for image in record.images}  # fmt: skip
        if all(path == now for path, now in paths.items()):
            return record
        images = [each.at(paths[each.path]) for each in record.images]
        return record.model_copy(update={"images": tuple(images)})

    def _follow(self, task_id: str, path: str, offset: int) -> str:
        while True:
            moves = self.moves.get((task_id, path), ())
            after = next((each for each in moves if each[0] > offset), None)
            if after is None:
                return path
            offset, path = after


def manifest_of(path: Path) -> Path:
    """The manifest that a path means: itself, or the one in this folder."""
    return path / MANIFEST_NAME if path.is_dir() else path


def read_records(
    path: Path, *, last: bool = False, unread: Callable[[int], None] | None = None
) -> Iterator[Record]:
    """The records of a manifest in the order of writing; lines that cannot be read are left out.

    A file that was moved since its record was written has the path that it has now.

    Args:
        path: of the manifest; read twice, and once more for `last` or derived files.
        last: only the last record of each task, which is the one that counts.
        unread: called with the offset of each line that cannot be read.

    Raises:
        ManifestError: it cannot be read, a later version of batchgen wrote it, or a record names a
            file outside its folder.
    """
    index = _Index(path)
    try:
        with open_manifest(path, buffering=1 << 20) as file:
            index.look(file)
            if last or index.derived:
                file.seek(0)
                index.find_last(file, None if last else index.derived)
        with (
            open_manifest(path, buffering=1 << 20) as file,
            open_manifest(path) as beside,
        ):
            yield from _records(file, index, beside, last=last, unread=unread)
    except OSError as error:
        raise cannot_be_read(path, error) from error


def _records(
    file: Iterable[bytes],
    index: _Index,
    beside: BinaryIO,
    *,
    last: bool,
    unread: Callable[[int], None] | None,
) -> Iterator[Record]:
    """The records among these lines; `beside` is the same file, for lines that say more of them."""
    is_told = bool(index.moves or index.derived)
    offset = 0
    for data in file:
        here, offset = offset, offset + len(data)
        if data.startswith(ATTEMPT):
            continue
        record = parse_line(data)
        if not isinstance(record, Record):
            if unread is not None and record is None and is_damaged(data):
                unread(here)
            continue
        if last and index.last.get(compact(record.task_id)) != here:
            continue
        if is_told:
            at = index.derived_after(record, here)
            if at is not None:
                beside.seek(at)
                record = _with_derived(record, parse_line(beside.readline()))
            record = index.present(record, here)
        _refuse_outside(record, index.path)
        yield record


def _refuse_outside(record: Record, manifest: Path) -> None:
    for image in record.images:
        derived = [each.path for each in image.derived] if image.derived else ()
        for path in (image.path, *derived):
            if inner_path(path) is None:
                raise ManifestError(
                    f"{manifest} names {quoted(path)}, which is no path inside its folder: no run "
                    "of batchgen wrote that. Find out who did, and take the line out"
                )


def _with_derived(record: Record, line: Line | None) -> Record:
    """The record with what a later line says of files that were derived of its first image."""
    if not isinstance(line, DerivedLine):
        return record
    first = record.images[0]
    now = first.model_copy(update={"path": line.path, "derived": line.derived}).at(first.path)
    return record.model_copy(update={"images": (now, *record.images[1:])})
