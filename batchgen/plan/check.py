"""The whole plan, checked before any call: what it makes, what it costs, what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush

from batchgen.job import PARAMETER, Complaints, Job, Path, conflicts
from batchgen.models import MODELS, LifeCycle, Model
from batchgen.plan.check_fallbacks import Fallbacks
from batchgen.plan.duplicates import Unique
from batchgen.plan.item import FixedRequest, PlannedItem
from batchgen.plan.prepare import ItemPlanner
from batchgen.text import closest, did_you_mean

LONGEST = 3
"""Prompts that are told by their length."""
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
    """Of all of them, if each succeeds at once; None if unknown."""


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
    longest: tuple[tuple[int, str, str], ...] = ()
    """Characters, label and text of the longest prompts, the longest first."""
    stages: Mapping[str, int] = field(default_factory=dict)
    """Stage of the expansion -> how much there was after it, in the order of the stages."""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Step -> its tasks, in the order of the chain; empty for a job without steps."""
    models_of_steps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Step and model, as the job names it -> the tasks of both, in the same order."""
    is_partial: bool = False
    """Only the first tasks were looked at, as it was asked for, and there are more."""


def check(
    job: Job,
    *,
    against_aws: bool | None = None,
    random_seed_key: str | None = None,
    most: int | None = None,
) -> PlanSummary:
    """Check every task of the plan, without making any.

    Args:
        job: as it will run.
        against_aws: a retired model is then an error; None: as the job's endpoint says.
        random_seed_key: as for `plan.expand`; two random seeds of one key never meet in an item,
            so any key tells.
        most: look at the rows of the first tasks alone, as many as this or a few more; None: at
            all of them.

    Raises:
        JobError: with all that is wrong, those complaints included that `job.load` deferred.
    """
    if against_aws is None:
        against_aws = job.endpoint == "aws"
    found = Complaints.of(job)
    contradicting = list(conflicts(job))
    for conflict in contradicting:
        found.add(conflict.path, conflict.text)
    items = _Items(job, random_seed_key or "", found)
    # Of two values of one axis that are the same, it was said what must change.
    of_axes = any(each.path[:1] in (("matrix",), ("zip",)) for each in contradicting)
    items.walk(most, clashes=not of_axes)
    doubts = () if job.source is None else job.source.warnings
    models = _Models(job, items, found, against_aws=against_aws)
    warnings = (*doubts, *models.check())
    if found:
        raise found.error(job)
    return _summary(items, warnings)


def _summary(items: _Items, warnings: tuple[str, ...]) -> PlanSummary:
    models = tuple(
        ModelSummary(model_id=name, model=it.model, tasks=it.tasks, price_usd=it.price_usd)
        for name, it in items.totals.items()
    )
    prices = [each.price_usd for each in models]
    steps: Counter[str] = Counter()
    for (step, _), tasks in items.steps.items():
        steps[step] += tasks
    return PlanSummary(
        tasks=sum(each.tasks for each in models),
        stages={**items.planner.rows.counts, "variants": items.tasks},
        longest=tuple(sorted(items.longest, reverse=True)),
        steps=steps,
        models_of_steps={
            each: items.steps[each] for step in steps for each in items.steps if each[0] == step
        },
        is_partial=items.is_partial,
        models=models,
        price_usd=sum((price or Decimal(0) for price in prices), Decimal(0))
        if None not in prices
        else None,
        warnings=warnings,
        fallbacks=tuple(
            ModelSummary(model_id=name, model=model, tasks=0, price_usd=Decimal(0))
            for name, model in items.only_fallbacks().items()
        ),
    )


@dataclass(slots=True)
class ModelTotals:
    """The tasks of one model, while they are counted."""

    model: Model
    path: Path
    """Where the job names it first."""
    tasks: int = 0
    prices: dict[Decimal | None, int] = field(default_factory=dict)
    """Of one task -> how many have it."""
    stand_ins: dict[str, None] | None = field(default_factory=dict)
    """Of a retired model, what its items name in its place; None once an item names none."""

    def add(self, planned: PlannedItem) -> None:
        """One more item."""
        self.tasks += planned.variants
        for price, count in _prices(planned):
            self.prices[price] = self.prices.get(price, 0) + count

    @property
    def price_usd(self) -> Decimal | None:
        """Of all of them; None if unknown."""
        total = Decimal(0)
        for price, count in self.prices.items():
            if price is None:
                return None
            total += price * count
        return total

    def add_stand_in(self, name: str | None) -> None:
        """Which model can stand in for an item's own; None if none can."""
        if name is None:
            self.stand_ins = None
        elif self.stand_ins is not None:
            self.stand_ins[name] = None


def _prices(planned: PlannedItem) -> Iterable[tuple[Decimal | None, int]]:
    """US dollars of one variant, None if unknown, and how many have this price."""
    requests, variants = planned.requests, planned.variants
    if isinstance(requests, FixedRequest):
        return ((planned.price(requests.request), variants),)
    if not requests.texts.parameters_vary:
        return ((planned.price(planned.request(1)), variants),)
    each = (planned.request(variant) for variant in range(1, variants + 1))
    return ((planned.price(request), 1) for request in each)


