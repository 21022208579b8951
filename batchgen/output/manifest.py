"""The append-only journal of a run: one JSON line a write, sealed on opening, synced in groups.

Invariant: nothing that was written is ever changed or truncated. A torn tail is normal after a
crash; opening seals it with a newline, so that the next line stands alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from batchgen.errors import ManifestError, StorageError
from batchgen.output.threads import in_thread
from batchgen.record import (
    FORMAT_VERSION,
    AttemptLine,
    EndLine,
    Line,
    MovedLine,
    Record,
    RunLine,
)
from batchgen.text import system_reason

MANIFEST_NAME = "manifest.jsonl"
KINDS: dict[str, type[Line]] = {
    "attempt": AttemptLine,
    "end": EndLine,
    "moved": MovedLine,
    "record": Record,
    "run": RunLine,
}
GROUP = 64
"""Most lines that one sync makes durable."""


@dataclass(slots=True, eq=False)
class _Waiting:  # compared by identity: equal lines are still two lines
    data: bytes
    durable: bool
    written: bool = field(default=False)


class Manifest:
    """Appends lines to one manifest; any number of coroutines may append at once."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._commit_lock = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._broken: StorageError | None = None

    @classmethod
    def open(cls, folder: Path) -> Manifest:
        """Open the manifest of an output folder for appending, sealed.

        The caller holds the output's lock.

        Raises:
            StorageError: it cannot be opened or sealed.
        """
        path = folder / MANIFEST_NAME
        try:
            return cls(path, _open_sealed(path))
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {system_reason(error)}") from error

    def close(self) -> None:
        """Close the file; everything that `append` returned for is in it."""
        os.close(self._descriptor)

    async def append(self, line: Line, *, durable: bool = True) -> None:
        """Write one line; with `durable`, return only when it survives a loss of power.

        Lines of coroutines that wait together share one sync. The line of a waiter that goes away
        is written all the same, now or with the next group.

        Raises:
            StorageError: the disk refused it. Then it refuses all that follow: after a failed sync
                nobody knows what the file holds, and the next opening finds out.
        """
        mine = _Waiting(line.to_json(), durable)
        self._waiting.append(mine)
        while not mine.written:
            async with self._commit_lock:
                if self._broken is not None:
                    raise self._broken
                if mine in self._waiting:
                    await _finished(self._commit())

    async def _commit(self) -> None:
        group = self._waiting[:GROUP]
        del self._waiting[:GROUP]
        try:
            await in_thread(_write_group, self._descriptor, group)
        except OSError as error:
            self._broken = StorageError(f"{self.path} could not be written: {system_reason(error)}")
            raise self._broken from error
        except BaseException:
            self._broken = StorageError(f"{self.path} was broken off in the middle of a write")
            raise
        for waiting in group:
            waiting.written = True


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Let work come to its end whatever happens to the waiter, whose cancellation waits for it.

    Two writes at a time could mix their lines, and the file must not be closed under one.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # looked at: the next to append is told of it
        raise cancelled
    task.result()


def _write_group(descriptor: int, group: list[_Waiting]) -> None:
    for waiting in group:
        rest = memoryview(waiting.data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    if any(waiting.durable for waiting in group):
        os.fdatasync(descriptor)


def _open_sealed(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        _seal(descriptor)
        sync_folder(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _seal(descriptor: int) -> None:
    """Add a newline if the last byte is none: a line that was cut by a crash must end.

    Synced in any case: what a killed run wrote last can be read now, and be gone with the power.
    """
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")
    os.fdatasync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_line(data: bytes) -> Line | None:
    """One line of a manifest; None for a torn one and for a kind that a later version added.

    Raises:
        ManifestError: a `run` line of a format that this version does not know.
    """
    fields = parse_object(data)
    if fields is None:
        return None
    refuse_later_format(fields, "the manifest")
    shape = KINDS.get(str(fields.get("kind")))
    if shape is None:
        return None
    try:
        return shape.model_validate(fields)
    except ValidationError:
        return None


def refuse_later_format(fields: Mapping[str, Any], name: str) -> None:
    """Look at the version of a `run` line before anything else of it is believed.

    Raises:
        ManifestError: a later version of batchgen wrote it.
    """
    version = fields.get("version")
    if fields.get("kind") == "run" and isinstance(version, int) and version > FORMAT_VERSION:
        raise ManifestError(
            f"{name} was written by a later batchgen ({fields.get('batchgen_version')}, "
            f"format {version}); this one reads format {FORMAT_VERSION}: use that one, or give "
            "the job another output"
        )


def parse_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds, or None."""
    try:
        fields = from_json(data)
    except ValueError:
        fields = _parse_slowly(data)
    return fields if isinstance(fields, dict) else None


def _parse_slowly(data: bytes) -> Any:
    """What the fast parser refuses: lone surrogates, as a service's message may hold, and depth."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def read_manifest(path: Path) -> Iterator[Line]:
    """Every readable line of a manifest, in the order of writing.

    Raises:
        ManifestError: it cannot be read at all, or a later version wrote it.
    """
    try:
        with path.open("rb") as file:
            for data in file:
                line = parse_line(data)
                if line is not None:
                    yield line
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
