"""Which tasks of a plan this run makes: those asked for that the history does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from batchgen import plan
from batchgen.history import History
from batchgen.job import Job
from batchgen.progress import Earlier
from batchgen.record import Record, Status
from batchgen.store import EXTENSIONS
from batchgen.task import Task

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a user asks for beyond the job file."""

    limit: int | None = None
    """Most tasks to make now; None: all."""
    only: tuple[str, ...] = ()
    """Patterns (`mug-*`) of item ids or labels; none: all."""
    fresh: bool = False
    """Make again what the manifest has."""
    retry_filtered: bool = False
    """Make again what the service's moderation refused."""

    def wants(self, task: Task) -> bool:
        """Whether `only` names this task."""
        return not self.only or any(
            fnmatchcase(task.item_id, pattern) or fnmatchcase(task.label, pattern)
            for pattern in self.only
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A file of an earlier run whose task has another name in the present plan."""

    task_id: str
    path: str
    new_path: str


class Bits:
    """A set of small numbers in one bit each."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, number: int) -> None:
        """Put a number in."""
        place = number >> 3
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes)))
        self._count += number not in self
        self._bytes[place] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bytes) and bool(self._bytes[place] >> (number & 7) & 1)


@dataclass(slots=True)
class Pending:
    """The tasks that this run makes, as bits over the plan, and what earlier runs have done."""

    job: Job
    random_seed_key: str
    wanted: dict[str, Bits] = field(default_factory=dict)
    """Model id -> running indices of its tasks in the plan."""
    count: int = 0
    cost: Decimal = ZERO
    """USD that the pending tasks cost if each succeeds at once; unknown prices count as nothing."""
    earlier: Earlier = field(default_factory=Earlier)
    saved: Decimal = ZERO
    """USD that the tasks which earlier runs made would cost again."""
    moves: list[Move] = field(default_factory=list)
    unknown: int = 0
    """Tasks of the manifest that the plan no longer has."""

    def tasks(self, model_id: str) -> Iterator[Task]:
        """The pending tasks of one model, made again from the job as they are asked for."""
        wanted = self.wanted[model_id]
        return plan.expand(
            self.job, random_seed_key=self.random_seed_key, wanted=wanted.__contains__
        )


def select(job: Job, history: History, selection: Selection, random_seed_key: str) -> Pending:
    """Walk the plan once and mark what is to be made."""
    pending = Pending(job=job, random_seed_key=random_seed_key)
    folder = history.path.parent
    known = succeeded = filtered = 0
    for index, task in enumerate(plan.expand(job, random_seed_key=random_seed_key)):
        status = history.statuses.get(task.id)
        known += status is not None
        if not selection.wants(task):
            continue
        if status is Status.SUCCEEDED and not selection.fresh:
            record = history.record(task.id)
            if record is not None and is_intact(folder, record, history):
                succeeded += 1
                pending.saved += task.price_usd or ZERO
                pending.moves += _renamed(task, record, history)
                continue
        if status is Status.FILTERED and not (selection.retry_filtered or selection.fresh):
            filtered += 1
            continue
        _mark(pending, selection, index, task)
    pending.earlier = Earlier(succeeded=succeeded, filtered=filtered)
    pending.unknown = len(history.statuses) - known
    return pending


def _mark(pending: Pending, selection: Selection, index: int, task: Task) -> None:
    if selection.limit is not None and pending.count >= selection.limit:
        return
    pending.wanted.setdefault(task.model_id, Bits()).add(index)
    pending.count += 1
    pending.cost += task.price_usd or ZERO


def is_intact(folder: Path, record: Record, history: History) -> bool:
    """Whether the files of a record are there in their recorded size."""
    moved = history.moved.get(record.task_id)
    for image in record.images:
        try:
            size = (folder / (moved or image.path)).stat().st_size
        except OSError:
            return False
        if size != image.bytes:
            return False
    return bool(record.images)


def _renamed(task: Task, record: Record, history: History) -> list[Move]:
    image = record.images[0]
    path = history.moved.get(task.id, image.path)
    new_path = f"{task.file_stem}.{EXTENSIONS[image.format]}"
    if PurePosixPath(path) == PurePosixPath(new_path):
        return []
    return [Move(task_id=task.id, path=path, new_path=new_path)]