class _Items:
    """The walk over all items: each by itself, against the others, and with its fallbacks."""

    def __init__(self, job: Job, random_seed_key: str, found: Complaints) -> None:
        self._job = job
        self._key = random_seed_key
        self._found = found
        self.fallbacks = Fallbacks(job, found)
        self.planner = self._planned(found)
        self.tasks = 0
        self.is_partial = False
        self.longest: list[tuple[int, str, str]] = []
        """A heap of characters, labels and texts of the longest prompts."""
        self.steps: Counter[tuple[str, str]] = Counter()
        """Step and model -> the tasks of both."""
        self.totals: dict[str, ModelTotals] = {}
        """By the name that the job gives the model."""

    def walk(self, most: int | None = None, *, clashes: bool = True) -> None:
        """Look at every item once and, if `clashes` are sought, again at those that might.

        Raises:
            JobError: there are more tasks than may be.
        """
        unique = Unique(
            check_ids=bool(self._job.items_from),
            suffixes=self.planner.rows.steps.suffixes(),
        )
        taken: set[str] = set()
        has_axes = any(True for _ in self.planner.rows.axes())
        is_mended, model_of_job = self._found.is_mended, self._job.model
        for planned in self._within_bounds(most):
            if has_axes:
                taken.update(planned.vars())
            if not is_mended(planned.row.at):
                unique.note(planned)
            # Of a model that is only the one that was meant, price and life say nothing.
            if planned.model.id == (planned.row.item.model or model_of_job):
                self._count(planned)
            if planned.fallback or planned.fallback_prompt is not None:
                self.fallbacks.check(planned)
        if not self._found and not self.is_partial:
            self._check_expansion(taken)
        suspects = unique.clashes(lambda: self._planned(Complaints())) if clashes else ()
        for clash in suspects:
            at = clash.row.at if clash.key is None else clash.row.path(clash.key)
            self._found.add(at, clash.text)

    def _within_bounds(self, wanted: int | None) -> Iterator[PlannedItem]:
        """The items that nothing is wrong with; those beyond the bounds are only counted."""
        most = min(self._job.max_tasks or MAX_TASKS, MAX_TASKS)
        planner, stands_in = self.planner, self._found.stands_in
        for row in planner.rows:
            if wanted is not None and self.tasks >= wanted:
                self.is_partial = True
                break
            self.tasks += planner.variants(row)
            is_judged = self.tasks <= most and not stands_in(row.at)
            planned = planner.of(row) if is_judged else None
            if planned is not None:
                yield planned
        if self.tasks > most:
            path, limit = ("items",), f"{most:,} is the most for one job"
            if self._job.max_tasks is not None:
                path, limit = ("max_tasks",), f"max_tasks allows {most:,}"
            self._found.add(path, f"the job would make {self.tasks:,} images; {limit}")
            raise self._found.error(self._job)

    def _check_expansion(self, taken: Collection[str]) -> None:
        """Complain of a job that makes nothing, and of axes that change nothing."""
        if self.tasks == 0:
            stage = next(name for name, rows in self.planner.rows.counts.items() if rows == 0)
            path: Path = ("items_from",) if stage == "rows" else (stage,)
            why = ": there are no rows" if stage == "rows" else ""
            self._found.add(path, f"nothing is left to make{why}")
            return
        for path, settings in self.planner.rows.axes():
            if any(each.model or each.parameters for each in settings):
                continue
            if not any(name in taken for each in settings for name in each.vars):
                axis = str(path[-1])
                names = {*taken, *(f"{PARAMETER}{name}" for name in self._parameters())}
                hint = did_you_mean(closest(axis, names))
                text = f"changes nothing: no prompt, parameter or file name has {{{axis}}}{hint}"
                self._found.add(path, text)

    def _parameters(self) -> set[str]:
        """Names of all parameters that a model of the job takes."""
        return {name for totals in self.totals.values() for name in totals.model.parameters}

    def only_fallbacks(self) -> dict[str, Model]:
        """Models that items may fall back on, and that no item has as its own."""
        used = self.fallbacks.used.items()
        return {name: model for name, model in used if name not in self.totals}

    def _planned(self, found: Complaints) -> ItemPlanner:
        return ItemPlanner(self._job, self._key, found)

    def _count(self, planned: PlannedItem) -> None:
        totals = self.totals.get(planned.model.id)
        if totals is None:
            is_own = planned.row.item.model is not None
            path: Path = planned.row.path("model") if is_own else ("model",)
            totals = self.totals[planned.model_id] = ModelTotals(planned.model, path)
        totals.add(planned)
        if planned.row.step is not None:
            step = planned.row.step.id
            self.steps[step, planned.model_id] += planned.variants
        self._measure(planned)
        if totals.model.life_cycle is LifeCycle.RETIRED:
            totals.add_stand_in(self.fallbacks.living(planned))

    def _measure(self, planned: PlannedItem) -> None:
        """Keep the longest prompts; of an item whose variants differ, that of its first one."""
        requests = planned.requests
        request = requests.request if isinstance(requests, FixedRequest) else planned.request(1)
        prompt = request.get("prompt")
        if prompt is None and planned.model.prompt is not None:  # a family with words of its own
            prompt = next((text for text, _ in planned.family.parts(request).texts), None)
        if not isinstance(prompt, str) or not prompt:
            return
        length = len(prompt)
        if len(self.longest) < LONGEST or length > self.longest[0][0]:
            heappush(self.longest, (length, planned.row.task_label(1), prompt))
            if len(self.longest) > LONGEST:
                heappop(self.longest)


