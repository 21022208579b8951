"""How an image was made: the record of its bytes, in the nearest manifest that knows them.

An image is known by its hash, so it may have been copied or renamed since; a manifest may be
anybody's, so what it says is shown and never followed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from batchgen.errors import InputError, ManifestError
from batchgen.output.manifest import MANIFEST_NAME, open_manifest, parse_line, read_manifest
from batchgen.output.metadata.reading import embedded
from batchgen.output.paths import open_regular
from batchgen.output.read_history import load_history
from batchgen.record import DerivedFile, DerivedLine, MovedLine, Record, StoredImage
from batchgen.text import system_reason

ABOVE = 3
"""Folders above an image whose other folders are looked into."""
ENTRIES = 2_000
"""Entries of one folder that are looked at: it may be anything, a home or a system's folder."""
SNIFF = 16
SHA256 = re.compile(r"[0-9a-f]{64}")
IMAGE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The record of an image."""

    manifest: Path
    record: Record
    image: StoredImage
    path: str
    """Where the manifest says that the image lies now, below its output."""
    is_last: bool
    """Whether it is the last record of its task."""
    derived: DerivedFile | None = None
    """What the file is, if it was derived of the image; then `path` is its own."""


def hash_file(path: Path) -> str:
    """The sha256 of a regular file.

    Raises:
        InputError: it cannot be read, or is a link, a pipe or a device.
    """
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {system_reason(error)}.") from error


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest, or a folder that may hold one, and not an image.

    Raises:
        InputError: it cannot be read.
    """
    if path.is_dir():
        return True
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            start = file.read(SNIFF)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {system_reason(error)}.") from error
    if start.startswith(IMAGE_STARTS):
        return False
    return path.suffix == ".jsonl" or start.lstrip().startswith(b"{")


def find_origin(image: Path, manifest: Path | None = None) -> Origin | None:
    """The record that an image's bytes have in the nearest manifest; None if none knows them.

    Looked at are, in this order, the manifests of the folders above the image, then those in and
    below other folders there, and then those below the current folder.

    Args:
        image: a file of any name.
        manifest: the only one to look at; None: look around.

    Raises:
        InputError: the image cannot be read, or the given manifest.
    """
    own = hash_file(image)
    digests = frozenset((own, *_received(image)))
    if manifest is not None:
        return _search_derived(manifest, own) or _search(manifest, digests)
    for found in _manifests_near(image):
        try:
            origin = _search_derived(found, own) or _search(found, digests)
        except ManifestError:
            continue  # somebody else's, or a later version's
        if origin is not None:
            return origin
    return None


def find_named(image: Path) -> Origin | None:
    """The record that an image's place has in the manifest above it, whatever its bytes are now.

    Raises:
        ManifestError: the manifest cannot be read.
    """
    place = image.absolute()
    for folder in place.parents:
        manifest = folder / MANIFEST_NAME
        if manifest.is_file():
            return _search_name(manifest, place.relative_to(folder).as_posix())
    return None


def _search_name(manifest: Path, name: str) -> Origin | None:
    found: str | None = None
    for line in read_manifest(manifest):
        if isinstance(line, Record):
            if any(name in (image.path, *_beside(image)) for image in line.images):
                found = line.task_id
        elif isinstance(line, DerivedLine):
            if any(each.path == name for each in line.derived):
                found = line.task_id
        elif isinstance(line, MovedLine):
            if line.new_path == name:
                found = line.task_id
            elif line.path == name and line.task_id == found:
                found = None
    record = None if found is None else load_history(manifest).present(found)
    if record is None or not record.images:
        return None
    image = record.images[0]
    derived = next((each for each in image.derived if each.path == name), None)
    return Origin(
        manifest=manifest, record=record, image=image, path=name, is_last=True, derived=derived
    )


def _beside(image: StoredImage) -> Iterator[str]:
    return (each.path for each in image.derived)


def _received(image: Path) -> Iterator[str]:
    """The hash that a labelled image says it had when it came: it may have been labelled since."""
    with suppress(OSError):
        told = embedded(image)
        if told is not None and SHA256.fullmatch(told.received_sha256 or ""):
            yield str(told.received_sha256)


def _search_derived(manifest: Path, digest: str) -> Origin | None:
    """The record of the image that a file of this hash was derived of."""
    needle, found = digest.encode(), None
    try:
        with open_manifest(manifest, buffering=1 << 20) as file:
            for data in file:
                if needle in data:
                    line = parse_line(data)
                    made = line.images if isinstance(line, Record) else (line,)
                    if any(each.sha256 == digest for one in made for each in _derived(one)):
                        found = str(getattr(line, "task_id", ""))
    except OSError as error:
        raise ManifestError(f"{manifest} cannot be read: {system_reason(error)}") from error
    record = None if found is None else load_history(manifest).present(found)
    for image in () if record is None else record.images[:1]:
        for each in image.derived:
            if each.sha256 == digest and record is not None:
                return Origin(manifest=manifest, record=record, image=image, path=each.path,
                              is_last=True, derived=each)  # fmt: skip
    return None


def _derived(holder: object) -> tuple[DerivedFile, ...]:
    """What an image, or a line, says of derived files."""
    return holder.derived if isinstance(holder, StoredImage | DerivedLine) else ()


def _search(manifest: Path, digests: frozenset[str]) -> Origin | None:
    """The last record with an image of one of these hashes, and where that lies now."""
    wanted = [digest.encode() for digest in digests]
    needle = wanted[0]
    found: tuple[Record, StoredImage] | None = None
    path, is_last = "", True
    try:
        with open_manifest(manifest, buffering=1 << 20) as file:
            for data in file:
                if needle not in data and not any(each in data for each in wanted):
                    continue  # a million others, which need no parsing
                line = parse_line(data)
                if isinstance(line, Record):
                    image = next(
                        (
                            each
                            for each in line.images
                            if not digests.isdisjoint((each.sha256, each.received_sha256))
                        ),
                        None,
                    )
                    if image is not None:
                        found, path, is_last = (line, image), image.path, True
                        needle = json.dumps(line.task_id).encode()
                    elif found is not None and line.task_id == found[0].task_id:
                        is_last = False
                elif isinstance(line, MovedLine) and found is not None and line.path == path:
                    path = line.new_path if line.task_id == found[0].task_id else path
    except OSError as error:
        raise ManifestError(f"{manifest} cannot be read: {system_reason(error)}") from error
    if found is None:
        return None
    record, image = found
    return Origin(manifest=manifest, record=record, image=image, path=path, is_last=is_last)


def _manifests_near(image: Path) -> Iterator[Path]:
    """The manifests around an image, the nearest first, each once."""
    folder = image.absolute().parent
    above = (folder, *folder.parents)
    places = chain(
        above,
        *(chain.from_iterable(_below(place)) for place in above[:ABOVE]),
        *_below(Path.cwd()),
    )
    seen = set()
    for place in places:
        manifest = place / MANIFEST_NAME
        if manifest not in seen:
            seen.add(manifest)
            if manifest.is_file():
                yield manifest


def _below(folder: Path) -> tuple[Iterator[Path], Iterator[Path]]:
    """The folders in a folder, and those in these."""
    return _folders(folder), (inner for each in _folders(folder) for inner in _folders(each))


def _folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, ENTRIES):
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    yield Path(entry.path)
    except OSError:
        return
