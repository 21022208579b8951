"""The whole plan, checked before any call: what it makes, what it costs, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from batchgen.blueprint import Blueprint, Still
from batchgen.blueprints import Blueprints
from batchgen.complaints import Complaints, Path
from batchgen.errors import JobError
from batchgen.job import Job, conflicts
from batchgen.models import MODELS
from batchgen.models.base import LifeCycle, Model
from batchgen.nearest import nearest
from batchgen.unique import Unique

MAX_TASKS = 10_000_000
"""Of one job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """The tasks of one model."""

    model_id: str
    """As the job names it."""
    model: Model
    tasks: int
    price_usd: Decimal | None
    """Of all of them, if each succeeds at once; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSummary:
    """What a job would make."""

    tasks: int
    models: tuple[ModelSummary, ...]
    """In the order in which the job comes to them."""
    price_usd: Decimal | None
    """Of all tasks, if each succeeds at once; None where the price of a model is unknown."""
    warnings: tuple[str, ...]
    """Sentences about what works and should not stay so: retired models and the like."""


def check(
    job: Job, *, against_aws: bool | None = None, random_seed_key: str | None = None
) -> PlanSummary:
    """Check every task of the plan, without making any.

    Args:
        job: as it will run.
        against_aws: a retired model is then an error; None: as the job's endpoint says.
        random_seed_key: as for `plan.expand`; two random seeds of one key never meet in an item,
            so any key tells.

    Raises:
        JobError: with all that is wrong, those complaints included that `job.load` deferred.
    """
    checking = _Checking(job, random_seed_key or "")
    checking.run(against_aws=job.endpoint == "aws" if against_aws is None else against_aws)
    return checking.summary()


@dataclass(slots=True)
class _Tally:
    """The tasks of one model, while they are counted."""

    model: Model
    path: Path
    """Where the job names it first."""
    tasks: int = 0
    price: Decimal | None = Decimal(0)

    def add(self, blueprint: Blueprint) -> None:
        self.tasks += blueprint.variants
        price = _price(blueprint)
        self.price = None if self.price is None or price is None else self.price + price


class _Checking:
    def __init__(self, job: Job, random_seed_key: str) -> None:
        self._job = job
        self._key = random_seed_key
        self._found = Complaints(() if job.source is None else job.source.complaints)
        self._tallies: dict[str, _Tally] = {}
        self._warnings: list[str] = []

    def run(self, *, against_aws: bool) -> None:
        for conflict in conflicts(self._job):
            self._found.add(conflict.path, conflict.text)
        tasks = sum(item.variants or self._job.variants for item in self._job.items)
        if tasks > MAX_TASKS:
            text = f"the job would make {tasks:,} images; {MAX_TASKS:,} is the most for one job"
            self._found.add(("items",), text)
        else:
            self._walk()
            self._check_models(against_aws=against_aws)
        if self._found:
            raise error(self._job, self._found)

    def summary(self) -> PlanSummary:
        models = tuple(
            ModelSummary(model_id=name, model=it.model, tasks=it.tasks, price_usd=it.price)
            for name, it in self._tallies.items()
        )
        prices = [each.price_usd for each in models]
        return PlanSummary(
            tasks=sum(each.tasks for each in models),
            models=models,
            price_usd=sum((price or Decimal(0) for price in prices), Decimal(0))
            if None not in prices
            else None,
            warnings=tuple(self._warnings),
        )

    def _walk(self) -> None:
        unique = Unique()
        for blueprint in self._blueprints(self._found):
            unique.note(blueprint)
            self._tally(blueprint)
        for clash in unique.clashes(lambda: self._blueprints(Complaints())):
            self._found.add(("items", clash.index), clash.text)

    def _blueprints(self, found: Complaints) -> Blueprints:
        return Blueprints(self._job, self._key, found)

    def _tally(self, blueprint: Blueprint) -> None:
        tally = self._tallies.get(blueprint.model_id)
        if tally is None:
            own = self._job.items[blueprint.index].model is not None
            path: Path = ("items", blueprint.index, "model") if own else ("model",)
            tally = self._tallies[blueprint.model_id] = _Tally(blueprint.model, path)
        tally.add(blueprint)

    def _check_models(self, *, against_aws: bool) -> None:
        for tally in self._tallies.values():
            self._check_life_cycle(tally, against_aws=against_aws)
            regions = tally.model.regions
            if against_aws and regions and self._job.region not in regions:
                where = f"{', '.join(regions)}, not in {self._job.region}"
                self._warnings.append(f"{tally.model.id} is known to be in {where}")
        if self._job.limits.budget_usd is not None:
            for name, tally in self._tallies.items():
                if tally.price is None:
                    text = f"cannot be kept: nobody knows the price of {name}; give it in prices"
                    self._found.add(("limits", "budget_usd"), text)
        for name in self._job.prices:
            if name not in self._tallies and name not in MODELS:
                near = nearest(name, (*self._tallies, *MODELS))
                hint = f'; did you mean "{near}"?' if near else ""
                self._found.add(("prices", name), f"no model of this job has that name{hint}")

    def _check_life_cycle(self, tally: _Tally, *, against_aws: bool) -> None:
        model = tally.model
        if model.life_cycle is LifeCycle.ACTIVE:
            return
        day = f" ({model.end_of_life})" if model.end_of_life is not None else ""
        if model.life_cycle is LifeCycle.LEGACY:
            self._warnings.append(f"{model.id} is legacy: it ends{day or ' soon'}")
        elif against_aws and not self._job.allow_retired:
            text = f"{model.id} is past its end of life{day} and AWS refuses it: choose another one"
            self._found.add(tally.path, f"{text}, or set allow_retired: true")
        else:
            self._warnings.append(f"{model.id} is past its end of life{day}: AWS refuses it")


def error(job: Job, found: Complaints) -> JobError:
    """The error that says all that was found, with lines where the job has a file."""
    complaints = found.listed()
    if job.source is None:
        return JobError(f"job {job.name}", complaints)
    return job.source.error(complaints)


def _price(blueprint: Blueprint) -> Decimal | None:
    """US dollars of all variants; None where nobody knows."""
    requests, variants = blueprint.requests, blueprint.variants
    if isinstance(requests, Still) or not requests.texts.live_parameters:
        price = blueprint.price(blueprint.request(1))
        return None if price is None else price * variants
    total = Decimal(0)
    for variant in range(1, variants + 1):
        price = blueprint.price(blueprint.request(variant))
        if price is None:
            return None
        total += price
    return total
