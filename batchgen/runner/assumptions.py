"""What is known of a run before it begins, and what each rehearsal of it assumes of the rest.

Rehearsals differ in how long calls take (as the output's own records have it, else as the model is
known), in how slow the service is in that night, in how many attempts fail, and in a quota that
nobody knows.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist, median, pstdev

from batchgen.job import Job
from batchgen.models import MODELS, LifeCycle, Model
from batchgen.output import History
from batchgen.pacing import Pace
from batchgen.plan import PlanSummary, calls_a_minute
from batchgen.record import Record, is_simulated
from batchgen.runner.account import left_of_budget
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
SURE = 3.0
"""Minutes of calls on record that make a quota that was found a sure one."""
PROVEN = (0.97, 1.05)
"""A quota that an earlier run found is within these parts of what it found."""


class Assumptions:
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
        crowd = min(self._job.in_flight_limit, at_once) / CROWD
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
        own = {
            route.name: route.concurrency
            for route in self._job.effective_routes
            if route.concurrency is not None
        }
        places: dict[str | None, int] = {None: self._job.limits.concurrency, **own}
        return {name: max(1, round(count / self._scale)) for name, count in places.items()}

    def _quotas(self, drawn: random.Random) -> Iterator[Quota]:
        """As the run opens them, but for what only the service could tell."""
        scale = self._scale
        for route in self._job.effective_routes:
            for name, model in self._models.items():
                if route.called(name) is None:
                    continue
                rate = calls_a_minute(
                    route.rate(self._job.limits),
                    model.requests_per_minute,
                    stands_in=name in self._stand_ins,
                )
                proven = None if rate else self._proven.get(route.name, {}).get(name)
                admits = self._admitted(name, rate, proven, drawn)
                pace = Pace(
                    requests_per_minute=None if rate is None else rate / scale,
                    concurrency=max(1, round(route.in_flight_limit(self._job.limits) / scale)),
                    proven_per_minute=None if proven is None else proven / scale,
                )
                places = None if route.concurrency is None else route.name
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
    known = [
        (model.family, float(model.requests_per_minute))
        for model in MODELS.values()
        if model.requests_per_minute is not None
    ]
    own = {rate for name, rate in known if name == family}
    return sorted(own or {rate for _, rate in known})


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
