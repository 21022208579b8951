"""The append-only journal of a run: one JSON line a write, sealed on opening, synced in groups.

Invariant: nothing that was written is ever changed or truncated. A torn tail is normal after a
crash; opening seals it with a newline, so that the next line stands alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from msgspec import MsgspecError, Struct, convert
from pydantic import ValidationError
from pydantic_core import from_json

from batchgen.errors import ManifestError, StorageError
from batchgen.output.lock import Lock
from batchgen.output.paths import open_regular, unusable
from batchgen.output.threads import run_executor
from batchgen.record import (
    FORMAT_VERSION,
    AttemptLine,
    DerivedLine,
    EndLine,
    Line,
    MovedLine,
    Record,
    RepairLine,
    RunLine,
)
from batchgen.text import quoted, system_reason

if TYPE_CHECKING:
    from msgspec.json import Decoder

Part = TypeVar("Part", bound=Struct)
MANIFEST_NAME = "manifest.jsonl"
KINDS: dict[str, type[Line]] = {
    "attempt": AttemptLine,
    "derived": DerivedLine,
    "end": EndLine,
    "moved": MovedLine,
    "record": Record,
    "repair": RepairLine,
    "run": RunLine,
}
ATTEMPT = b'{"kind": "attempt", '
RECORD = b'{"kind": "record", '
RUN = b'{"kind": "run", '
"""How lines of a manifest begin, as `Line.to_json` writes them."""
TASK_ID = b'"task_id": "'
SCAN_SIZE = 1 << 20
"""Bytes that are read at once for all lines."""
COPY_SIZE = 1 << 20
GROUP = 64
"""Most lines that one sync makes durable."""


@dataclass(slots=True, eq=False)
class _Waiting:  # compared by identity: equal lines are still two lines
    data: bytes
    durable: bool
    given: Callable[[], None] | None
    then: Callable[[], None] | None
    answer: asyncio.Future[int]
    """Where the line begins; cancelled with whoever waits for it."""
    offset: int = 0
    error: BaseException | None = None
    """What became of this line alone."""
    is_begun: bool = False
    over: asyncio.Future[None] | None = None
    """Made by a waiter who was cancelled while the line was written."""

    def tell(self, broken: StorageError | None) -> None:
        """The write has ended: this is what whoever waits has of it."""
        self.is_begun = False
        if self.over is not None and not self.over.done():
            self.over.set_result(None)
        if self.answer.done():
            return
        error = self.error or broken
        if error is None:
            self.answer.set_result(self.offset)
        else:
            self.answer.set_exception(error)


class Manifest:
    """Appends lines to one manifest; any number of coroutines may append at once."""

    def __init__(self, path: Path, descriptor: int, lock: Lock | None = None) -> None:
        self.path = path
        self._descriptor = descriptor
        self._lock = lock
        self._size = os.fstat(descriptor).st_size
        """Of the file, by what was read on opening and written since."""
        self._waiting: list[_Waiting] = []
        self._is_writing = False
        """Whether a group is being written, or about to be."""
        self._broken: StorageError | None = None

    @classmethod
    def open(cls, folder: Path, lock: Lock | None = None) -> Manifest:
        """Open the manifest of an output folder for appending, sealed.

        Args:
            lock: of the output, which the caller holds; looked at again before each write.

        Raises:
            OutputUnusable: it cannot be opened or sealed.
            StorageError: the disk is full.
        """
        path = folder / MANIFEST_NAME
        try:
            return cls(path, _open_sealed(path), lock)
        except OSError as error:
            raise unusable(f"{path} cannot be written", error) from error

    def close(self) -> None:
        """Close the file; everything that `append` returned for is in it."""
        os.close(self._descriptor)

    async def append(
        self,
        line: Line,
        *,
        durable: bool = True,
        given: Callable[[], None] | None = None,
        then: Callable[[], None] | None = None,
    ) -> int:
        """Write one line; with `durable`, return only when it survives a loss of power.

        Lines of coroutines that wait together share one sync. The line of a waiter that goes away
        is written all the same, now or with the next group. A write that has begun comes to its end
        whatever happens to its waiter, whose cancellation waits for it: two writes at a time could
        mix their lines, and the file must not be closed under one.

        Args:
            line: of any kind.
            durable: whether to sync.
            given: called in the thread that writes, just before; what it raises keeps the line from
                being written. Equal ones of lines that are written together are asked once.
            then: called in that thread when the line is written and durable.

        Returns:
            Where the line begins, in bytes.

        Raises:
            StorageError: the disk refused it, or the file is not the one that we wrote any more.
                Then it refuses all that follow: what the file holds, the next opening finds out.
            Exception: what `given` or `then` raised.
        """
        if self._broken is not None:
            raise self._broken
        loop = asyncio.get_running_loop()
        mine = _Waiting(line.to_json(), durable, given, then, loop.create_future())
        self._waiting.append(mine)
        if not self._is_writing:
            self._is_writing = True
            loop.call_soon(self._begin)  # not yet: who comes in this turn of the loop goes along
        try:
            return await mine.answer
        except asyncio.CancelledError:
            while mine.is_begun:
                mine.over = loop.create_future()
                with suppress(asyncio.CancelledError):
                    await mine.over
            raise

    def _begin(self) -> None:
        """Write the next group, if anybody is there who will wait for the end of it."""
        group = self._waiting[:GROUP]
        self._is_writing = not all(waiting.answer.done() for waiting in self._waiting)
        if not self._is_writing:
            return
        del self._waiting[:GROUP]
        for waiting in group:
            waiting.is_begun = True
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(run_executor(), self._write, group)
        writing.add_done_callback(lambda done: self._end(group, done))

    def _end(self, group: list[_Waiting], writing: asyncio.Future[None]) -> None:
        failure = writing.exception()
        told = group
        if failure is not None:
            self._broken = self._why(failure)
            is_foreseen = isinstance(failure, OSError | StorageError)
            group[0].error = self._broken if is_foreseen else failure
            told, self._waiting = [*group, *self._waiting], []
        for waiting in told:
            waiting.tell(self._broken)
        if failure is None:
            self._begin()

    def _why(self, failure: BaseException) -> StorageError:
        if isinstance(failure, StorageError):
            return failure
        reason = "was broken off in the middle of a write"
        if isinstance(failure, OSError):
            reason = f"could not be written: {system_reason(failure)}"
        why = StorageError(f"{self.path} {reason}")
        why.__cause__ = failure
        return why

    def _write(self, group: list[_Waiting]) -> None:
        self._require_ours()
        passed: list[Callable[[], None]] = []
        for waiting in group:
            if waiting.given is not None and waiting.given not in passed:
                try:
                    waiting.given()
                except Exception as error:  # noqa: BLE001  # the waiter's: it is told
                    waiting.error = error
                    continue
                passed.append(waiting.given)
            rest, waiting.offset = memoryview(waiting.data), self._size
            while rest:
                written = os.write(self._descriptor, rest)
                self._size += written
                rest = rest[written:]
        if any(waiting.durable and waiting.error is None for waiting in group):
            os.fdatasync(self._descriptor)
        for waiting in group:
            if waiting.then is not None and waiting.error is None:
                try:
                    waiting.then()
                except Exception as error:  # noqa: BLE001  # as above
                    waiting.error = error

    def _require_ours(self) -> None:
        """What we hold open can be moved under us: lines that nobody finds again are not on record.

        Raises:
            StorageError: the file of that name is not ours any more, or not as we left it.
        """
        held = os.fstat(self._descriptor)
        if held.st_nlink == 0:
            raise StorageError(f"{self.path} was deleted while the run wrote to it{self._rescue()}")
        try:
            named = self.path.lstat()
            is_ours = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            raise StorageError(
                f"{self.path} was moved away or replaced while the run wrote to it: put it back"
            )
        if held.st_size != self._size:
            raise StorageError(
                f"{self.path} was changed by somebody else while the run wrote to it: it has "
                f"{held.st_size} bytes, and the run left {self._size}"
            )
        if self._lock is not None:
            self._lock.require_held()

    def _rescue(self) -> str:
        """Give what a deleted manifest held a name again, for nothing else says what was paid."""
        copy = self.path.with_name(f".{MANIFEST_NAME}.rescue")
        try:
            _copy(self._descriptor, copy)
            for number in count():
                name = MANIFEST_NAME if number == 0 else f"{MANIFEST_NAME}.deleted~{number}"
                with suppress(FileExistsError):
                    os.link(copy, self.path.with_name(name))
                    break
            copy.unlink()
            sync_folder(self.path.parent)
        except OSError as error:
            return f", and could not be put back: {system_reason(error)}"
        return f"; what it held is there again as {self.path.with_name(name)}"


def _copy(descriptor: int, path: Path) -> None:
    """Copy what a descriptor holds into a new file, synced."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        at = 0
        while data := os.pread(descriptor, COPY_SIZE, at):
            file.write(data)
            at += len(data)
        file.flush()
        os.fsync(file.fileno())


