"""The bytes of a data file, which every walk over a job's rows reads anew and finds unchanged."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
import threading
from pathlib import Path as File
from typing import Any, Protocol

from batchgen.errors import InputError
from batchgen.text import escaped, system_reason

CHUNK = 2**18
LONGEST_LINE = 2**20
"""Characters; more than any row has, and little to keep in memory."""


def open_at_once(path: str, flags: int) -> int:
    """Open a file for `open`, without waiting for somebody to write into a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


class DataFile(Protocol):
    """Where rows come from."""

    def open(self) -> io.BufferedReader:
        """A reader of all its bytes from the first one on.

        Raises:
            InputError: it cannot be read; a sentence says why.
        """


class RegularFile:
    """A file that must stay as it is while its job is planned and run."""

    def __init__(self, path: File) -> None:
        self.path = path
        self._state: tuple[int, ...] | None = None
        """What tells that it is the same: its number, size and time of change."""

    def open(self) -> io.BufferedReader:
        """See `DataFile`."""
        try:
            number = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            reason = system_reason(error) if isinstance(error, OSError) else str(error)
            raise InputError(f"cannot be read: {reason}") from error
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise InputError("is no regular file")
        return io.BufferedReader(_Unchanged(self, number), CHUNK)

    def require_same(self, number: int) -> None:
        """Refuse a file that another process wrote into, or replaced, since it was read first."""
        found = os.fstat(number)
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if self._state is None:
            self._state = state
        elif self._state != state:
            raise InputError(f"{escaped(str(self.path))} was changed after it was read first")


class _Unchanged(io.RawIOBase):
    """The bytes of a regular file, each piece of which is looked at for a change."""

    def __init__(self, file: RegularFile, number: int) -> None:
        self._file = file
        self._number = number
        file.require_same(number)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.readv(self._number, [buffer])
        self._file.require_same(self._number)
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._number)
        super().close()


class StandardInput:
    """What comes in once, kept in a temporary file as far as it was asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the job
        self._size = 0
        self._has_ended = False

    def __del__(self) -> None:
        self._spool.close()

    def open(self) -> io.BufferedReader:
        """See `DataFile`."""
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("is closed: pipe the rows in")
        if sys.stdin.isatty():
            raise InputError("is a terminal: pipe the rows in, or name a file")
        return io.BufferedReader(_Spooled(self), CHUNK)

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to so many bytes from there; none at the end."""
        with self._lock:
            while self._size <= offset and not self._has_ended:
                piece = os.read(sys.stdin.fileno(), CHUNK)
                self._has_ended = not piece
                os.pwrite(self._spool.fileno(), piece, self._size)
                self._size += len(piece)
            return os.pread(self._spool.fileno(), size, offset)


class _Spooled(io.RawIOBase):
    """One reading of the standard input from its beginning."""

    def __init__(self, source: StandardInput) -> None:
        self._source = source
        self._offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._source.read_at(self._offset, len(buffer))
        buffer[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)
