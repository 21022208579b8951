"""One writer for each output: a lock that the kernel holds and frees, however its holder ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchgen.errors import OutputBusy, OutputUnusable, StorageError
from batchgen.output.paths import open_regular, unusable
from batchgen.record import utc_now
from batchgen.text import system_reason

LOCK_NAME = "manifest.lock"


class Lock:
    """The lock of an output, held by this process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def require_held(self) -> None:
        """Whoever removes the file lets another run take a new one of that name.

        Raises:
            StorageError: the file that we hold is no longer the one of that name.
        """
        if not _is_current(self._descriptor, self.path):
            raise StorageError(
                f"{self.path} was removed or replaced while this run held it: "
                "another run may write to the same output"
            )


@contextmanager
def hold_lock(folder: Path) -> Iterator[Lock]:
    """Hold the output folder for the length of the block.

    The file stays behind: removing it would let two runs hold two files of one name. What it says
    of its holder is for the message only.

    Raises:
        OutputBusy: another run holds it.
        OutputUnusable: the lock file cannot be made.
    """
    path = folder / LOCK_NAME
    descriptor = _acquire(path)
    try:
        _sign(descriptor, path)
        yield Lock(path, descriptor)
    finally:
        os.close(descriptor)


def lock_holder(folder: Path) -> str | None:
    """Who holds an output folder, in words; None if nobody does. Nothing is made or written.

    Raises:
        OutputUnusable: the lock file cannot be read, or is none.
    """
    path = folder / LOCK_NAME
    try:
        descriptor = open_regular(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unusable(f"{path} cannot be read", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # freed again by the closing
    except BlockingIOError:
        return _describe(descriptor)
    except OSError as error:
        raise StorageError(f"{path} cannot be locked: {system_reason(error)}") from error
    finally:
        os.close(descriptor)
    return None


def _acquire(path: Path) -> int:
    """An open, locked descriptor of the file that has this name now."""
    while True:
        try:
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise unusable(f"{path} cannot be written", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = _describe(descriptor)
            os.close(descriptor)
            raise OutputBusy(f"Another run holds {path.parent}: {text}.") from None
        except OSError as error:
            os.close(descriptor)
            raise OutputUnusable(f"{path} cannot be locked: {system_reason(error)}") from error
        if _is_current(descriptor, path):
            return descriptor
        os.close(descriptor)  # somebody removed the file between the opening and the lock


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        named = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _sign(descriptor: int, path: Path) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _holder(), 0)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {system_reason(error)}") from error


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
