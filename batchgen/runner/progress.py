"""What a run has come to so far: counts, money and rates, for people and for the `end` line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchgen.errors import ExitCode, Throttled
from batchgen.pacing import PaceState
from batchgen.policies import Budget, Retry, RouteQuotas, StopCause, StopReason
from batchgen.record import Record, Status

ALWAYS_SAID = (StopCause.DENIED, StopCause.DISK)
"""Causes that end a run with their code also where no task is left: what is there may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What the plan's tasks came to in earlier runs of this output."""

    succeeded: int = 0
    filtered: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        """Tasks that stay as they are."""
        return self.succeeded + self.filtered + self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run, or how far it is, in figures."""

    run_id: str
    output: str
    total: int
    """Tasks that were asked for, those of earlier runs included."""
    earlier_succeeded: int
    earlier_filtered: int
    succeeded: int
    filtered: int
    failed: int
    adopted: int
    """Images of a run that was killed, found complete and recorded now without a call."""
    substituted: int
    """Images of this run that were made with another model, seed or prompt, as the job allows."""
    retried: int
    throttled: int
    in_flight: int
    """Calls that have started and whose outcome is not on record yet."""
    images_per_minute: float
    """Over the last five minutes, for the time left."""
    billed_usd: Decimal
    maybe_billed_usd: Decimal
    saved_usd: Decimal
    """What the images of earlier runs would have cost again."""
    budget_left_usd: Decimal | None
    elapsed_s: float
    pace: Mapping[str, PaceState]
    """Model id -> how its pacer stands."""
    stopping: StopReason | None
    left_elsewhere: int = 0
    """Open tasks of the job that the run was not asked for (`--limit`, `--only`)."""
    is_simulated: bool = False
    """The pictures are the simulator's, and so is the money."""
    begun_with: str | None = None
    """`--fresh` or `--reseed`: what a run is begun with, and not continued."""
    needs_larger_budget: bool = False
    """Not one more image fits, in a later run either."""
    routes: Mapping[str, Mapping[str, PaceState]] = field(default_factory=dict)
    """Route -> model id -> how the pacer there stands; empty for a job without routes."""
    left_denied: bool = False
    """Whether tasks stay open because their models are denied."""
    derived: int = 0
    """Files that were made of images on this machine, as `derive` of the job orders."""
    underived: int = 0
    """Those that could not be made; the next run tries again."""
    unpriced: int = 0
    """Tasks of this run whose price nobody knows: they are in none of the sums."""
    earlier_skipped: int = 0
    skipped: int = 0
    """Tasks that were not tried, for a parent of theirs was not made."""

    @property
    def done(self) -> int:
        """Tasks with a record, now or earlier."""
        earlier = self.earlier_succeeded + self.earlier_filtered + self.earlier_skipped
        return earlier + self.succeeded + self.filtered + self.failed + self.skipped

    @property
    def left(self) -> int:
        """Tasks that stay open."""
        return self.total - self.done

    @property
    def average_per_minute(self) -> float:
        """Images a minute from the start of the run."""
        return self.succeeded * 60.0 / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def time_left_s(self) -> float | None:
        """Seconds until the last task, at the present rate; None before there is one."""
        if self.images_per_minute <= 0:
            return None
        return self.left / self.images_per_minute * 60.0

    @property
    def exit_code(self) -> ExitCode:
        """By the contract with users."""
        if self.stopping is not None and (
            self.left or self.underived or self.stopping.cause in ALWAYS_SAID
        ):
            return self.stopping.exit_code
        if self.left:
            return ExitCode.SERVICE if self.left_denied else ExitCode.RESUMABLE
        now = self.failed or self.filtered or self.skipped or self.underived
        unmade = now or self.earlier_filtered or self.earlier_skipped
        return ExitCode.INCOMPLETE if unmade else ExitCode.DONE

    @property
    def next_step(self) -> str | None:
        """What to do about tasks that are left open; None if there are none, or nothing helps."""
        is_short = self.stopping is not None and self.stopping.cause is StopCause.BUDGET
        if not self.left or (is_short and self.needs_larger_budget):
            return None
        if self.begun_with is not None:
            return (
                f"The same command without {self.begun_with} goes on where this run stopped: it "
                "knows what is still to be made again."
            )
        return "The same command again goes on where this run stopped."

    def to_json(self) -> dict[str, Any]:
        """For `--json` and the `end` line; money in USD as numbers."""
        return {
            "run_id": self.run_id,
            "output": self.output,
            "exit_code": int(self.exit_code),
            "tasks": self.total,
            "succeeded": self.succeeded,
            "filtered": self.filtered,
            "failed": self.failed,
            "skipped": self.skipped,
            "left": self.left,
            "job_left": self.left + self.left_elsewhere,
            "simulated": self.is_simulated,
            "earlier": {
                "succeeded": self.earlier_succeeded,
                "filtered": self.earlier_filtered,
                "skipped": self.earlier_skipped,
            },
            "adopted": self.adopted,
            "derived": {"made": self.derived, "failed": self.underived},
            "substituted": self.substituted,
            "retried": self.retried,
            "throttled": self.throttled,
            "images_per_minute": round(self.average_per_minute, 2),
            "billed_usd": float(self.billed_usd),
            "maybe_billed_usd": float(self.maybe_billed_usd),
            "unpriced": self.unpriced,
            "saved_usd": float(self.saved_usd),
            "budget_left_usd": None
            if self.budget_left_usd is None
            else float(self.budget_left_usd),
            "elapsed_s": round(self.elapsed_s, 3),
            "quotas": _quotas(self.pace),
            "routes": {name: _quotas(pace) for name, pace in self.routes.items()},
            "stopped": self.stopping
            and {"cause": str(self.stopping.cause), "text": self.stopping.text},
        }


