"""What a run walks: all tasks that it may make, of a job or from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batchgen.job import Job
from batchgen.plan.check import PlanSummary, check
from batchgen.plan.expand import Wanted, compact_ids, expand, files, models
from batchgen.task import Task

if TYPE_CHECKING:
    from batchgen.record import Reseed


class Plan(Protocol):
    """The tasks of a run in a fixed order: every walk gives the same ones, made as asked for."""

    @property
    def job(self) -> Job:
        """Whose settings hold: endpoint, output, limits, retries."""

    def check(self, most: int | None = None) -> PlanSummary:
        """Look at every task without making any; if so asked, at the first `most` alone.

        Raises:
            JobError: with all that is wrong.
        """

    def expand(
        self,
        *,
        random_seed_key: str,
        reseeds: Sequence[Reseed] = (),
        wanted: Wanted | None = None,
    ) -> Iterator[Task]:
        """The tasks, or those of them whose running indices are wanted."""

    def compact_ids(
        self, *, random_seed_key: str, reseeds: Sequence[Reseed] = ()
    ) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Model and `task.compact` ids of every few tasks that follow each other in `expand`.

        At a fraction of what the tasks cost.
        """

    def files(
        self,
        *,
        random_seed_key: str,
        reseeds: Sequence[Reseed] = (),
        wanted: Wanted | None = None,
    ) -> Iterator[tuple[int, bytes, str]]:
        """Running index, compact id and `file_stem` of what `expand` gives, for less."""

    def models(self) -> Iterator[str]:
        """The model of every task in the order of `expand`, at next to no cost."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """The plan of a job: what its items make."""

    job: Job

    def check(self, most: int | None = None) -> PlanSummary:
        """As `plan.check`."""
        return check(self.job, most=most)

    def expand(
        self,
        *,
        random_seed_key: str,
        reseeds: Sequence[Reseed] = (),
        wanted: Wanted | None = None,
    ) -> Iterator[Task]:
        """As `plan.expand`."""
        return expand(self.job, random_seed_key=random_seed_key, reseeds=reseeds, wanted=wanted)

    def compact_ids(
        self, *, random_seed_key: str, reseeds: Sequence[Reseed] = ()
    ) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Those of one item after the other."""
        return compact_ids(self.job, random_seed_key=random_seed_key, reseeds=reseeds)

    def files(
        self,
        *,
        random_seed_key: str,
        reseeds: Sequence[Reseed] = (),
        wanted: Wanted | None = None,
    ) -> Iterator[tuple[int, bytes, str]]:
        """Of the tasks that `expand` gives."""
        return files(self.job, random_seed_key=random_seed_key, reseeds=reseeds, wanted=wanted)

    def models(self) -> Iterator[str]:
        """As `plan.models`."""
        return models(self.job)
