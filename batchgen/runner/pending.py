"""The tasks of a plan that a run makes, and those that earlier runs made: one bit a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice

from batchgen.plan import ModelSummary, Plan, PlanSummary
from batchgen.record import Reseed
from batchgen.runner.fates import Fates
from batchgen.runner.progress import Earlier
from batchgen.task import Task

ZERO = Decimal(0)


PLACES = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
"""Of each byte, the bits that it has."""


class IndexSet:
    """A set of running indices, one bit each."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._count = 0

    def add(self, number: int) -> None:
        """Add an index."""
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes)))
        if not self._bytes[place] & bit:
            self._bytes[place] |= bit
            self._count += 1

    def add_range(self, start: int, end: int) -> None:
        """Add all indices from one on and below another, none of which is in the set."""
        here = len(self._bytes)
        self._bytes.extend(bytes(max((end + 7) >> 3, here) - here))
        first, last = min((start + 7) & ~7, end), max(end & ~7, start)
        if first < last:
            self._bytes[first >> 3 : last >> 3] = b"\xff" * ((last - first) >> 3)
        for number in (*range(start, first), *range(max(first, last), end)):
            self._bytes[number >> 3] |= 1 << (number & 7)
        self._count += end - start

    def shared(self, other: IndexSet) -> int:
        """How many indices are in both."""
        both = int.from_bytes(self._bytes, "little") & int.from_bytes(other._bytes, "little")
        return both.bit_count()

    def __contains__(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bytes) and bool(self._bytes[place] >> (number & 7) & 1)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The indices in ascending order."""
        return self.within(0, 8 * len(self._bytes))

    def within(self, start: int, end: int) -> Iterator[int]:
        """Those from one on and below another, in ascending order."""
        for place in range(start >> 3, min((end + 7) >> 3, len(self._bytes))):
            for bit in PLACES[self._bytes[place]]:
                if start <= (number := place * 8 + bit) < end:
                    yield number


class TaskSet:
    """Some tasks of a plan, as bits over it; `tasks` expands the plan again for each walk."""

    def __init__(self, whole: Plan, random_seed_key: str, reseeds: Sequence[Reseed] = ()) -> None:
        self._plan = whole
        self._key = random_seed_key
        self._reseeds = reseeds
        self._bits: dict[str, IndexSet] = {}
        """Model id -> running indices of its tasks in the plan."""

    def add(self, model_id: str, index: int) -> None:
        """Add the task with this running index."""
        bits = self._bits.get(model_id)
        if bits is None:
            bits = self._bits[model_id] = IndexSet()
        bits.add(index)

    def add_range(self, model_id: str, start: int, end: int) -> None:
        """Add all tasks from one on and below another, none of which is in the set."""
        bits = self._bits.get(model_id)
        if bits is None:
            bits = self._bits[model_id] = IndexSet()
        bits.add_range(start, end)

    def has(self, model_id: str, number: int) -> bool:
        """Whether the task with this running index is one of them."""
        return number in self._bits.get(model_id, ())

    def __len__(self) -> int:
        return sum(len(bits) for bits in self._bits.values())

    def shared(self, other: TaskSet) -> int:
        """How many tasks are in both sets, which are over the same plan."""
        none = IndexSet()
        return sum(
            bits.shared(other._bits.get(model_id, none)) for model_id, bits in self._bits.items()
        )

    def empty_like(self) -> TaskSet:
        """An empty set over the same plan."""
        return TaskSet(self._plan, self._key, self._reseeds)

    def models(self) -> dict[str, int]:
        """Model id -> how many of its tasks are in the set."""
        return {model_id: len(bits) for model_id, bits in self._bits.items()}

    def tasks(self, model_id: str) -> Iterator[Task]:
        """The tasks of one model, in the order of the plan."""
        bits = self._bits[model_id]
        tasks = self._plan.expand(
            random_seed_key=self._key,
            reseeds=self._reseeds,
            wanted=bits.within,
        )
        return islice(tasks, len(bits))  # what is behind the last of them need not be read

    def files(self, model_id: str) -> Iterator[tuple[int, bytes, str]]:
        """Running index, compact id and file stem of what `tasks` gives, without the tasks."""
        bits = self._bits[model_id]
        files = self._plan.files(
            random_seed_key=self._key, reseeds=self._reseeds, wanted=bits.within
        )
        return islice(files, len(bits))

    def numbers(self) -> Iterator[int]:
        """The running indices of all tasks."""
        return chain.from_iterable(self._bits.values())

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
    simulated: int = 0
    """Of these, pictures of the simulator, which are none where the service itself is called."""
    refreshed: int = 0
    """Of these, images that an earlier run with `fresh` did not come to."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """Model id -> open tasks of the job that this run was not asked for."""
    unknown: int = 0
    """Tasks of the manifest that the plan no longer has."""
    walked: int = 0
    """Tasks that were looked at."""
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Step and model id -> how many tasks of both are to be made."""
    steps_made: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Likewise, how many an earlier run made."""
    fates: Fates | None = None
    """What became of each task so far; None for a job without steps."""

    def cost(self, outline: PlanSummary) -> Decimal:
        """USD that the tasks to make cost if each succeeds at once, unknown prices aside."""
        return sum((self.price_of(each) or ZERO for each in outline.models), ZERO)

    def price_of(self, model: ModelSummary) -> Decimal | None:
        """USD that the tasks to make of one model cost, exactly; None if unknown."""
        price, count = model.price_usd, self.to_make.models().get(model.model_id, 0)
        if price is None or count in (0, model.tasks):
            return price if count else ZERO
        of_tasks = (task.price_usd or ZERO for task in self.to_make.tasks(model.model_id))
        one = next(of_tasks)
        if one * model.tasks == price:  # no parameter changes it
            return one * count
        return sum(of_tasks, one)

    def cost_elsewhere(self, outline: PlanSummary) -> Decimal:
        """USD that the rest of the job costs, which this run was not asked for."""
        return _price(self.elsewhere, outline)

    def notices(self) -> Iterator[str]:
        """What a person should know of images that are made again."""
        if self.simulated:
            yield (
                f"{self.simulated} pictures of the simulator are replaced: the service did not "
                "make them."
            )
        if self.refreshed:
            yield (
                f"Still to be made again, because an earlier run with --fresh was stopped: "
                f"{self.refreshed}."
            )

    def saved(self, outline: PlanSummary) -> Decimal:
        """USD that the tasks which earlier runs made would cost again."""
        return _price(self.succeeded.models(), outline)


def _price(counts: Mapping[str, int], outline: PlanSummary) -> Decimal:
    """At the average price of each model's tasks; an unknown price counts as nothing."""
    return sum(
        (
            (each.price_usd or ZERO) / each.tasks * counts.get(each.model_id, 0)
            for each in outline.models
        ),
        ZERO,
    )
