"""What past runs came to, night by night: folded from the lines of a manifest, one at a time.

Money counts as `output.History` counts it: a run that ended knows best what it spent; of a run that
was killed its records tell, and each attempt without one may have been billed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import count, groupby

from batchgen.record import (
    AttemptLine,
    EndLine,
    Line,
    Record,
    RunLine,
    Status,
    is_simulated,
)
from batchgen.text import shortened

ZERO = Decimal(0)
KINDS = 50
"""Different reasons and errors that are counted apart; a manifest may come from anybody."""
LONGEST_KIND = 200
OTHERS = "(others)"
SEEDS = 10
"""Seeds that are shown of a run."""
SLOWEST = 5
HALF_A_DAY = timedelta(hours=12)


@dataclass(frozen=True, slots=True, order=True)
class Slow:
    """One task whose call took long."""

    latency_ms: int
    number: int = field(repr=False)
    """Breaks ties: of two equally slow ones the later."""
    label: str = field(compare=False)


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of some records; its size does not grow with their number."""

    counts: Counter[Status] = field(default_factory=Counter)
    billed_usd: Decimal = ZERO
    maybe_billed_usd: Decimal = ZERO
    simulated_usd: Decimal = ZERO
    """The part of both that nobody pays: a simulator's."""
    unpriced: int = 0
    """Tasks whose price nobody knows: they are in none of the sums."""
    seeds: list[int] = field(default_factory=list)
    """The first of the seeds that were sent."""
    finish_reasons: Counter[str] = field(default_factory=Counter)
    """The service's own words, where it said any."""
    errors: Counter[str] = field(default_factory=Counter)
    """Error code -> tasks without an image that ended with it."""
    slowest: list[Slow] = field(default_factory=list)
    """The slowest calls, as a heap whose first is the fastest of them."""

    def add(self, record: Record, number: int) -> None:
        """Count one record; its money is the business of its run."""
        self.counts[record.status] += 1
        self.unpriced += record.is_unpriced
        self._show((record.seed if record.served is None else record.served.seed,))
        for reason in record.finish_reasons:
            if reason is not None:
                _count(self.finish_reasons, reason)
        if record.error is not None:
            _count(self.errors, record.error.code)
        if record.latency_ms is not None:
            self._keep(Slow(record.latency_ms, number, record.label))

    def merge(self, other: Tally) -> None:
        """Count what another one has counted."""
        self.counts += other.counts
        self.billed_usd += other.billed_usd
        self.maybe_billed_usd += other.maybe_billed_usd
        self.simulated_usd += other.simulated_usd
        self.unpriced += other.unpriced
        self._show(other.seeds)
        self.finish_reasons += other.finish_reasons
        self.errors += other.errors
        for slow in other.slowest:
            self._keep(slow)

    def _show(self, seeds: Iterable[int]) -> None:
        for seed in seeds:
            if len(self.seeds) < SEEDS and seed not in self.seeds:
                self.seeds.append(seed)

    def _keep(self, slow: Slow) -> None:
        heapq.heappush(self.slowest, slow)
        if len(self.slowest) > SLOWEST:
            heapq.heappop(self.slowest)


@dataclass(slots=True, kw_only=True)
class RunFigures:
    """One run."""

    run_id: str
    started_at: datetime
    """UTC."""
    endpoint: str
    job_name: str | None = None
    """None where the line that opens the run cannot be read."""
    finished_at: datetime | None = None
    exit_code: int | None = None
    """None of a run that was killed, or is not at its end."""
    tally: Tally = field(default_factory=Tally)

    @property
    def night(self) -> date:
        """The day on whose evening it began, by this machine's clock; until noon the day before."""
        return (self.started_at.astimezone() - HALF_A_DAY).date()


@dataclass(slots=True, kw_only=True)
class Night:
    """All runs of one night."""

    night: date
    runs: tuple[RunFigures, ...]
    tally: Tally


def nights_of(runs: Iterable[RunFigures]) -> Iterator[Night]:
    """Runs in the order of time, by night."""
    for night, grouped in groupby(runs, key=lambda run: run.night):
        members = tuple(grouped)
        tally = Tally()
        for run in members:
            tally.merge(run.tally)
        yield Night(night=night, runs=members, tally=tally)


