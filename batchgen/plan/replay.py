"""The plan of making images again: one task for each record that one can be made of."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batchgen.errors import InputError
from batchgen.job import Job
from batchgen.plan import file_names
from batchgen.plan.check import ModelSummary, PlanSummary
from batchgen.plan.choice import Choice, Chosen, Records, choose, replay_job
from batchgen.plan.expand import Wanted
from batchgen.plan.pinning import NotReproducible, Pinning
from batchgen.task import Task, compact

if TYPE_CHECKING:
    from batchgen.record import Record, Reseed


@dataclass(frozen=True, slots=True)
class Planned:
    """What becomes of one record."""

    record: Record
    task: Task | None
    """None if no call can make its image again."""
    reason: str | None = None
    """Why not."""


class Originals(Records, Protocol):
    """The records of a manifest, and what it tells of them; `output.Originals` is one."""

    job_name: str | None
    job_files: dict[str, str | None]
    moved: dict[str, str]

    @property
    def folder(self) -> Path:
        """The output that the manifest is of."""


def replay_of(originals: Originals, choice: Choice, change: Callable[[Job], Job]) -> Replay:
    """The plan of making a choice of these images again.

    Args:
        originals: the records to choose from.
        choice: which of them, and as what.
        change: gives the job of the records other limits or prices.

    Raises:
        InputError: none is left, they do not tell what to call, or none can be made with the model.
    """
    chosen = choose(originals, choice)
    job = change(replay_job(chosen, originals.folder, originals.job_name))
    return Replay(job, chosen, originals.job_files, originals.folder, originals.moved)


class Replay:
    """The plan of making images again: a task for each record that one can be made of."""

    def __init__(
        self,
        job: Job,
        chosen: Chosen,
        job_files: Mapping[str, str | None],
        output: Path | None = None,
        moved: Mapping[str, str] | None = None,
    ) -> None:
        """Look at every record once.

        Args:
            job: from `replay_job`, perhaps changed since.
            chosen: the records.
            job_files: run id -> the job file of that run, in whose folder its input images lie.
            output: of the records, in which the images lie that one task took of another.
            moved: task id -> where its image lies since it moved.

        Raises:
            InputError: no image can be made with the model that was chosen.
        """
        self.job = job
        self.chosen = chosen
        """The records."""
        self._pinning = Pinning(job, chosen.choice.model, job_files, output, moved)
        self._tasks = array("Q")
        """Positions of the records that have a task, each task once."""
        self._crowded: set[int] = set()
        """Those of them whose file name another one has."""
        self.reasons: Counter[str] = Counter()
        """Why no call can make images again -> how many."""
        self._totals: dict[str, _Totals] = {}
        self._examine()

    def _examine(self) -> None:
        ids, names = set(), set()
        for position, each in enumerate(self._planned(range(len(self.chosen)))):
            task = each.task
            if task is None:
                self.reasons[each.reason or ""] += 1
                continue
            if task.id in ids:
                continue
            name = file_names.comparable(task.file_stem)
            if name in names:
                self._crowded.add(position)
            ids.add(task.id)
            names.add(name)
            self._tasks.append(position)
            totals = self._totals.setdefault(task.model_id, _Totals())
            totals.add(task.price_usd)

    def planned(self) -> Iterator[Planned]:
        """Every chosen record with what becomes of it; two with one request have the same task."""
        return self._planned(range(len(self.chosen)))

    def _planned(self, positions: Iterable[int]) -> Iterator[Planned]:
        positions, again = tee(positions)
        for position, record in zip(positions, self.chosen.read(again), strict=True):
            try:
                task = self._pinning.task(record, is_crowded=position in self._crowded)
            except NotReproducible as reason:
                yield Planned(record, None, str(reason))
            else:
                yield Planned(record, task)

    def check(self, most: int | None = None) -> PlanSummary:  # noqa: ARG002 - records are at hand
        """How many images of which models they are, and what they cost.

        Raises:
            InputError: a budget cannot be kept, for a price is not known.
        """
        models = tuple(
            ModelSummary(
                model_id=name,
                model=self._pinning.model(name),
                tasks=totals.tasks,
                price_usd=totals.price_usd,
            )
            for name, totals in self._totals.items()
        )
        prices = [each.price_usd for each in models]
        unknown = next((each.model_id for each in models if each.price_usd is None), None)
        limits = self.job.limits
        if unknown is not None and (limits.budget_usd, limits.run_budget_usd) != (None, None):
            raise InputError(f"--max-cost cannot be kept: nobody knows the price of {unknown}.")
        return PlanSummary(
            tasks=len(self._tasks),
            models=models,
            price_usd=None if None in prices else sum(filter(None, prices), Decimal(0)),
            warnings=(),
        )

    def expand(
        self,
        *,
        random_seed_key: str,  # noqa: ARG002  # a record has its seed
        reseeds: Sequence[Reseed] = (),  # noqa: ARG002  # as above
        wanted: Wanted | None = None,
    ) -> Iterator[Task]:
        """The tasks in the order of the manifest."""
        numbers = self._numbers(wanted)
        positions = (self._tasks[number] for number in numbers)
        return (each.task for each in self._planned(positions) if each.task is not None)

    def _numbers(self, wanted: Wanted | None) -> Iterable[int]:
        whole = range(len(self._tasks))
        return whole if wanted is None else wanted(whole.start, whole.stop)

    def compact_ids(
        self, *, random_seed_key: str, reseeds: Sequence[Reseed] = ()
    ) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Model and compact id of one after the other."""
        tasks = self.expand(random_seed_key=random_seed_key, reseeds=reseeds)
        return ((task.model_id, (compact(task.id),)) for task in tasks)

    def files(
        self,
        *,
        random_seed_key: str,
        reseeds: Sequence[Reseed] = (),
        wanted: Wanted | None = None,
    ) -> Iterator[tuple[int, bytes, str]]:
        """Running index, compact id and file stem of each."""
        tasks = self.expand(random_seed_key=random_seed_key, reseeds=reseeds, wanted=wanted)
        return (
            (number, compact(task.id), task.file_stem)
            for number, task in zip(self._numbers(wanted), tasks, strict=True)
        )

    def models(self) -> Iterator[str]:
        """The model of each."""
        return (task.model_id for task in self.expand(random_seed_key=""))


@dataclass(slots=True)
class _Totals:
    """The tasks of one model, while they are counted."""

    tasks: int = 0
    price_usd: Decimal | None = Decimal(0)

    def add(self, price: Decimal | None) -> None:
        self.tasks += 1
        if self.price_usd is not None:
            self.price_usd = None if price is None else self.price_usd + price