def _open_sealed(path: Path) -> int:
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
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


def sync_folder(folder: str | Path) -> None:
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
    if data.startswith(RECORD):
        # Half the time of a look at its fields; what this refuses is looked at as any other line.
        # The validator itself, and no `suppress`: together a tenth of the time of a million.
        try:
            record: Record = Record.__pydantic_validator__.validate_json(data)
        except ValidationError:
            pass
        else:
            return record
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


def is_damaged(data: bytes) -> bool:
    """Whether a line that `parse_line` cannot read is neither empty nor of a kind to come."""
    fields = parse_object(data)
    if fields is None:
        return data.strip() != b""
    kind = fields.get("kind")
    return not isinstance(kind, str) or kind in KINDS


def refuse_later_format(fields: Mapping[str, Any], name: str) -> None:
    """Look at the version of a `run` line before anything else of it is believed.

    Raises:
        ManifestError: a later version of batchgen wrote it.
    """
    if fields.get("kind") != "run" or "version" not in fields:
        return
    version = fields["version"]
    if type(version) is not int:
        raise ManifestError(
            f"{name} has a run line whose version is {quoted(str(version))} and no whole number: "
            "no batchgen wrote that"
        )
    if version > FORMAT_VERSION:
        raise ManifestError(
            f"{name} was written by a later batchgen ({fields.get('batchgen_version')}, "
            f"format {version}); this one reads format {FORMAT_VERSION}: use that one, or give "
            "the job another output"
        )