def read_runs(lines: Iterable[Line]) -> list[RunFigures]:
    """The figures of each run, the oldest first."""
    reader = _Reader()
    for line in lines:
        reader.read(line)
    reader.close()
    return sorted(reader.runs.values(), key=lambda run: run.started_at)


class _Reader:
    """Folds lines into runs."""

    def __init__(self) -> None:
        self.runs: dict[str, RunFigures] = {}
        self._numbers = count()
        self._present: RunFigures | None = None
        self._open: dict[str, Decimal] = {}
        """Task id -> what its attempts without a record may cost, of the present run."""
        self._unanswered: set[str] = set()
        """Tasks whose attempts count in a run that was killed."""

    def read(self, line: Line) -> None:
        """Fold one line in."""
        match line:
            case Record():
                self._record(line)
            case AttemptLine():
                run = self._run(line.run_id, line.started_at, None)
                earlier = self._open.get(line.task_id, ZERO) if run is self._present else ZERO
                self._open[line.task_id] = earlier + _price(line)
            case RunLine():
                self.close()
                found = self._run(line.run_id, line.started_at, line.endpoint)
                found.job_name = line.job_name
                self._present = found
            case EndLine():
                self._end(line)
            case _:
                pass

    def close(self) -> None:
        """The present run has no end line: what it asked for in vain may have been billed."""
        if self._present is not None and self._open:
            self._pay(self._present, maybe=sum(self._open.values(), ZERO))
            self._unanswered |= self._open.keys()
        self._present, self._open = None, {}

    def _run(self, run_id: str, at: datetime, endpoint: str | None) -> RunFigures:
        """The run of a line, whose own line may be damaged."""
        run = self.runs.get(run_id)
        if run is None:
            said = self._present.endpoint if self._present is not None else "aws"
            run = RunFigures(run_id=run_id, started_at=at, endpoint=endpoint or said)
            self.runs[run_id] = run
            if self._present is None:
                self._present = run
        return run

    def _record(self, record: Record) -> None:
        run = self._run(record.run_id, record.started_at, record.endpoint)
        run.tally.add(record, next(self._numbers))
        self._open.pop(record.task_id, None)
        is_adopted = record.status is Status.SUCCEEDED and record.latency_ms is None
        if is_adopted and record.task_id in self._unanswered:
            billed = ZERO  # counted where it was sent
        else:
            billed = _usd(record.cost_usd)
        self._unanswered.discard(record.task_id)
        maybe = record.maybe_billed_usd
        if maybe is None:
            maybe = record.maybe_billed * (record.cost_usd or 0.0)
        self._pay(run, billed=billed, maybe=_usd(maybe))

    def _end(self, line: EndLine) -> None:
        self._present, self._open = None, {}
        run = self.runs.get(line.run_id)
        if run is None:
            return  # its line is damaged and it has no record, or it closes what was adopted
        run.finished_at, run.exit_code = line.finished_at, line.exit_code
        told = [_told(line.summary.get(name)) for name in ("billed_usd", "maybe_billed_usd")]
        if None not in told:
            tally = run.tally
            tally.billed_usd = tally.maybe_billed_usd = tally.simulated_usd = ZERO
            self._pay(run, billed=told[0] or ZERO, maybe=told[1] or ZERO)

    @staticmethod
    def _pay(run: RunFigures, *, billed: Decimal = ZERO, maybe: Decimal = ZERO) -> None:
        run.tally.billed_usd += billed
        run.tally.maybe_billed_usd += maybe
        if is_simulated(run.endpoint):
            run.tally.simulated_usd += billed + maybe


def _count(counter: Counter[str], kind: str) -> None:
    short = shortened(kind, LONGEST_KIND)
    counter[short if short in counter or len(counter) < KINDS else OTHERS] += 1


def _price(line: AttemptLine) -> Decimal:
    """USD that a call and those before it may have cost."""
    price = _usd(line.price_usd)
    told = line.maybe_billed_usd
    return price + (price * line.maybe_billed if told is None else _usd(told))


def _told(value: object) -> Decimal | None:
    return _usd(value) if type(value) in (int, float) else None


def _usd(value: object) -> Decimal:
    """USD of a JSON number; what is none, or not finite, counts as nothing."""
    amount = Decimal(str(value)) if type(value) in (int, float) else ZERO
    return amount if amount.is_finite() else ZERO
