"""What earlier runs left in a manifest, small enough to hold for a million tasks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nlargest
from itertools import repeat
from operator import and_, eq
from pathlib import Path
from typing import BinaryIO

from batchgen.errors import ManifestError
from batchgen.output.made import Made, read_made
from batchgen.output.manifest import SCAN_SIZE, open_manifest, parse_line
from batchgen.record import DerivedLine, Record, Reseed, Status, is_simulated
from batchgen.task import compact
from batchgen.text import quoted, system_reason

ZERO = Decimal(0)
STATUSES = tuple(Status)
MADE = STATUSES.index(Status.SUCCEEDED)
SIMULATED = 4
"""Bit of an entry whose record a simulator made."""
FLAG_BITS = 3
"""Bits of an entry that hold the index of its status and SIMULATED; the rest is the offset of its
line."""
FLAGS = (1 << FLAG_BITS) - 1
LATEST: dict[int, tuple[Status | None, bool]] = {
    service | code: (status, service == SIMULATED)
    for service in (0, SIMULATED)
    for code, status in enumerate(STATUSES)
}
"""What the flags of an entry say: the status, and whether a simulator made it."""
NO_RECORD = (None, False)
NO_ENTRY = -1
"""With flags that no entry has."""
READ_SIZE = 4096
"""Bytes that are read at once for single records."""
WINDOW, BEFORE = 1 << 19, 1 << 17
"""Bytes that are read at once for records that are near to each other, and those of them before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """What a run with `--fresh` chose to make again, until that is done."""

    run_id: str
    start: int
    """Offset of the run's line: a record before it is to be made again."""
    only: tuple[str, ...]
    limit: int | None


