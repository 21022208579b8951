"""Which tasks of a plan this run makes: those asked for that the history does not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice

from batchgen import plan
from batchgen.errors import InputError
from batchgen.job import Job
from batchgen.output import History
from batchgen.plan import PlanSummary
from batchgen.record import Status
from batchgen.runner.progress import Earlier
from batchgen.task import Task

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a user asks for beyond the job file."""

    limit: int | None = None
    """Most tasks to make now; None: all."""
    only: Sequence[str] = ()
    """Patterns (`mug-*`) of item ids or labels; none: all. One text is one pattern."""
    fresh: bool = False
    """Make again what the manifest has."""
    retry_filtered: bool = False
    """Make again what the service's moderation refused."""

    def __post_init__(self) -> None:
        only = (self.only,) if isinstance(self.only, str) else tuple(self.only)
        object.__setattr__(self, "only", only)
        if self.limit is not None and self.limit < 0:
            raise InputError(f"limit cannot be {self.limit}; allowed: a whole number from 0 on.")

    def is_done(self, status: Status | None) -> bool:
        """Whether a task with this last status is left as it is."""
        if self.fresh:
            return False
        return status is Status.SUCCEEDED or (status is Status.FILTERED and not self.retry_filtered)


class IndexSet:
    """A set of running indices, one bit each."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def add(self, number: int) -> None:
        """Add an index."""
        place = number >> 3
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes)))
        self._count += number not in self
        self._bytes[place] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bytes) and bool(self._bytes[place] >> (number & 7) & 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The indices in ascending order."""
        for place, byte in enumerate(self._bytes):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte >> bit & 1)


class TaskSet:
    """Some tasks of a plan, as bits over it; `tasks` expands the plan again for each walk."""

    def __init__(self, job: Job, random_seed_key: str) -> None:
        self._job = job
        self._key = random_seed_key
        self._bits: dict[str, IndexSet] = {}
        """Model id -> running indices of its tasks in the plan."""

    def add(self, model_id: str, index: int) -> None:
        """Add the task with this running index."""
        bits = self._bits.get(model_id)
        if bits is None:
            bits = self._bits[model_id] = IndexSet()
        bits.add(index)

    def __len__(self) -> int:
        return sum(len(bits) for bits in self._bits.values())

    def empty_like(self) -> TaskSet:
        """An empty set over the same plan."""
        return TaskSet(self._job, self._key)

    def models(self) -> dict[str, int]:
        """Model id -> how many of its tasks are in the set."""
        return {model_id: len(bits) for model_id, bits in self._bits.items()}

    def tasks(self, model_id: str) -> Iterator[Task]:
        """The tasks of one model, in the order of the plan."""
        bits = self._bits[model_id]
        return plan.expand(self._job, random_seed_key=self._key, wanted=bits.__contains__)

    def indexed(self) -> Iterator[tuple[int, Task]]:
        """All tasks with their running indices."""
        for model_id, bits in self._bits.items():
            yield from zip(bits, self.tasks(model_id), strict=True)


@dataclass(slots=True)
class Pending:
    """The tasks that this run makes, and those that earlier runs have done."""

    to_make: TaskSet
    succeeded: TaskSet
    """Done by earlier runs according to the manifest; `audit` looks whether the files are there."""
    earlier: Earlier = field(default_factory=Earlier)
    again: int = 0
    """Tasks to make that have a record already: they failed, were filtered, or `fresh` was said."""
    unknown: int = 0
    """Tasks of the manifest that the plan no longer has."""

    def cost(self, outline: PlanSummary) -> Decimal:
        """USD that the tasks to make cost if each succeeds at once."""
        return _price(self.to_make, outline)

    def saved(self, outline: PlanSummary) -> Decimal:
        """USD that the tasks which earlier runs made would cost again."""
        return _price(self.succeeded, outline)


def select(job: Job, history: History, selection: Selection, random_seed_key: str) -> Pending:
    """Walk the ids of the plan once and mark what is to be made."""
    to_make, succeeded = TaskSet(job, random_seed_key), TaskSet(job, random_seed_key)
    known = filtered = again = 0
    room = selection.limit
    for index, model_id, task_id, asked in _walk(job, selection, random_seed_key):
        status = history.status(task_id)
        known += status is not None
        if not asked:
            continue
        if not selection.is_done(status):
            if room is None or len(to_make) < room:
                to_make.add(model_id, index)
                again += status is not None
        elif status is Status.SUCCEEDED:
            succeeded.add(model_id, index)
        else:
            filtered += 1
    return Pending(
        to_make=to_make,
        succeeded=succeeded,
        earlier=Earlier(succeeded=len(succeeded), filtered=filtered),
        again=again,
        unknown=len(history) - known,
    )


def _walk(
    job: Job, selection: Selection, random_seed_key: str
) -> Iterator[tuple[int, str, str, bool]]:
    """Running index, model id and task id of every task, and whether `only` names it."""
    if selection.only:
        for index, task in enumerate(plan.expand(job, random_seed_key=random_seed_key)):
            yield index, task.model_id, task.id, plan.matches(task, selection.only)
        return
    # Without patterns the ids are enough, and they cost a fraction of the tasks.
    ids = enumerate(plan.task_ids(job, random_seed_key=random_seed_key))
    for item in job.items:
        model_id = item.model or job.model or ""
        for index, task_id in islice(ids, item.variants or job.variants):
            yield index, model_id, task_id, True


def _price(chosen: TaskSet, outline: PlanSummary) -> Decimal:
    """At the average price of each model's tasks; an unknown price counts as nothing."""
    counts = chosen.models()
    return sum(
        (
            (each.price_usd or ZERO) / each.tasks * counts.get(each.model_id, 0)
            for each in outline.models
        ),
        ZERO,
    )