class _Models:
    """What is to be said of the models of a job, once its items are counted."""

    def __init__(self, job: Job, items: _Items, found: Complaints, *, against_aws: bool) -> None:
        self._job = job
        self._found = found
        self._items = items
        self._totals = items.totals
        self._fallbacks = items.fallbacks
        self._only_fallbacks = items.only_fallbacks()
        self._refuses_retired = against_aws and not job.allow_retired
        self._against_aws = against_aws

    def check(self) -> Iterator[str]:
        """Complain of what cannot be called; gives warnings of what should not stay so."""
        own = {name: totals.model for name, totals in self._totals.items()}
        called = own | self._only_fallbacks
        for totals in self._totals.values():
            yield from self._look_at_own(totals)
        for name, model in self._fallbacks.known.items():
            yield from self._look_at_fallback(name, model)
        if self._against_aws:
            check_regions(self._job, called.values(), self._found)
        check_routes(self._job, self._named(), called, self._found)
        self._check_prices()

    def _named(self) -> set[str]:
        """Every model that an item names, or may fall back on."""
        return (self._items.planner.named | set(self._fallbacks.places)) - {""}

    def _look_at_own(self, totals: ModelTotals) -> Iterator[str]:
        model = totals.model
        if model.life_cycle is not LifeCycle.RETIRED or not self._refuses_retired:
            yield from _end(model)
        elif totals.stand_ins:
            instead = " or ".join(totals.stand_ins)
            yield f"{ended(model)} and AWS refuses it: its images will be made by {instead}"
        else:
            self._refuse(model, totals.path)

    def _look_at_fallback(self, name: str, model: Model) -> Iterator[str]:
        if model.life_cycle is LifeCycle.RETIRED and self._refuses_retired:
            self._refuse(model, self._fallbacks.places[name])
        elif name not in self._totals:
            yield from _end(model)

    def _refuse(self, model: Model, path: Path) -> None:
        text = f"{ended(model)} and AWS refuses it: choose another one, or set allow_retired: true"
        self._found.add(path, text)

    def _check_prices(self) -> None:
        prices = {name: totals.price_usd for name, totals in self._totals.items()}
        prices |= {name: model.price_usd for name, model in self._only_fallbacks.items()}
        for key in ("budget_usd", "run_budget_usd"):
            if getattr(self._job.limits, key) is not None:
                for name in (name for name, price in prices.items() if price is None):
                    text = f"cannot be kept: nobody knows the price of {name}; give it in prices"
                    self._found.add(("limits", key), text)
        allowed = (*prices, *self._fallbacks.places, *MODELS)
        for name in self._job.prices:
            if name not in allowed:
                hint = did_you_mean(closest(name, allowed))
                self._found.add(("prices", name), f"no model of this job has that name{hint}")


def _end(model: Model) -> Iterator[str]:
    """A sentence about a model that ends, or has ended."""
    if model.life_cycle is LifeCycle.LEGACY:
        yield f"{model.id} is legacy: it ends{_day(model) or ' soon'}"
    elif model.life_cycle is LifeCycle.RETIRED:
        yield f"{ended(model)}: AWS refuses it"


def ended(model: Model) -> str:
    """The beginning of a sentence about a model that is retired."""
    return f"{model.id} is past its end of life{_day(model)}"


def _day(model: Model) -> str:
    return f" ({model.end_of_life})" if model.end_of_life is not None else ""


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
                hint = did_you_mean(closest(name, named))
                text = f"no model of this job has that name{hint}"
                found.add(("routes", index, "models", name), text)


def check_regions(job: Job, models: Iterable[Model], found: Complaints) -> None:
    """Complain of each Region that does not serve a model which is called there by its own id."""
    for model in models:
        for index, route in enumerate(job.effective_routes):
            own = route.called(model.id) == model.id
            if own and model.regions and route.region not in model.regions:
                where = f"is in {' and '.join(model.regions)}, not in {route.region}"
                path: Path = ("routes", index, "region") if job.routes else ("region",)
                more = ", or list under models what this route serves" if job.routes else ""
                found.add(path, f"{model.id} {where}: choose another Region{more}")