def parse_object(data: bytes) -> dict[str, Any] | None:
    """The JSON object that a line holds, or None."""
    try:
        fields = from_json(data, cache_strings="none")  # as in `Line`
    except ValueError:
        fields = _parse_slowly(data)
    return fields if isinstance(fields, dict) else None


def parse_part(data: bytes, decoder: Decoder[Part]) -> Part | None:
    """Those fields of a line that a decoder asks for, in less than half the time of all of them.

    None if these are not there, or if any of the line cannot be read.
    """
    try:
        if data.isascii():  # as we write it; a decoder skips texts without a look at their UTF-8
            return decoder.decode(data)
    except (MsgspecError, RecursionError):
        pass
    fields, names = parse_object(data), decoder.type.__struct_fields__
    if fields is None:
        return None
    try:  # also of what the decoder refuses, as half a letter
        return convert({name: fields[name] for name in names if name in fields}, decoder.type)
    except (MsgspecError, UnicodeError):
        return None


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
        with open_manifest(path) as file:
            for data in file:
                line = parse_line(data)
                if line is not None:
                    yield line
    except OSError as error:
        raise cannot_be_read(path, error) from error


def cannot_be_read(path: Path, error: OSError) -> ManifestError:
    """Why a manifest cannot be read, and what to do where one is missing beside its images."""
    advice = ""
    if isinstance(error, FileNotFoundError) and _has_files(path.parent / "images"):
        advice = (
            f"; put it back, or let `batchgen verify --adopt {path.parent}` rebuild it from what "
            "the images say of themselves"
        )
    return ManifestError(f"{path} cannot be read: {system_reason(error)}{advice}")


def _has_files(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def require_lines(path: Path) -> None:
    """Refuse a file of which nothing can be read, before anything is written of it.

    Raises:
        ManifestError: it cannot be read, or holds no line of a run.
    """
    try:
        with open_manifest(path, buffering=1 << 20) as file:
            if any("kind" in (parse_object(data) or {}) for data in file):
                return
    except OSError as error:
        raise cannot_be_read(path, error) from error
    raise ManifestError(f"{path} holds no line of a run: it is empty, damaged, or no manifest")


def open_manifest(path: Path, buffering: int = -1) -> BinaryIO:
    """A manifest for reading.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device.
    """
    return os.fdopen(open_regular(path, os.O_RDONLY), "rb", buffering=buffering)