@dataclass(slots=True)
class History:
    """The latest record of each task, and what was spent since the last run that finished."""

    path: Path
    entries: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of its last record's line and, in the lowest bits, its status."""
    moved: dict[str, str] = field(default_factory=dict)
    """Task id -> where its file went after its last record."""
    last_move: tuple[str, str] | None = None
    """The two paths of the last move, which a kill may have cut short."""
    last_moved: str | None = None
    """Id of the task whose file that was."""
    derived: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of the line that says what there is of sizes and formats of its
    image, where that followed its last record."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Task id -> attempts without a record of a run that did not end: maybe paid."""
    job_name: str | None = None
    random_seed_key: str | None = None
    accounts: dict[bool, Decimal] = field(default_factory=lambda: {False: ZERO, True: ZERO})
    """Whether it is the simulator's -> USD billed or maybe billed since the job was finished."""
    paid_unanswered: set[str] = field(default_factory=set)
    """Those of `unanswered` that no simulator was asked for."""
    reseeds: tuple[Reseed, ...] = ()
    """Every `--reseed` so far."""
    refreshes: list[Refresh] = field(default_factory=list)
    """Those that did not come to their end."""
    proven: dict[str | None, dict[str, float]] = field(default_factory=dict)
    """Route, None without routes -> model id -> calls a minute that the last run proved there."""
    unreadable: int = 0
    """Lines that are no JSON object, a torn tail included."""

    def __len__(self) -> int:
        """How many tasks have a record."""
        return len(self.entries)

    @property
    def spent(self) -> Decimal:
        """USD billed or maybe billed since the job was finished, by the simulator too."""
        return sum(self.accounts.values(), ZERO)

    def status(self, task_id: str) -> Status | None:
        """The status of a task's last record; None without one."""
        return self.latest(task_id)[0]

    def latest(self, task_id: str) -> tuple[Status | None, bool]:
        """The status of a task's last record, None without one, and whether a simulator made it."""
        entry = self.entries.get(compact(task_id))
        return NO_RECORD if entry is None else LATEST[entry & FLAGS]

    def made_by(self, compact_ids: Iterable[bytes], *, simulated: bool) -> Iterator[bool]:
        """Whether the last record of each of these tasks is of an image that this service made."""
        entries = map(self.entries.get, compact_ids, repeat(NO_ENTRY))
        made = MADE | (SIMULATED if simulated else 0)
        return map(eq, map(and_, entries, repeat(FLAGS)), repeat(made))

    def offset(self, task_id: str) -> int:
        """Where a task's last record stands in the manifest; -1 without one."""
        return self.entries.get(compact(task_id), -1) >> FLAG_BITS

    def require_service(self, endpoint: str) -> None:
        """A simulated picture must not take the place of one that was paid for.

        Raises:
            ManifestError: a simulated run into an output that holds real pictures.
        """
        if is_simulated(endpoint) and (self.paid_unanswered or self._holds_real_images()):
            raise self.of_another_service(endpoint)

    def of_another_service(self, endpoint: str) -> ManifestError:
        """Why a simulated run is refused."""
        return ManifestError(
            f"{self.path.parent} holds pictures of the real service, and {endpoint} is a "
            "simulator: give the simulated run an output of its own with --output."
        )

    def _holds_real_images(self) -> bool:
        return any(entry & FLAGS == MADE for entry in self.entries.values())

    def require_job(self, name: str) -> None:
        """An output belongs to one job: another one's names and seeds would mix with its images.

        Raises:
            ManifestError: the runs before were of another job.
        """
        if self.job_name is not None and self.job_name != name:
            raise ManifestError(
                f"{self.path.parent} holds the images of the job {quoted(self.job_name)}, and this "
                f"job is {quoted(name)}: give it an output of its own."
            )

    def record(self, task_id: str) -> Record | None:
        """The last record of a task as it was written; `moved` tells where its file is now."""
        data = self.line(task_id)
        line = None if data is None else parse_line(data)
        return line if isinstance(line, Record) else None

    def present(self, task_id: str) -> Record | None:
        """The last record of a task, with the path that its image has now."""
        record = self.record(task_id)
        return None if record is None else self.placed(record)

    def placed(self, record: Record) -> Record:
        """A last record with the path that its image has now, and with what is derived of it."""
        path, offset = self.moved.get(record.task_id), self.derived.get(compact(record.task_id))
        if not record.images or (path is None and offset is None):
            return record
        first = record.images[0]
        line = None if offset is None else parse_line(self._line_at(offset))
        if isinstance(line, DerivedLine):
            first = first.model_copy(update={"path": line.path, "derived": line.derived})
            first = first.at(record.images[0].path)
        if path is not None:
            first = first.at(path)
        return record.model_copy(update={"images": (first, *record.images[1:])})

    def record_at(self, offset: int) -> Record | None:
        """The record whose line begins here; None if it cannot be read any more."""
        line = parse_line(self._line_at(offset))
        return line if isinstance(line, Record) else None

    def _line_at(self, offset: int) -> bytes:
        try:
            with open_manifest(self.path, buffering=READ_SIZE) as file:
                file.seek(offset)
                return file.readline()
        except OSError:
            return b""

    def counts(self) -> dict[Status, int]:
        """How many tasks have a last record of each status."""
        found = Counter(entry & (SIMULATED - 1) for entry in self.entries.values())
        return {status: found[code] for code, status in enumerate(STATUSES)}

    def last_records(self) -> Iterator[Record]:
        """The last record of each task that can still be read, in the order of writing.

        Raises:
            ManifestError: the manifest cannot be read any more.
        """
        try:
            with open_manifest(self.path, buffering=SCAN_SIZE) as file:
                for offset in sorted(entry >> FLAG_BITS for entry in self.entries.values()):
                    file.seek(offset)
                    line = parse_line(file.readline())
                    if isinstance(line, Record):
                        yield line
        except OSError as error:
            raise ManifestError(f"{self.path} cannot be read: {system_reason(error)}") from error

    def newest(self, count: int) -> Iterator[Record]:
        """So many of the last records, those written last first; none that cannot be read."""
        for entry in nlargest(count, self.entries.values()):
            record = self.record_at(entry >> FLAG_BITS)
            if record is not None:
                yield record

    def made(self, compact_ids: Iterable[bytes]) -> Iterator[Made | None]:
        """What the last records of these tasks say of their images, as `read_made` tells it."""
        for line in self.lines(compact_ids):
            yield None if line is None else read_made(line)

    def line(self, task_id: str) -> bytes | None:
        """The bytes of a task's last record; None without one, or if the file went away."""
        return next(self.lines((compact(task_id),)), None)

    def lines(self, compact_ids: Iterable[bytes]) -> Iterator[bytes | None]:
        """As `line` for one task after another, with the file opened once."""
        try:
            with open_manifest(self.path) as file:
                lines = _Lines(file)
                for compact_id in compact_ids:
                    entry = self.entries.get(compact_id)
                    yield None if entry is None else lines.at(entry >> FLAG_BITS)
        except OSError:
            for _ in compact_ids:
                yield None


class _Lines:
    """Lines of a manifest by where they begin, in any order; quick where they are neighbours."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window = b""
        self._start = 0
        """Where the window begins."""

    def at(self, offset: int) -> bytes:
        """The line that begins here."""
        at = offset - self._start
        end = self._window.find(b"\n", at) + 1 if at >= 0 else 0
        if not end:
            # Calls end in about the order of their start, so that neighbours are near.
            is_near = abs(at - len(self._window)) < WINDOW
            size, before = (WINDOW, min(BEFORE, offset)) if is_near else (READ_SIZE, 0)
            self._start, at = offset - before, before
            self._window = os.pread(self._file.fileno(), size, self._start)
            end = self._window.find(b"\n", at) + 1
        if end:
            return self._window[at:end]
        self._file.seek(offset)
        return self._file.readline()