def _quotas(pace: Mapping[str, PaceState]) -> dict[str, Any]:
    return {model_id: _quota(state) for model_id, state in pace.items()}


def _quota(state: PaceState) -> dict[str, Any]:
    """How one model's quota was used; rates in calls a minute."""
    allowed, share = state.allowed_per_minute, state.quota_share
    return {
        "allowed_per_minute": None if allowed is None else round(allowed, 2),
        "reached_per_minute": state.reached_per_minute,
        "share": None if share is None else round(share, 4),
        "proven_per_minute": state.proven_per_minute and round(state.proven_per_minute, 2),
        "calls": state.started,
        "throttled": state.throttled,
        "unavailable": state.unavailable,
    }


class RunStats:
    """Counts what happens in a run."""

    def __init__(
        self,
        run_id: str,
        output: str,
        *,
        patience: float = 1800.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            patience: seconds without an answer after which the service counts as lost.
            clock: seconds.
        """
        self.run_id = run_id
        self.output = output
        self.total = 0
        self.left_elsewhere = 0
        self.is_simulated = False
        self.begun_with: str | None = None
        self.earlier = Earlier()
        self.adopted = 0
        self.derived = 0
        self.underived = 0
        self.retried = 0
        self.throttled = 0
        self.substituted = 0
        self.unpriced = 0
        self.saved_usd = Decimal(0)
        self.counts = dict.fromkeys(Status, 0)
        self.left_denied = False
        """Whether tasks stay open because their models are denied."""
        self.longest_call = 0.0
        """Seconds of the longest call so far."""
        self._clock = clock
        self._started = clock()
        self._images = RollingRate(self._started)
        self._last_answer = self._started
        self.patience = patience

    def record(self, record: Record) -> None:
        """Count one finished task."""
        self.counts[record.status] += 1
        self.unpriced += record.is_unpriced
        if record.latency_ms is not None:
            self.longest_call = max(self.longest_call, record.latency_ms / 1000.0)
        if record.status is Status.SKIPPED:  # nobody was asked
            return
        now = self._clock()
        if record.error is None or not record.error.retryable:
            self._last_answer = now
        if record.status is Status.SUCCEEDED:
            self._images.add(now)
            self.substituted += record.served is not None

    def retry(self, retry: Retry) -> None:
        """Count one attempt that failed and is made again."""
        self.retried += 1
        self.throttled += isinstance(retry.error, Throttled)

    def has_lost_service(self) -> bool:
        """Whether the service has only refused or failed calls for longer than is borne."""
        return self.quiet_s() >= self.patience

    def quiet_s(self) -> float:
        """Seconds since the service served a call, or since the start."""
        return self._clock() - self._last_answer

    def snapshot(
        self, budget: Budget, pace: Mapping[str, PaceState], stopping: StopReason | None
    ) -> Summary:
        """The figures as they stand."""
        elapsed = self._clock() - self._started
        return Summary(
            run_id=self.run_id,
            output=self.output,
            total=self.total,
            earlier_succeeded=self.earlier.succeeded,
            earlier_filtered=self.earlier.filtered,
            succeeded=self.counts[Status.SUCCEEDED],
            filtered=self.counts[Status.FILTERED],
            failed=self.counts[Status.FAILED],
            skipped=self.counts[Status.SKIPPED],
            earlier_skipped=self.earlier.skipped,
            adopted=self.adopted,
            derived=self.derived,
            underived=self.underived,
            substituted=self.substituted,
            retried=self.retried,
            throttled=self.throttled,
            in_flight=sum(state.in_flight for state in pace.values()),
            images_per_minute=self._images.per_minute(self._clock()),
            billed_usd=budget.billed,
            maybe_billed_usd=budget.maybe_billed,
            saved_usd=self.saved_usd,
            budget_left_usd=budget.left,
            elapsed_s=elapsed,
            pace=pace,
            stopping=stopping,
            left_denied=self.left_denied,
            unpriced=self.unpriced,
            left_elsewhere=self.left_elsewhere,
            is_simulated=self.is_simulated,
            begun_with=self.begun_with,
            needs_larger_budget=budget.is_too_small,
        )


def all_states(quotas: Iterable[RouteQuotas]) -> dict[str, PaceState]:
    """How each model stands on all routes together."""
    found: dict[str, list[PaceState]] = {}
    for each in quotas:
        for model_id, state in each.state().items():
            found.setdefault(model_id, []).append(state)
    return {model_id: merged(states) for model_id, states in found.items()}


def states_by_route(quotas: Iterable[RouteQuotas]) -> dict[str, dict[str, PaceState]]:
    """How each model stands on each route; empty for a job without routes."""
    return {each.route: each.state() for each in quotas if each.route is not None}


def merged(states: Iterable[PaceState]) -> PaceState:
    """How one model stands on several routes together."""
    total, *others = states
    for each in others:
        total = PaceState(
            phase=total.phase if total.phase == each.phase else "several routes",
            allowed_per_minute=_sum(total.allowed_per_minute, each.allowed_per_minute),
            reached_per_minute=total.reached_per_minute + each.reached_per_minute,
            starting_per_minute=total.used_per_minute + each.used_per_minute,
            quota_per_minute=_sum(total.quota_per_minute, each.quota_per_minute),
            in_flight=total.in_flight + each.in_flight,
            waiting=total.waiting + each.waiting,
            concurrency=total.concurrency + each.concurrency,
            started=total.started + each.started,
            throttled=total.throttled + each.throttled,
            unavailable=total.unavailable + each.unavailable,
            reason=total.reason or each.reason,
            next_start_s=min(total.next_start_s, each.next_start_s),
        )
    return total


def _sum(one: float | None, other: float | None) -> float | None:
    """None if either is not known."""
    return None if one is None or other is None else one + other


WINDOW = 300.0
"""Seconds over which is counted."""


@dataclass(slots=True)
class _Second:
    at: int
    count: int = 0


class RollingRate:
    """Counts by the second, for as long as it matters."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._seconds: deque[_Second] = deque()

    def add(self, now: float) -> None:
        """One came."""
        second = int(now)
        self._forget(now)
        if not self._seconds or self._seconds[-1].at != second:
            self._seconds.append(_Second(second))
        self._seconds[-1].count += 1

    def per_minute(self, now: float) -> float:
        """How many a minute over the last minutes, or since the start if that is shorter."""
        self._forget(now)
        window = min(now - self._started, WINDOW)
        count = sum(second.count for second in self._seconds)
        return count * 60.0 / window if window > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0].at < now - WINDOW:
            self._seconds.popleft()
