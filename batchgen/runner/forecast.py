"""When a run will end: a range, of rehearsals that differ in what nobody knows beforehand.

Each rehearsal is the run with its own pacers, in virtual time. They differ in how long calls take
(as the output's own records have it, else as the model is known), in how slow the service is in
that night, in how many attempts fail, and in a quota that nobody knows.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from statistics import NormalDist, median, pstdev

from batchgen.job import Job, references
from batchgen.models import MODELS, LifeCycle, Model
from batchgen.output import History
from batchgen.pacing import Pace
from batchgen.plan import PlanSummary, calls_a_minute
from batchgen.record import Record, is_simulated
from batchgen.runner.account import left_of_budget
from batchgen.runner.deadline import LONGEST_CALL
from batchgen.runner.pending import Pending
from batchgen.runner.rehearsal import (
    MOST_CALLS,
    Circumstances,
    Quota,
    Rehearsed,
    Stage,
    rehearse,
)

RUNS = 20
"""Rehearsals of one run."""
CONFIDENCE = 0.9
"""That the run ends between the first and the last of so many rehearsals: one more run like them
would, 19 times of 21."""
TELLING = 1_000
"""Newest records whose latencies and attempts count."""
ENOUGH = 20
"""Latencies of a model from which on they alone count."""
USUAL_LATENCY = 10.0
"""Seconds of a call of a model of which nothing else is known."""
SPREAD = 0.35
"""Of the latencies of a model without records (of their logarithms): most within half and twice."""
NIGHTS = 0.1
"""How the usual latency differs between nights, likewise."""
TABLE, GUESS = 0.2, 0.4
"""The same for a latency of the table, and for one that nobody knows."""
PRIOR_FAILING, PRIOR_ATTEMPTS = 0.25, 100.0
"""Of a hundred attempts a quarter of one fails, until records say otherwise."""
MOST_FAILING = 0.5
"""More is an outage, which will hardly go on."""
CROWD = 32
"""Calls in flight that are rehearsed; of a run with more, a part is that takes as long."""
BLUR, OPENING_S = 0.01, 2.0
"""What no rehearsal has: opening the service and the output, a slow disk, a route that waits."""
SURE = 3.0
"""Minutes of calls on record that make a quota that was found a sure one."""
PROVEN = (0.97, 1.05)
"""A quota that an earlier run found is within these parts of what it found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a run would end, if it began now."""

    runs: Sequence[Rehearsed] = field(repr=False)
    """By their ends, the earliest first."""

    @property
    def earliest_s(self) -> float:
        """Seconds after which the run ends at the earliest; with `CONFIDENCE` it is within both."""
        return (1 - BLUR) * self.runs[0].seconds

    @property
    def latest_s(self) -> float:
        """At the latest."""
        latest = self.runs[-1].seconds
        return (1 + BLUR) * latest + OPENING_S if latest else 0.0

    @property
    def seconds(self) -> float:
        """In the middle."""
        return median(each.seconds for each in self.runs)

    @property
    def minutes(self) -> float:
        """Rounded to tenths, for programs."""
        return round(self.seconds / 6) / 10

    def chance(self, seconds: float) -> float:
        """How likely it ends within this time, as far as the rehearsals tell; 0 to 1."""
        return sum(each.seconds <= seconds for each in self.runs) / len(self.runs)

    @property
    def in_time(self) -> tuple[int, int]:
        """The fewest and the most tasks that are made before the deadline."""
        counts = [each.in_time for each in self.runs]
        return min(counts), max(counts)

    @property
    def made(self) -> tuple[int, int]:
        """The fewest and the most tasks that are made, deadlines aside."""
        counts = [each.tasks for each in self.runs]
        return min(counts), max(counts)

    @property
    def ends_broke(self) -> bool:
        """The budget ends the run before its tasks do."""
        return 2 * sum(each.is_broke for each in self.runs) > len(self.runs)


def forecast(
    job: Job,
    outline: PlanSummary,
    pending: Pending,
    history: History,
    *,
    deadline_s: float | None = None,
) -> Forecast:
    """When a run of these tasks would end; blocks for less than a second, however many they are.

    Two forecasts of the same job and output are the same.

    Args:
        job: says quotas, places, routes and budget.
        outline: of its check.
        pending: what is to be made.
        history: what earlier runs tell of latencies, failures and quotas.
        deadline_s: seconds until the run must have ended.
    """
    stages = list(_stages(job, outline, pending))
    if not stages:
        none = Rehearsed(seconds=0.0, tasks=0, in_time=0, is_broke=False)
        return Forecast(runs=(none,))
    assumptions = _Assumptions(job, outline, history, stages)
    last_start_s = math.inf if deadline_s is None else deadline_s - LONGEST_CALL
    # In a thread of its own, for who asks may have an event loop in this one.
    with ThreadPoolExecutor(max_workers=1) as apart:
        runs = list(apart.map(lambda n: assumptions.rehearsed(n, last_start_s), range(RUNS)))
    return Forecast(runs=sorted(runs, key=lambda each: each.seconds))


def _stages(job: Job, outline: PlanSummary, pending: Pending) -> Iterator[Stage]:
    """What is to be made, by step and model, parents before children."""
    models = {name: count for name, count in pending.to_make.models().items() if count}
    prices = _prices(job, outline)
    if not job.steps:
        for name, count in models.items():
            yield Stage(model_id=name, step=None, left=count, price_usd=prices.get(name, 0.0))
        return
    of_step: Counter[str] = Counter()
    for (step, _), count in pending.steps.items():
        of_step[step] += count
    whole = job.limits.whole_chains
    begun: set[str] = set()
    for step in (each for each in outline.steps if of_step[each]):
        taken = references(next(each for each in job.steps if each.id == step)).values()
        parents = {each.step for each in taken if each.item is None and of_step[each.step]}
        anchors = {each.step for each in taken if each.item is not None and of_step[each.step]}
        own = {name: count for (at, name), count in pending.steps.items() if at == step and count}
        chain = sum(
            prices.get(name, 0.0) * count / of_step[at]
            for (at, name), count in pending.steps.items()
            if count  # none is left of a step that is done
        )
        for name, count in own.items():
            ready = {parent: max(0, count - of_step[parent]) for parent in parents}
            ready |= dict.fromkeys(anchors - parents, 0)
            price = prices.get(name, 0.0) if not whole else 0.0 if begun else chain
            yield Stage(
                model_id=name,
                step=step,
                left=count,
                price_usd=price,
                parents=tuple(parents),
                anchors=tuple(anchors - parents),
                ready=ready,
            )
        if own:
            begun.add(step)


def _prices(job: Job, outline: PlanSummary) -> dict[str, float]:
    """US dollars of a task of each model on average; none where no budget is kept."""
    if job.limits.budget_usd is None and job.limits.run_budget_usd is None:
        return {}
    return {
        each.model_id: float((each.price_usd or Decimal(0)) / max(1, each.tasks))
        for each in outline.models
    }


class _Assumptions:
    """What is known of a run beforehand; each rehearsal draws the rest of it."""

    def __init__(
        self, job: Job, outline: PlanSummary, history: History, stages: Sequence[Stage]
    ) -> None:
        self._job = job
        self._stages = stages
        self._proven = history.proven
        models = {each.model_id: each.model for each in (*outline.models, *outline.fallbacks)}
        self._stand_ins = {each.model_id for each in outline.fallbacks}
        self._called = {name: _called(job, models, name) for name in {s.model_id for s in stages}}
        self._models = {name: models[name] for name in self._called.values()}
        seen = _Seen(job, history)
        self._latency = {
            name: _Latency.of(job, model, seen.latencies[name])
            for name, model in self._models.items()
        }
        self._attempts = {name: (seen.again[name], seen.attempts[name]) for name in self._models}
        self._tasks: Counter[str] = Counter()
        for stage in stages:
            self._tasks[self._called[stage.model_id]] += stage.left
        self._money = left_of_budget(job, history)
        self._scale = self._of_crowd()

    def rehearsed(self, number: int, last_start_s: float) -> Rehearsed:
        """One rehearsal; its number decides what it draws."""
        seed = f"{self._job.name} {number}"
        drawn = random.Random(seed)  # noqa: S311  # a forecast, not a secret
        scale, money = self._scale, self._money
        # Spread evenly over the rehearsals, so that twenty of them tell about as much as a hundred.
        night = NormalDist().inv_cdf((_shuffled(self._job.name)[number] + 0.5) / RUNS)
        given = Circumstances(
            seed=seed,
            quotas=list(self._quotas(drawn)),
            places=self._places(),
            latency_s={
                name: each.on(night, self._tasks[name]) for name, each in self._latency.items()
            },
            failing={
                name: _failing(drawn, again, attempts)
                for name, (again, attempts) in self._attempts.items()
            },
            money_usd=None if money is None else float(money) / scale,
            last_start_s=last_start_s,
        )
        went = rehearse([self._part(stage) for stage in self._stages], given)
        if scale == 1:
            return went
        most = sum(stage.left for stage in self._stages)
        return replace(
            went,
            tasks=min(most, round(went.tasks * scale)),
            in_time=min(most, round(went.in_time * scale)),
        )

    def _of_crowd(self) -> float:
        """How much smaller than the run its rehearsals are; at least 1.

        A run with many calls in flight takes as long as one with a tenth of its tasks, places and
        calls a minute.
        """
        self._scale = 1.0
        quotas = self._quotas(random.Random(0))  # noqa: S311  # what it draws is not looked at
        rates = [(each.pace.requests_per_minute, each.admits) for each in quotas]
        slowest = max(each.usual_s for each in self._latency.values())
        at_once = sum(
            2 * min(rate or math.inf, most or math.inf) * slowest / 60 for rate, most in rates
        )
        crowd = min(self._job.places, at_once) / CROWD
        return max(1.0, min(crowd, sum(stage.left for stage in self._stages) / MOST_CALLS))

    def _part(self, stage: Stage) -> Stage:
        scale = self._scale
        return replace(
            stage,
            model_id=self._called[stage.model_id],
            left=math.ceil(stage.left / scale),
            ready={name: math.ceil(count / scale) for name, count in stage.ready.items()},
        )

    def _places(self) -> dict[str | None, int]:
        own = {way.name: way.concurrency for way in self._job.ways if way.concurrency is not None}
        places: dict[str | None, int] = {None: self._job.limits.concurrency, **own}
        return {name: max(1, round(count / self._scale)) for name, count in places.items()}

    def _quotas(self, drawn: random.Random) -> Iterator[Quota]:
        """As the run opens them, but for what only the service could tell."""
        scale = self._scale
        for way in self._job.ways:
            for name, model in self._models.items():
                if way.called(name) is None:
                    continue
                rate = calls_a_minute(
                    way.rate(self._job.limits),
                    model.requests_per_minute,
                    stands_in=name in self._stand_ins,
                )
                proven = None if rate else self._proven.get(way.name, {}).get(name)
                admits = self._admitted(name, rate, proven, drawn)
                pace = Pace(
                    requests_per_minute=None if rate is None else rate / scale,
                    concurrency=max(1, round(way.places(self._job.limits) / scale)),
                    proven_per_minute=None if proven is None else proven / scale,
                )
                places = None if way.concurrency is None else way.name
                admits = None if admits is None else admits / scale
                yield Quota(model_id=name, pace=pace, admits=admits, places=places)

    def _admitted(
        self, name: str, told: float | None, proven: float | None, drawn: random.Random
    ) -> float | None:
        """Calls a minute that the service admits; a quota that is told is believed."""
        model = self._models[name]
        if self._job.endpoint == "simulator" and self._job.simulator.requests_per_minute:
            return self._job.simulator.requests_per_minute
        if told is not None:
            return told
        if model.requests_per_minute is not None:
            return float(model.requests_per_minute)
        if proven is not None and self._attempts[name][1] >= SURE * proven:
            return proven * drawn.uniform(*PROVEN)
        return drawn.choice([*_usual_quotas(model.family), *([proven] if proven else [])])


def _usual_quotas(family: str) -> list[float]:
    """The quotas of the models of a family, of all models if it has none."""
    own = [model.requests_per_minute for model in MODELS.values() if model.family == family]
    known = own or [model.requests_per_minute for model in MODELS.values()]
    return sorted({float(rate) for rate in known if rate is not None}) or [USUAL_LATENCY]


def _called(job: Job, models: Mapping[str, Model], name: str) -> str:
    """The model that is called for tasks of this one: another, once AWS has retired it."""
    is_refused = job.endpoint == "aws" and not job.allow_retired
    if not is_refused or models[name].life_cycle is not LifeCycle.RETIRED:
        return name
    living = (
        each
        for each in job.fallback
        if each in models and models[each].life_cycle is not LifeCycle.RETIRED
    )
    return next(living, name)


def _shuffled(seed: str) -> list[int]:
    return random.Random(f"{seed} nights").sample(range(RUNS), RUNS)  # noqa: S311  # a forecast


def _failing(drawn: random.Random, again: int, attempts: int) -> float:
    """The share of attempts that are made again, of those that so many records tell of."""
    share = drawn.betavariate(again + PRIOR_FAILING, attempts - again + PRIOR_ATTEMPTS)
    return min(MOST_FAILING, share)


class _Seen:
    """What the newest records of the output tell of each model."""

    def __init__(self, job: Job, history: History) -> None:
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)
        """Seconds of a call that the service answered."""
        self.attempts: Counter[str] = Counter()
        self.again: Counter[str] = Counter()
        """Attempts that another one followed."""
        simulated = is_simulated(job.endpoint)
        for record in history.newest(TELLING):
            if is_simulated(record.endpoint) == simulated and record.attempts:
                self._add(record)

    def _add(self, record: Record) -> None:
        name = record.model_id if record.served is None else record.served.model_id
        self.attempts[name] += record.attempts
        self.again[name] += record.attempts - 1
        if record.latency_ms is not None and record.error is None:
            self.latencies[name].append(max(1, record.latency_ms) / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Latency:
    """How long the calls of one model take."""

    seen: Sequence[float]
    """Seconds, the shortest first; empty where the usual time is all that is known."""
    usual_s: float
    nights: float
    """How much the usual time may differ from night to night, of its logarithm."""

    @classmethod
    def of(cls, job: Job, model: Model, seen: Sequence[float]) -> _Latency:
        """From the records if there are enough of them, else from what is known of the model."""
        told = job.simulator.latency if job.endpoint == "simulator" else None
        if told is not None:
            return cls(seen=(told,), usual_s=told, nights=0.0)
        if len(seen) >= ENOUGH:
            doubt = _spread(seen) / math.sqrt(len(seen))
            return cls(seen=sorted(seen), usual_s=median(seen), nights=math.hypot(NIGHTS, doubt))
        if seen:
            return cls(seen=(), usual_s=median(seen), nights=math.hypot(NIGHTS, TABLE))
        if model.latency_s is not None:
            return cls(seen=(), usual_s=model.latency_s, nights=TABLE)
        return cls(seen=(), usual_s=USUAL_LATENCY, nights=GUESS)

    def on(self, night: float, calls: int) -> Callable[[float], float]:
        """From a draw to the seconds of a call.

        Args:
            night: how many deviations from the usual one; draws are even, so that chance is in it.
            calls: of so many together.
        """
        spread = _spread(self.seen) if self.seen else SPREAD
        factor = math.exp(night * math.hypot(self.nights, spread / math.sqrt(calls)))
        if self.seen:
            return partial(_of_seen, [factor * each for each in self.seen])
        usual = NormalDist(math.log(factor * self.usual_s), SPREAD)
        return partial(_of_usual, usual)


def _of_seen(seen: Sequence[float], draw: float) -> float:
    return seen[int(draw * len(seen))]


def _of_usual(usual: NormalDist, draw: float) -> float:
    return math.exp(usual.inv_cdf(min(max(draw, 1e-6), 1 - 1e-6)))


def _spread(seen: Sequence[float]) -> float:
    return pstdev(math.log(max(each, 1e-3)) for each in seen)
