"""Before a run: can the output be written, is it free, is there room? Nothing is made."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batchgen.doctor.findings import Check, Finding
from batchgen.errors import ExitCode, StorageError
from batchgen.output import (
    LOCK_NAME,
    MANIFEST_NAME,
    SUPERSEDED,
    UNUSABLE,
    lock_holder,
    network_file_system,
)
from batchgen.policies import ROOM_FOR_LINES, ROOM_FOR_ONE
from batchgen.text import sentences

OUTPUT = Check("output")
LOCK = Check("lock")
DISK = Check("disk")
ROOM = Check("room")

IMAGE_BYTES = 2_000_000
"""Of one image, on the safe side: a PNG of a megapixel has about 1.5 MB."""
MB = 1_000_000
ENTRIES = (MANIFEST_NAME, LOCK_NAME, "images", SUPERSEDED, UNUSABLE)
"""What a run writes into, where it is there already."""


def look_at_output(folder: Path, tasks: int, concurrency: int) -> list[Finding]:
    """Look at an output folder, or at where it will be; blocks.

    Args:
        folder: the output.
        tasks: how many images are to be made.
        concurrency: calls in flight, each of which needs room set aside.
    """
    place = _place(folder)
    return [
        _writable(folder, place),
        _holder(folder),
        _disk(folder, place),
        _room(place, tasks, concurrency),
    ]


def _place(folder: Path) -> Path:
    """The folder itself, or the nearest thing above it that is there."""
    return next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())


def _writable(folder: Path, place: Path) -> Finding:
    if not place.is_dir():
        text = f"{folder} cannot be made: {place} is no folder"
        return OUTPUT.failed(ExitCode.RESUMABLE, sentences(text, "Name another output"))
    try:
        # Without a name where the system can do that, so that no other program sees it.
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"batchgen")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        text = f"{place} cannot be written: {error.strerror or error}"
        advice = "Free it, change its permissions, or name another output"
        return OUTPUT.failed(ExitCode.RESUMABLE, sentences(text, advice))
    for path in _closed(folder):
        advice = "Change its permissions, or run as the user who made it"
        return OUTPUT.failed(ExitCode.RESUMABLE, sentences(f"{path} may not be written", advice))
    where = "this folder" if place == Path() else place
    state = "can be written" if place == folder else f"can be made in {where}"
    return OUTPUT.ok(sentences(f"{folder} {state}"))


def _closed(folder: Path) -> Iterator[Path]:
    paths = (folder / name for name in ENTRIES)
    return (path for path in paths if path.exists() and not os.access(path, os.W_OK))


def _holder(folder: Path) -> Finding:
    try:
        holder = lock_holder(folder)
    except StorageError as error:
        return LOCK.failed(ExitCode.RESUMABLE, sentences(str(error)))
    if holder is None:
        return LOCK.ok(sentences("No other run holds the output"))
    advice = "Wait until it ends (`batchgen run --wait-lock 30m`), or name another output"
    return LOCK.failed(
        ExitCode.BUSY, sentences(f"Another run holds {folder}: {holder}", advice), holder=holder
    )


def _disk(folder: Path, place: Path) -> Finding:
    kind = network_file_system(place)
    if kind is None:
        return DISK.ok(sentences("The output is on no network file system that is known"))
    text = f"{folder} lies on a network file system ({kind}), where locks and syncs promise less"
    return DISK.warning(sentences(text, "A local disk is safer"), file_system=kind)


def _room(place: Path, tasks: int, concurrency: int) -> Finding:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return ROOM.failed(ExitCode.RESUMABLE, sentences(f"{place}: {error.strerror}"))
    if not tasks:
        return ROOM.ok(sentences(f"No image is to be made, and {_size(free)} are free"))
    need = tasks * IMAGE_BYTES + ROOM_FOR_LINES + ROOM_FOR_ONE * min(concurrency, tasks)
    text = (
        f"Images to make: {tasks}; with what is set aside for calls in flight they need about "
        f"{_size(need)}, and {_size(free)} are free"
    )
    if need > free:
        advice = "Free some space, or name an output on another disk"
        return ROOM.failed(ExitCode.RESUMABLE, sentences(text, advice), free=free, need=need)
    return ROOM.ok(sentences(text), free=free, need=need)


def _size(count: int) -> str:
    return f"{count / MB / 1000:,.1f} GB" if count >= MB * 1000 else f"{count / MB:,.0f} MB"
