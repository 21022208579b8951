"""Before a run: can the output be written, is it free, is there room? Nothing is made."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batchgen.doctor.findings import Check, Finding
from batchgen.errors import ExitCode, OutputUnusable, StorageError
from batchgen.output import (
    LOCK_NAME,
    MANIFEST_NAME,
    SUPERSEDED,
    UNUSABLE,
    lock_holder,
    network_file_system,
    require_limits,
)
from batchgen.policies import ROOM_FOR_LINES, ROOM_FOR_ONE
from batchgen.text import sentences, system_reason

OUTPUT = Check("output")
LOCK = Check("lock")
DISK = Check("disk")
ROOM = Check("room")

IMAGE_BYTES = 2_000_000
"""Of one image, on the safe side: a PNG of a megapixel has about 1.5 MB."""
MB = 1_000_000
FILES = (MANIFEST_NAME, LOCK_NAME)
FOLDERS = ("images", SUPERSEDED, UNUSABLE)
"""What a run writes into, where it is there already; it follows no link there."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that takes files again when somebody frees it; all others stay as they are."""


def look_at_output(folder: Path, tasks: int, concurrency: int) -> list[Finding]:
    """Look at an output folder, or at where it will be; blocks.

    Args:
        folder: the output.
        tasks: how many images are to be made.
        concurrency: calls in flight, each of which needs room set aside.
    """
    try:
        place = _place(folder)
    except OSError as error:
        text = f"{folder} cannot be made: {system_reason(error)}"
        return [OUTPUT.failed(ExitCode.USAGE, sentences(text, "Name another output"))]
    return [
        _writable(folder, place),
        _holder(folder),
        _disk(folder, place),
        _room(place, tasks, concurrency),
    ]


def _place(folder: Path) -> Path:
    """The folder itself, or the nearest thing above it that is there.

    Raises:
        OSError: no such place can be: its name is too long, or a link leads in a circle.
    """
    for path in (folder, *folder.parents):
        try:
            path.lstat()
            path.stat()
        except NotADirectoryError:
            continue  # below a file, which is looked at next
        except FileNotFoundError:
            if path.is_symlink():
                raise
            continue
        return path
    return Path()


def _writable(folder: Path, place: Path) -> Finding:
    if not place.is_dir():
        text = f"{folder} cannot be made: {place} is no folder"
        return OUTPUT.failed(ExitCode.USAGE, sentences(text, "Name another output"))
    try:
        # Without a name where the system can do that, so that no other program sees it.
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"batchgen")
            file.flush()
            os.fsync(file.fileno())
        trouble = next(_troubles(folder), None)
    except OSError as error:
        text = f"{place} cannot be written: {system_reason(error)}"
        advice = "Free it, change its permissions, or name another output"
        code = ExitCode.RESUMABLE if error.errno in FULL else ExitCode.USAGE
        return OUTPUT.failed(code, sentences(text, advice))
    if trouble is not None:
        return OUTPUT.failed(ExitCode.USAGE, sentences(trouble, "Move it, or name another output"))
    where = "this folder" if place == Path() else place
    state = "can be written" if place == folder else f"can be made in {where}"
    return OUTPUT.ok(sentences(f"{folder} {state}"))


def _troubles(folder: Path) -> Iterator[str]:
    """What lies in the place of something that a run writes, and cannot be written."""
    for name in (*FILES, *FOLDERS):
        path = folder / name
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        right = stat.S_ISREG(mode) if name in FILES else stat.S_ISDIR(mode)
        if not right:
            what = "a link" if stat.S_ISLNK(mode) else "none"
            yield f"{path} should be a {'file' if name in FILES else 'folder'}, and is {what}"
        elif not os.access(path, os.W_OK):
            yield f"{path} may not be written by the user of this process"


def _holder(folder: Path) -> Finding:
    if not _is_file(folder / LOCK_NAME):
        return LOCK.ok(sentences("No other run holds the output"))
    try:
        holder = lock_holder(folder)
    except StorageError as error:
        return LOCK.failed(ExitCode.USAGE, sentences(str(error)))
    if holder is None:
        return LOCK.ok(sentences("No other run holds the output"))
    advice = "Wait until it ends (`batchgen run --wait-lock 30m`), or name another output"
    return LOCK.failed(
        ExitCode.BUSY, sentences(f"Another run holds {folder}: {holder}", advice), holder=holder
    )


def _is_file(path: Path) -> bool:
    """Whether a regular file lies there: opening a pipe would wait for ever."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _disk(folder: Path, place: Path) -> Finding:
    kind = network_file_system(place)
    if kind is None:
        return DISK.ok(sentences("The output is on no network file system that is known"))
    text = f"{folder} lies on a network file system ({kind}), where locks and syncs promise less"
    return DISK.warning(sentences(text, "A local disk is safer"), file_system=kind)


def _room(place: Path, tasks: int, concurrency: int) -> Finding:
    try:
        free = shutil.disk_usage(place).free
        require_limits(place, concurrency)
    except OSError as error:
        return ROOM.failed(ExitCode.USAGE, sentences(f"{place}: {system_reason(error)}"))
    except OutputUnusable as error:
        return ROOM.failed(ExitCode.USAGE, str(error))
    except StorageError as error:
        return ROOM.failed(ExitCode.RESUMABLE, str(error))
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
