"""When a run will end: a range, of rehearsals that differ in what nobody knows beforehand.

Each rehearsal is the run with its own pacers, in virtual time, under its own `assumptions`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median

from batchgen.job import Job, references
from batchgen.output import History
from batchgen.plan import PlanSummary
from batchgen.runner.assumptions import RUNS, Assumptions
from batchgen.runner.deadline import LONGEST_CALL
from batchgen.runner.pending import Pending
from batchgen.runner.rehearsal import Rehearsed, Stage

CONFIDENCE = 0.9
"""That the run ends between the first and the last of so many rehearsals: one more run like them
would, 19 times of 21."""
BLUR, OPENING_S = 0.01, 2.0
"""What no rehearsal has: opening the service and the output, a slow disk, a route that waits."""


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
    assumptions = Assumptions(job, outline, history, stages)
    last_start_s = math.inf if deadline_s is None else deadline_s - LONGEST_CALL
    # In a thread of its own, for who asks may have an event loop in this one.
    with ThreadPoolExecutor(max_workers=1) as apart:
        runs = list(apart.map(lambda n: assumptions.rehearsed(n, last_start_s), range(RUNS)))
    return Forecast(runs=sorted(runs, key=lambda each: each.seconds))


def _stages(job: Job, outline: PlanSummary, pending: Pending) -> Iterator[Stage]:
    """What is to be made, by step and model, parents before children."""
    prices = _prices(job, outline)
    if job.steps:
        yield from _stages_of_steps(job, outline, pending, prices)
        return
    for name, count in pending.to_make.models().items():
        if count:
            yield Stage(model_id=name, step=None, left=count, price_usd=prices.get(name, 0.0))


def _stages_of_steps(
    job: Job, outline: PlanSummary, pending: Pending, prices: Mapping[str, float]
) -> Iterator[Stage]:
    left = {at: count for at, count in pending.steps.items() if count}
    of_step: Counter[str] = Counter()
    for (step, _), count in left.items():
        of_step[step] += count
    chain = sum(prices.get(name, 0.0) * count / of_step[at] for (at, name), count in left.items())
    is_first = True
    for step in (each for each in outline.steps if of_step[each]):
        taken = references(next(each for each in job.steps if each.id == step)).values()
        parents = {each.step for each in taken if each.item is None and of_step[each.step]}
        anchors = {each.step for each in taken if each.item is not None and of_step[each.step]}
        anchors -= parents
        for name, count in ((name, count) for (at, name), count in left.items() if at == step):
            ready = {parent: max(0, count - of_step[parent]) for parent in parents}
            price = prices.get(name, 0.0)
            if job.limits.whole_chains:
                price = chain if is_first else 0.0
            yield Stage(
                model_id=name,
                step=step,
                left=count,
                price_usd=price,
                parents=tuple(parents),
                anchors=tuple(anchors),
                ready=ready | dict.fromkeys(anchors, 0),
            )
        is_first = False


def _prices(job: Job, outline: PlanSummary) -> dict[str, float]:
    """US dollars of a task of each model on average; none where no budget is kept."""
    if job.limits.budget_usd is None and job.limits.run_budget_usd is None:
        return {}
    return {
        each.model_id: float((each.price_usd or Decimal(0)) / max(1, each.tasks))
        for each in outline.models
    }
