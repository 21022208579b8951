"""The records of a manifest, with the paths that their images have now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchgen.errors import ManifestError
from batchgen.output.history import ATTEMPT, RECORD, TASK_ID, compact
from batchgen.output.manifest import (
    MANIFEST_NAME,
    open_manifest,
    parse_line,
    parse_object,
    refuse_later_format,
)
from batchgen.output.paths import inner_path
from batchgen.record import DerivedLine, Line, Record
from batchgen.text import quoted, system_reason


@dataclass(slots=True)
class _Index:
    """What the whole of a manifest says of its records."""

    path: Path
    last: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of its last record."""
    moves: dict[tuple[str, str], list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Task id and path -> offsets of the lines that moved the file, and where to."""

    derived: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Compact task id -> offsets of the lines that say what is derived of its image."""

    def take(self, offset: int, data: bytes) -> None:
        """Look at one line."""
        if data.startswith(ATTEMPT):
            return
        if data.startswith(RECORD) and (start := data.find(TASK_ID)) >= 0:
            start += len(TASK_ID)
            self._record(data[start : data.find(b'"', start)].decode(errors="replace"), offset)
            return
        fields = parse_object(data) or {}
        refuse_later_format(fields, str(self.path))
        if fields.get("kind") == "record":
            self._record(str(fields.get("task_id")), offset)
        elif fields.get("kind") == "moved":
            key = (str(fields.get("task_id")), str(fields.get("path")))
            self.moves[key].append((offset, str(fields.get("new_path"))))
        elif fields.get("kind") == "derived":
            self.derived[compact(str(fields.get("task_id")))].append(offset)
        elif fields.get("kind") == "repair":
            self._repair(fields, offset)

    def _repair(self, fields: dict[str, Any], offset: int) -> None:
        task_id = fields.get("task_id")
        if not isinstance(task_id, str):
            return
        self.last.pop(compact(task_id), None)
        files = fields.get("files")
        for each in files if isinstance(files, list) else ():
            if isinstance(each, dict):
                key = (task_id, str(each.get("path")))
                self.moves[key].append((offset, str(each.get("new_path"))))

    def _record(self, task_id: str, offset: int) -> None:
        self.last[compact(task_id)] = offset

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


def read_records(path: Path, *, last: bool = False) -> Iterator[Record]:
    """The records of a manifest in the order of writing; lines that cannot be read are left out.

    A file that was moved since its record was written has the path that it has now.

    Args:
        path: of the manifest; read twice.
        last: only the last record of each task, which is the one that counts.

    Raises:
        ManifestError: it cannot be read, a later version of batchgen wrote it, or a record names a
            file outside its folder.
    """
    index = _Index(path)
    try:
        with open_manifest(path, buffering=1 << 20) as file:
            offset = 0
            for data in file:
                index.take(offset, data)
                offset += len(data)
        with open_manifest(path, buffering=1 << 20) as file:
            yield from _records(file, index, last=last)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {system_reason(error)}") from error


def _records(file: Any, index: _Index, *, last: bool) -> Iterator[Record]:
    offset = 0
    while data := file.readline():
        here, offset = offset, offset + len(data)
        if data.startswith(ATTEMPT):
            continue
        line = parse_line(data)
        if not isinstance(line, Record):
            continue
        if not last or index.last.get(compact(line.task_id)) == here:
            at = index.derived_after(line, here)
            if at is not None:
                file.seek(at)
                line = _with_derived(line, parse_line(file.readline()))
                file.seek(offset)
            record = index.present(line, here)
            _refuse_outside(record, index.path)
            yield record


def _refuse_outside(record: Record, manifest: Path) -> None:
    for image in record.images:
        for path in (image.path, *(each.path for each in image.derived)):
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
