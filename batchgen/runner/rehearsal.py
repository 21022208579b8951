"""One run in virtual time: its pacers, its places and its chains, and calls that only take time.

The pacers are the run's own code. A long run is not walked to its end: once its rates are steady,
whole hours are skipped at these rates, up to where something changes (a model or a step runs out of
tasks, or the money does), and there it is rehearsed again. So a rehearsal costs as much for a
million tasks as for some hundred.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from batchgen.errors import ServiceFault, Throttled
from batchgen.pacing import Pace, Pacer, SharedLimit
from batchgen.runner.virtual_time import VirtualTimeLoop

MOST_CALLS = 400
"""Calls that are rehearsed one by one, about; runs with fewer are rehearsed whole."""
LEAST_SKIPPED = 40
"""Tasks that are worth a skip."""
DRAIN_S = 30.0
"""Before a model or a step runs out of tasks, about so many seconds of it are rehearsed."""
REFUSED_S = 0.2
"""A refusal comes back in the time of two messages."""
FIRST_RETRY_S = 1.0
"""The most that a run waits before it makes a failed call again."""
STRATA = 20
"""Latencies are drawn in rounds of so many, one of each part of their distribution: a few hundred
calls then tell the rate of a hundred thousand."""
MOST_IN_ALL = 3 * MOST_CALLS
"""Calls after which the rest of a run is taken to go on as it does."""
MINUTE_S = 60.0


class StratifiedRandom:
    """Draws that are the same in each process, spread evenly over each round of them."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311  # a forecast, not a secret
        self._round: list[int] = []

    def stratified(self) -> float:
        """From 0 to 1, from another part of it in each draw of a round."""
        if not self._round:
            self._round = self._random.sample(range(STRATA), STRATA)
        return (self._round.pop() + self._random.random()) / STRATA

    def uniform(self) -> float:
        """From 0 to 1."""
        return self._random.random()


