"""The records of a manifest that can be made again: those whose images are the present ones.

The manifest may be anybody's and of any size: it is read once from its start to its end, what is
kept of a record is where it stands, and the record itself is read again when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.errors import ManifestError
from batchgen.output.manifest import (
    MANIFEST_NAME,
    cannot_be_read,
    is_damaged,
    open_manifest,
    parse_line,
    parse_object,
    refuse_later_format,
)
from batchgen.output.paths import inner_path, open_regular, refuse_links
from batchgen.output.store import SUPERSEDED
from batchgen.record import MovedLine, Record, RunLine
from batchgen.text import closest, did_you_mean, quoted


@dataclass(slots=True)
class _Place:
    """One record of the manifest."""

    offset: int
    path: str | None
    """Where its first image is now; None if it has none, or it is not known any more."""
    owner: bytes
    """The task it is of."""
    is_replaced: bool = False
    """Whether another image has its name."""


@dataclass(slots=True)
class Originals:
    """The last record of each task of a manifest, or of one of its runs, in the order of writing.

    A record whose image made room for another one is not among them, unless its run was named.
    """

    manifest: Path
    job_name: str | None = None
    job_files: dict[str, str | None] = field(default_factory=dict)
    """Run id -> the job file that it names."""
    unreadable: int = 0
    """Lines that are no line of a manifest, a torn tail included."""
    made_room: int = 0
    """Records that are left out, for their images lie in `superseded/` or lost their names."""
    moved: dict[str, str] = field(default_factory=dict)
    """Task id -> where its image lies since it moved."""
    places: list[_Place] = field(default_factory=list)
    """What is kept of each."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def folder(self) -> Path:
        """The output that the manifest is of."""
        return self.manifest.parent

    def read(self, indices: Iterable[int] | None = None) -> Iterator[Record]:
        """The records with these running indices, each with its first image's present path.

        Raises:
            ManifestError: the manifest has changed since it was read.
        """
        wanted = range(len(self)) if indices is None else indices
        try:
            with open_manifest(self.manifest) as file:
                for index in wanted:
                    place = self.places[index]
                    file.seek(place.offset)
                    record = parse_line(file.readline())
                    if (
                        not isinstance(record, Record)
                        or record.task_id.encode(errors="replace") != place.owner
                    ):
                        raise ManifestError(
                            f"{self.manifest} was changed while it was read: start again"
                        )
                    yield _at(record, place.path)
        except OSError as error:
            raise cannot_be_read(self.manifest, error) from error


def read_image(folder: Path, path: str, most: int) -> bytes:
    """The bytes of an image file of an output folder.

    Args:
        folder: of the output.
        path: as a manifest names it, and therefore looked at.
        most: bytes; a larger file is not read.

    Raises:
        OSError: it cannot be read, or is a link, a pipe, a device, or larger.
    """
    if inner_path(path) is None:
        raise OSError(0, "its path leaves the output")
    refuse_links(folder, path)
    with os.fdopen(open_regular(folder / path, os.O_RDONLY), "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"it has more than the {most} bytes that it had")
    return data


def read_originals(path: Path, run_id: str | None = None) -> Originals:
    """What a manifest holds; blocks.

    Args:
        path: of a manifest, or of the output folder that holds it.
        run_id: of the only run whose records count, whatever became of their names since.

    Raises:
        ManifestError: it cannot be read, is no manifest, has no run of this id, names a path that
            leaves its folder, or was written by a later version.
    """
    manifest = path / MANIFEST_NAME if path.is_dir() else path
    reader = _Reader(Originals(manifest), run_id)
    try:
        with open_manifest(manifest, buffering=1 << 20) as file:
            reader.read(file)
    except OSError as error:
        raise cannot_be_read(manifest, error) from error
    return reader.finished()


def _at(record: Record, path: str | None) -> Record:
    """The record with its first image where it is now."""
    if not record.images or path is None:
        return record
    first = record.images[0].at(path)
    return record.model_copy(update={"images": (first, *record.images[1:])})


class _Reader:
    """Folds the lines of a manifest into its originals."""

    def __init__(self, found: Originals, run_id: str | None) -> None:
        self._found = found
        self._run_id = run_id
        self._records: dict[bytes, _Place] = {}
        """Task id -> its last record that counts."""
        self._names: dict[str, _Place] = {}
        """Path -> the record whose image has this name now."""
        self._lines = 0

    def read(self, lines: Iterable[bytes]) -> None:
        """Fold all lines in."""
        offset = 0
        for data in lines:
            self._lines += data.strip() != b""
            fields = parse_object(data)
            if fields is not None:
                refuse_later_format(fields, str(self._found.manifest))
            line = None if fields is None else parse_line(data)
            if line is None:
                self._found.unreadable += is_damaged(data)
            elif isinstance(line, Record):
                self._record(line, offset)
            elif isinstance(line, MovedLine):
                self._moved(line)
            elif isinstance(line, RunLine):
                self._found.job_name = line.job_name
                self._found.job_files[line.run_id] = line.job_file
            offset += len(data)

    def finished(self) -> Originals:
        """What was found.

        Raises:
            ManifestError: nothing, or not the run that was asked for.
        """
        found, run_id = self._found, self._run_id
        places = list(self._records.values())
        if not places:
            self._refuse()
        if run_id is None:
            found.places = [each for each in places if _has_its_name(each)]
        else:
            found.places = places
        found.places = sorted(found.places, key=lambda place: place.offset)
        found.made_room = len(places) - len(found.places)
        return found

    def _refuse(self) -> None:
        found, run_id = self._found, self._run_id
        name = found.manifest
        if not self._lines:
            raise ManifestError(f"{name} is empty: it says of no image how it was made")
        if not found.job_files and found.unreadable == self._lines:
            raise ManifestError(f"{name} is no manifest of batchgen: no line of it can be read")
        if run_id is not None:
            near = did_you_mean(closest(run_id, found.job_files))
            raise ManifestError(f"{name} holds no record of a run {quoted(run_id)}{near}")
        raise ManifestError(f"{name} holds no record: no task of its runs was finished")

    def _record(self, record: Record, offset: int) -> None:
        """Take in a record; its image has its name from now on, and no other one has it."""
        owner = record.task_id.encode(errors="replace")
        paths = [self._inside(image.path, offset) for image in record.images]
        path = paths[0] if paths else None
        place = _Place(offset, path, owner)
        for each in paths:
            earlier = self._names.get(each)
            if earlier is not None and earlier.path == each:
                earlier.path, earlier.is_replaced = None, True
            self._names[each] = place
        if self._run_id in (None, record.run_id):
            self._records[owner] = place

    def _moved(self, line: MovedLine) -> None:
        owner = line.task_id.encode(errors="replace")
        path, new_path = (self._inside(each, None) for each in (line.path, line.new_path))
        self._found.moved[line.task_id] = new_path
        place = self._names.get(path)
        if place is not None and place.owner == owner:
            del self._names[path]
            place.path = new_path
            self._names[new_path] = place

    def _inside(self, value: str, offset: int | None) -> str:
        path = inner_path(value)
        if path is None:
            where = "" if offset is None else f" in its line at byte {offset}"
            raise ManifestError(
                f"{self._found.manifest} names {quoted(value)}{where}, which is no path inside the "
                "output: no run of batchgen wrote that. Find out who did, and take the line out"
            )
        return path


def _has_its_name(place: _Place) -> bool:
    """Whether its image is the present one of its name; what has no image lost none."""
    return not place.is_replaced and not (place.path or "").startswith(f"{SUPERSEDED}/")
