"""The whole plan, checked before any call: what it makes, what it costs, what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from batchgen.errors import JobError
from batchgen.job import Complaints, Job, Path, conflicts
from batchgen.models import MODELS, LifeCycle, Model
from batchgen.plan.check_fallbacks import Fallbacks
from batchgen.plan.duplicates import Unique
from batchgen.plan.item import FixedRequest, PlannedItem
from batchgen.plan.prepare import ItemPlanner
from batchgen.text import closest

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
    fallbacks: tuple[ModelSummary, ...] = ()
    """Models that only stand in for others: no task of the plan is theirs."""


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


class _Checking:
    def __init__(self, job: Job, random_seed_key: str) -> None:
        self._job = job
        self._key = random_seed_key
        self._found = Complaints(() if job.source is None else job.source.complaints)
        self._fallbacks = Fallbacks(job, self._found)
        self._tallies: dict[str, ModelTotals] = {}
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
            fallbacks=tuple(
                ModelSummary(model_id=name, model=model, tasks=0, price_usd=Decimal(0))
                for name, model in self._only_fallbacks().items()
            ),
        )

    def _only_fallbacks(self) -> dict[str, Model]:
        used = self._fallbacks.used.items()
        return {name: model for name, model in used if name not in self._tallies}

    def _walk(self) -> None:
        unique = Unique()
        for blueprint in self._blueprints(self._found):
            unique.note(blueprint)
            self._tally(blueprint)
            if blueprint.fallback or blueprint.fallback_prompt is not None:
                self._fallbacks.check(blueprint)
        for clash in unique.clashes(lambda: self._blueprints(Complaints())):
            self._found.add(("items", clash.index), clash.text)

    def _blueprints(self, found: Complaints) -> ItemPlanner:
        return ItemPlanner(self._job, self._key, found)

    def _tally(self, blueprint: PlannedItem) -> None:
        tally = self._tallies.get(blueprint.model_id)
        if tally is None:
            own = self._job.items[blueprint.index].model is not None
            path: Path = ("items", blueprint.index, "model") if own else ("model",)
            tally = self._tallies[blueprint.model_id] = ModelTotals(blueprint.model, path)
        tally.add(blueprint)
        if tally.model.life_cycle is LifeCycle.RETIRED:
            tally.replaced_by(self._fallbacks.living(blueprint))

    def _check_models(self, *, against_aws: bool) -> None:
        models = {name: tally.model for name, tally in self._tallies.items()}
        stand_ins = self._only_fallbacks()
        for tally in self._tallies.values():
            self._check_life_cycle(tally, against_aws=against_aws)
        self._check_fallbacks(against_aws=against_aws)
        if against_aws:
            self._warnings += far_regions(self._job, (models | stand_ins).values())
        check_routes(self._job, self._named(), models | stand_ins, self._found)
        prices = {name: tally.price for name, tally in self._tallies.items()}
        self._check_prices({**prices, **{n: it.price_usd for n, it in stand_ins.items()}})

    def _named(self) -> set[str]:
        """Every model that an item names, or may fall back on."""
        job = self._job
        named = {item.model or job.model or "" for item in job.items} | set(self._fallbacks.places)
        return named - {""}

    def _check_prices(self, prices: Mapping[str, Decimal | None]) -> None:
        if self._job.limits.budget_usd is not None:
            for name, price in prices.items():
                if price is None:
                    text = f"cannot be kept: nobody knows the price of {name}; give it in prices"
                    self._found.add(("limits", "budget_usd"), text)
        allowed = (*prices, *self._fallbacks.places, *MODELS)
        for name in self._job.prices:
            if name not in allowed:
                near = closest(name, allowed)
                hint = f'; did you mean "{near}"?' if near else ""
                self._found.add(("prices", name), f"no model of this job has that name{hint}")

    def _check_life_cycle(self, tally: ModelTotals, *, against_aws: bool) -> None:
        model, instead = tally.model, tally.instead
        if model.life_cycle is LifeCycle.RETIRED and against_aws and not self._job.allow_retired:
            if instead:
                text = f"{_ended(model)} and AWS refuses it: its images will be made by "
                self._warnings.append(text + " or ".join(instead))
            else:
                self._refuse_retired(model, tally.path)
        else:
            self._warn_of_end(model)

    def _check_fallbacks(self, *, against_aws: bool) -> None:
        for name, model in self._fallbacks.known.items():
            retired = model.life_cycle is LifeCycle.RETIRED
            if retired and against_aws and not self._job.allow_retired:
                self._refuse_retired(model, self._fallbacks.places[name])
            elif name not in self._tallies:
                self._warn_of_end(model)

    def _refuse_retired(self, model: Model, path: Path) -> None:
        text = f"{_ended(model)} and AWS refuses it: choose another one, or set allow_retired: true"
        self._found.add(path, text)

    def _warn_of_end(self, model: Model) -> None:
        if model.life_cycle is LifeCycle.LEGACY:
            self._warnings.append(f"{model.id} is legacy: it ends{_day(model) or ' soon'}")
        elif model.life_cycle is LifeCycle.RETIRED:
            self._warnings.append(f"{_ended(model)}: AWS refuses it")


def _ended(model: Model) -> str:
    return f"{model.id} is past its end of life{_day(model)}"


def _day(model: Model) -> str:
    return f" ({model.end_of_life})" if model.end_of_life is not None else ""


def error(job: Job, found: Complaints) -> JobError:
    """The error that says all that was found, with lines where the job has a file."""
    complaints = found.listed()
    if job.source is None:
        return JobError(f"job {job.name}", complaints)
    return job.source.error(complaints)


@dataclass(slots=True)
class ModelTotals:
    """The tasks of one model, while they are counted."""

    model: Model
    path: Path
    """Where the job names it first."""
    tasks: int = 0
    price: Decimal | None = Decimal(0)
    instead: dict[str, None] | None = field(default_factory=dict)
    """Models that can stand in, of those items that have any; None once an item has none."""

    def add(self, blueprint: PlannedItem) -> None:
        """One more item."""
        self.tasks += blueprint.variants
        price = _price(blueprint)
        self.price = None if self.price is None or price is None else self.price + price

    def replaced_by(self, name: str | None) -> None:
        """Which model can stand in for an item's own."""
        if name is None:
            self.instead = None
        elif self.instead is not None:
            self.instead[name] = None