@dataclass(slots=True, kw_only=True)
class Stage:
    """The tasks of one model in one step of a job; of one model, in a job without steps."""

    model_id: str
    step: str | None
    left: int
    """Tasks to begin."""
    price_usd: float = 0.0
    """Of one task; 0 where no budget is counted."""
    parents: tuple[str, ...] = ()
    """Steps of the same item whose images it takes."""
    anchors: tuple[str, ...] = ()
    """Steps of which one image is taken by all."""
    ready: dict[str, int] = field(default_factory=dict)
    """Parent -> tasks whose image of it is there, and that have not begun."""
    calls: int = 0
    """Since the measuring began, those that failed included."""
    first_at: float = 0.0
    last_at: float = 0.0

    @property
    def waiting(self) -> int:
        """Tasks that could begin, but for quota and places."""
        return min((self.left, *self.ready.values()))

    def admitted(self, now: float) -> None:
        """The service took a call."""
        if not self.calls:
            self.first_at = now
        self.calls += 1
        self.last_at = now

    def rate(self, since: float, now: float) -> float:
        """Calls a second while it was measured."""
        if self.calls < 2:  # noqa: PLR2004  # two make a distance
            return self.calls / (now - since) if now > since else 0.0
        distance = (self.last_at - self.first_at) / (self.calls - 1)
        if now - self.last_at > 2 * distance:
            return self.calls / (now - since)
        return 1 / distance if distance else self.calls / max(now - since, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What one route says of its quota for one model, and what the service admits there."""

    model_id: str
    pace: Pace
    admits: float | None
    """Calls a minute; None: all."""
    places: str | None = None
    """Name of the route whose places it has; None: those that the routes share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What one rehearsal assumes."""

    seed: str
    quotas: Sequence[Quota]
    places: Mapping[str | None, int]
    """Route -> calls in flight; None: what the routes share."""
    latency_s: Mapping[str, Callable[[float], float]]
    """Model -> from a stratified draw to the seconds of a call."""
    failing: Mapping[str, float]
    """Model -> share of the attempts that have to be made again."""
    money_usd: float | None = None
    """What may be spent; None: no limit."""
    last_start_s: float = math.inf
    """Calls that start up to then are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How one rehearsal went."""

    seconds: float
    tasks: int
    """Tasks that were made."""
    in_time: int
    """Tasks that began before the last start that counts."""
    is_broke: bool
    """The money ended before the tasks."""


def rehearse(stages: Sequence[Stage], given: Circumstances) -> Rehearsed:
    """Rehearse a run; blocks for some ten milliseconds.

    Args:
        stages: its tasks, parents before children; they are used up.
        given: what is assumed.
    """
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(_Rehearsal(stages, given, loop).run())
    finally:
        loop.close()


class _Line:
    """The calls of one model on one route."""

    def __init__(self, quota: Quota, pacer: Pacer) -> None:
        self.model_id = quota.model_id
        self.pacer = pacer
        self.waits = 0
        """Tasks that have been taken and wait for their turn."""
        told = quota.pace.requests_per_minute
        is_kept = quota.admits is None or (told is not None and told <= quota.admits)
        self._admits = None if is_kept else quota.admits
        self._admitted: deque[float] = deque()

    def admits(self, now: float) -> bool:
        """Whether the service takes a call, by the calls of the last minute."""
        if self._admits is None:
            return True
        calls = self._admitted
        while calls and calls[0] <= now - MINUTE_S:
            calls.popleft()
        if len(calls) + 1 > max(1.0, self._admits):
            return False
        calls.append(now)
        return True


class _Rehearsal:
    """A run that goes on in virtual time."""

    def __init__(
        self, stages: Sequence[Stage], given: Circumstances, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._stages = stages
        self._given = given
        self._now = loop.time
        limits = {name: SharedLimit(count) for name, count in given.places.items()}
        self._lines = [
            _Line(quota, Pacer(quota.pace, limit=limits[quota.places], clock=loop.time))
            for quota in given.quotas
        ]
        names = {quota.model_id for quota in given.quotas}
        self._latency = {name: StratifiedRandom(f"{given.seed} latency {name}") for name in names}
        self._fate = {name: StratifiedRandom(f"{given.seed} fate {name}") for name in names}
        self._skipped_s = 0.0
        self._spent = 0.0
        self._is_broke = False
        self._at_work: set[asyncio.Task[None]] = set()
        self._begun = self._made = self._in_time = 0
        self._since = 0.0
        self._measured = self._phase = 0
        rounds = max(2, MOST_CALLS // (len(stages) + 1) // (2 * STRATA))
        self._phase_calls = 2 * STRATA * rounds
        self._may_skip = sum(stage.left for stage in stages) > MOST_CALLS
        self._broken: BaseException | None = None
        self._done = loop.create_future()

    async def run(self) -> Rehearsed:
        """From the first call to the last one."""
        self._hand_out()
        await self._done
        return Rehearsed(
            seconds=self._now() + self._skipped_s,
            tasks=self._made,
            in_time=self._in_time,
            is_broke=self._is_broke,
        )

    def _hand_out(self) -> None:
        """Give each line that nobody waits in the next task of its model."""
        for line in self._lines:
            if line.waits:
                continue
            stage = self._next(line.model_id)
            if stage is not None:
                self._begin(stage, line)
        if not self._at_work and not self._done.done():
            self._done.set_result(None)

    def _next(self, model_id: str) -> Stage | None:
        """The stage whose task is next: that of the latest step, so that chains end soon."""
        for stage in reversed(self._stages):
            if stage.model_id == model_id and stage.waiting > 0:
                if self._can_pay(stage):
                    return stage
                self._is_broke = True
        return None

    def _can_pay(self, stage: Stage) -> bool:
        """Whether the budget has room; once it had none, what was paid for before goes on."""
        money = self._given.money_usd
        if money is None or not stage.price_usd:
            return True
        return not self._is_broke and self._spent + stage.price_usd <= money + 1e-9

    def _begin(self, stage: Stage, line: _Line) -> None:
        line.waits += 1
        stage.left -= 1
        for name in stage.ready:
            stage.ready[name] -= 1
        self._spent += stage.price_usd
        work = asyncio.get_running_loop().create_task(self._make(stage, line))
        self._at_work.add(work)
        work.add_done_callback(self._ended)

    async def _make(self, stage: Stage, line: _Line) -> None:
        """One task, attempt after attempt."""
        is_first = True
        while not await self._attempt(stage, line, is_first=is_first):
            is_first = False
            await asyncio.sleep(FIRST_RETRY_S * self._fate[stage.model_id].uniform())
        self._made += 1
        self._release(stage.step, 1)

    async def _attempt(self, stage: Stage, line: _Line, *, is_first: bool) -> bool:
        try:
            async with line.pacer.slot():
                if is_first:
                    line.waits -= 1
                    self._begun += 1
                    begins_s = self._now() + self._skipped_s
                    self._in_time += begins_s <= self._given.last_start_s
                    self._hand_out()
                await self._call(stage, line)
        except Throttled:
            return False
        except ServiceFault:
            self._spent += stage.price_usd  # it may have been billed
            return False
        return True

    async def _call(self, stage: Stage, line: _Line) -> None:
        model_id = stage.model_id
        if not line.admits(self._now()):
            await asyncio.sleep(REFUSED_S)
            raise Throttled("too many requests", code="ThrottlingException")
        stage.admitted(self._now())
        await asyncio.sleep(self._given.latency_s[model_id](self._latency[model_id].stratified()))
        if self._fate[model_id].stratified() < self._given.failing[model_id]:
            raise ServiceFault("it failed", code="InternalServerException")

    def _ended(self, work: asyncio.Task[None]) -> None:
        """A task has its image: others may take it, and the run may be steady by now."""
        self._at_work.discard(work)
        if work.exception() is not None:  # a fault of ours; the run is not rehearsed any further
            if not self._done.done():
                self._done.set_exception(work.exception())  # type: ignore[arg-type]  # not None
            return
        if self._may_skip:
            self._measure()
        self._hand_out()

    def _release(self, step: str | None, count: int) -> None:
        """So many tasks of a step have their image: their children may begin."""
        if step is None:
            return
        for stage in self._stages:
            if step in stage.anchors and step in stage.ready:
                stage.ready[step] = stage.left
            elif step in stage.ready:
                stage.ready[step] += count

    def _measure(self) -> None:
        """Look at the rates of the second half of a phase, and skip what goes on like this."""
        phase = self._begun - self._phase
        if phase < self._phase_calls // 2 or self._is_searching():
            self._begin_measuring()
        elif self._begun >= MOST_IN_ALL:
            self._take_the_rest()
        elif phase >= self._phase_calls:
            self._skip()
            self._phase = self._begun
            self._begin_measuring()

    def _is_searching(self) -> bool:
        """Whether a pacer still looks for its quota; not for ever."""
        if self._begun - self._phase > MOST_CALLS:
            return False
        return any(
            line.waits and line.pacer.state().allowed_per_minute is None for line in self._lines
        )

    def _begin_measuring(self) -> None:
        self._since = self._now()
        for stage in self._stages:
            stage.calls = 0

    def _rates(self) -> list[float]:
        """Tasks of each stage a second, as they were measured."""
        return [
            stage.rate(self._since, self._now()) * (1 - self._given.failing[stage.model_id])
            for stage in self._stages
        ]

    def _skip(self) -> None:
        now, rates = self._now(), self._rates()
        seconds = min(self._changes_after(rates), default=0.0)
        if seconds * sum(rates) < LEAST_SKIPPED:
            return
        for stage, rate in zip(self._stages, rates, strict=True):
            count = min(round(rate * seconds), stage.waiting if stage.ready else stage.left)
            stage.left -= count
            for name in stage.ready:
                stage.ready[name] -= count
            self._spent += count * stage.price_usd / (1 - self._given.failing[stage.model_id])
            self._made += count
            left_s = self._given.last_start_s - now - self._skipped_s
            self._in_time += round(count * min(1.0, max(0.0, left_s / seconds)))
            self._release(stage.step, count)
        self._skipped_s += seconds

    def _take_the_rest(self) -> None:
        """Skip all that is left, each stage at its rate: there are too many changes for more."""
        moving = (
            (stage.left, rate) for stage, rate in zip(self._stages, self._rates(), strict=True)
        )
        self._skipped_s += max((left / rate for left, rate in moving if rate), default=0.0)
        for stage in self._stages:
            self._made += stage.left
            stage.left = 0

    def _changes_after(self, rates: Sequence[float]) -> Iterator[float]:
        """Seconds until a stage, what waits for one, or the money is about to be used up."""
        by_step: Counter[str | None] = Counter()
        for stage, rate in zip(self._stages, rates, strict=True):
            by_step[stage.step] += rate  # type: ignore[assignment]  # a sum of rates
        for stage, rate in zip(self._stages, rates, strict=True):
            if stage.left <= 0 or rate <= 0:
                continue
            margin = max(2.0, DRAIN_S * rate)
            yield max(0.0, (stage.left - margin) / rate)
            for name in stage.parents:
                shrinks = rate - by_step[name]
                if stage.waiting > margin and shrinks > 0.02 * rate:
                    yield (stage.waiting - margin) / shrinks
        if self._given.money_usd is not None:
            spending = sum(
                rate * stage.price_usd / (1 - self._given.failing[stage.model_id])
                for stage, rate in zip(self._stages, rates, strict=True)
            )
            if spending > 0:
                left = self._given.money_usd - self._spent
                yield max(0.0, left / spending - DRAIN_S)
