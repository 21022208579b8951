"""Which tasks a job makes: a pure and lazy function of the job, and filters on its tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain, islice, repeat, tee
from operator import add
from typing import TYPE_CHECKING

from batchgen.job import Complaints, Expansion, Job, Row, conflicts
from batchgen.plan.item import PlannedItem
from batchgen.plan.prepare import ItemPlanner
from batchgen.task import Task, expanded

if TYPE_CHECKING:
    from batchgen.record import Reseed

Wanted = Callable[[int, int], Iterable[int]]
"""Gives the running indices that are wanted from one on and below another, in ascending order."""


def count(job: Job) -> int:
    """How many tasks the job makes."""
    return sum(row.item.variants or job.variants for row in Expansion(job, Complaints()))


def expand(
    job: Job,
    *,
    random_seed_key: str | None = None,
    reseeds: Sequence[Reseed] = (),
    wanted: Wanted | None = None,
) -> Iterator[Task]:
    """The tasks of a job in the order of its items, made as they are asked for.

    Args:
        job: best one that `check` found nothing wrong with.
        random_seed_key: what random seeds are derived from; a run keeps it in its manifest, so that
            going on finds the same tasks. Needed for `seed: random` alone.
        reseeds: which images get other seeds than the job says, as `--reseed` asked for them.
        wanted: which tasks to make, by their running indices, from 0. One that is not wanted costs
            nothing, and its index counts all the same.

    Raises:
        JobError: at the first item that no task can be made of.
        ValueError: random seeds without a key.
    """
    items = _PlannedItems(job, random_seed_key, reseeds)
    for row, start, numbers in _numbered(items, wanted):
        yield from items.of(row).tasks((number - start + 1 for number in numbers), start)


def files(
    job: Job,
    *,
    random_seed_key: str | None = None,
    reseeds: Sequence[Reseed] = (),
    wanted: Wanted | None = None,
) -> Iterator[tuple[int, bytes, str]]:
    """Running index, compact id and `file_stem` of what `expand` makes, at a fraction of its cost.

    Raises:
        JobError, ValueError: as `expand`.
    """
    items = _PlannedItems(job, random_seed_key, reseeds)
    for row, start, numbers in _numbered(items, wanted):
        planned, variant_of = items.of(row), partial(add, 1 - start)
        own, for_ids, for_names = tee(numbers, 3)
        ids = planned.compact_ids(map(variant_of, for_ids))
        stems = map(planned.naming(), map(variant_of, for_names))
        yield from zip(own, ids, stems, strict=True)


def task_ids(
    job: Job, *, random_seed_key: str | None = None, reseeds: Sequence[Reseed] = ()
) -> Iterator[str]:
    """The `Task.id` of every task in the order of `expand`, at a fraction of its cost.

    Raises:
        JobError, ValueError: as `expand`.
    """
    ids = compact_ids(job, random_seed_key=random_seed_key, reseeds=reseeds)
    return (expanded(compact_id) for _, of_item in ids for compact_id in of_item)


def compact_ids(
    job: Job, *, random_seed_key: str | None = None, reseeds: Sequence[Reseed] = ()
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """As `task_ids`, in the form of `task.compact`: the model of each item, and its tasks' ids."""
    items = _PlannedItems(job, random_seed_key, reseeds)
    for planned in map(items.of, items):
        yield planned.model_id, planned.compact_ids(range(1, planned.variants + 1))


def models(job: Job) -> Iterator[str]:
    """The model of every task in the order of `expand`, without a look at the tasks."""
    for row in Expansion(job, Complaints()):
        model_id = row.item.model or job.model or ""
        yield from repeat(model_id, row.item.variants or job.variants)


def matches(task: Task, patterns: Sequence[str]) -> bool:
    """Whether the item id or the label fits one of the patterns (`mug-*`); any task if none is."""
    return not patterns or any(
        fnmatchcase(task.item_id, pattern) or fnmatchcase(task.label, pattern)
        for pattern in patterns
    )


def _numbered(
    items: _PlannedItems, wanted: Wanted | None
) -> Iterator[tuple[Row, int, Iterator[int]]]:
    """Each row of which tasks are wanted, the running index of its first task, and theirs."""
    start = 0
    for row in items:
        end = start + items.variants(row)
        numbers = iter(range(start, end) if wanted is None else wanted(start, end))
        for first in islice(numbers, 1):
            yield row, start, chain((first,), numbers)
        start = end


class _PlannedItems:
    """The planned items of a job that must be right: what is wrong is raised."""

    def __init__(self, job: Job, random_seed_key: str | None, reseeds: Sequence[Reseed]) -> None:
        if random_seed_key is None and job.seed == "random":
            raise ValueError("a job with random seeds needs a random_seed_key")
        self._job = job
        self._found = Complaints.of(job)
        self._planner = ItemPlanner(job, random_seed_key or "", self._found, reseeds)
        self._require_right()

    def __iter__(self) -> Iterator[Row]:
        for row in self._planner.rows:
            self._require_right()
            yield row
        self._require_right()

    def _require_right(self) -> None:
        if self._found:
            raise self._found.error(self._job)

    def variants(self, row: Row) -> int:
        return self._planner.variants(row)

    def of(self, row: Row) -> PlannedItem:
        planned = self._planner.of(row)
        if planned is None:
            for conflict in conflicts(self._job):
                self._found.add(conflict.path, conflict.text)
            raise self._found.error(self._job)
        return planned