def _price(blueprint: PlannedItem) -> Decimal | None:
    """US dollars of all variants; None where nobody knows."""
    requests, variants = blueprint.requests, blueprint.variants
    if isinstance(requests, FixedRequest) or not requests.texts.live_parameters:
        price = blueprint.price(blueprint.request(1))
        return None if price is None else price * variants
    total = Decimal(0)
    for variant in range(1, variants + 1):
        price = blueprint.price(blueprint.request(variant))
        if price is None:
            return None
        total += price
    return total


def check_routes(job: Job, named: Collection[str], known: Iterable[str], found: Complaints) -> None:
    """Complain of models that no route serves, and of names on routes that no model has.

    Args:
        job: with or without routes.
        named: every model that an item names or may fall back on.
        known: those of them that nothing is wrong with.
        found: takes the complaints.
    """
    if not job.routes:
        return
    for name in known:
        if all(route.called(name) is None for route in job.routes):
            advice = "name it under models of one of them, or leave models out of one"
            found.add(("routes",), f"none of them serves {name}: {advice}")
    for index, route in enumerate(job.routes):
        for name in route.models:
            if name not in named:
                near = closest(name, named)
                hint = f'; did you mean "{near}"?' if near else ""
                text = f"no model of this job has that name{hint}"
                found.add(("routes", index, "models", name), text)


def far_regions(job: Job, models: Iterable[Model]) -> Iterator[str]:
    """A sentence for each model and Region where it is not known to be, yet called by its id."""
    ways = job.ways
    for model in models:
        for way in ways:
            own = way.called(model.id) == model.id
            if own and model.regions and way.region not in model.regions:
                where = f"{', '.join(model.regions)}, not in {way.region}"
                route = f" (route {way.name})" if job.routes else ""
                yield f"{model.id} is known to be in {where}{route}"
