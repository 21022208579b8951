"""One writer for each output: a lock that the kernel holds and frees, however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchgen.errors import OutputBusy, StorageError
from batchgen.record import utc_now

LOCK_NAME = "manifest.lock"


@contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Hold the output folder for the length of the block.

    The file stays behind: removing it would let two runs hold two files of one name. What it says
    of its holder is for the message only.

    Raises:
        OutputBusy: another run holds it.
        StorageError: the lock file cannot be made.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    try:
        _sign(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def lock_holder(folder: Path) -> str | None:
    """Who holds an output folder, in words; None if nobody does. Nothing is made or written.

    Raises:
        StorageError: the lock file cannot be read.
    """
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # freed again by the closing
    except BlockingIOError:
        return _describe(descriptor)
    except OSError as error:
        raise StorageError(f"{path} cannot be locked: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return None


def _acquire(path: Path) -> int:
    """An open, locked descriptor of the file that has this name now."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = _describe(descriptor)
            os.close(descriptor)
            raise OutputBusy(f"Another run holds {path.parent}: {text}.") from None
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{path} cannot be locked: {error.strerror}") from error
        if _is_current(descriptor, path):
            return descriptor
        os.close(descriptor)  # somebody removed the file between the opening and the lock


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _sign(descriptor: int, path: Path) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _holder(), 0)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def _holder() -> bytes:
    started = utc_now().isoformat(timespec="seconds").replace("+00:00", "Z")
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started_at": started}
    return json.dumps(holder).encode() + b"\n"


def _describe(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']}, started {holder['started_at']}"
    except (ValueError, KeyError, TypeError, OSError):
        return "a run that is just starting"
