"""What one task's outcome means for the manifest, the counts and the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from batchgen.attempt import Generation, Outcome, served_by
from batchgen.errors import AttemptError, CredentialsRefused, Filtered, NeverSent, Target
from batchgen.job import FailureLimit, Job
from batchgen.output import Manifest, Store
from batchgen.policies import (
    NOT_BILLED,
    ModelHealth,
    Retry,
    Stop,
    StopCause,
    may_be_billed,
    retryable,
)
from batchgen.record import AttemptLine, ErrorInfo, Record, Status, StoredImage, utc_now
from batchgen.runner.options import Observer
from batchgen.runner.progress import RunStats
from batchgen.task import Task
from batchgen.text import escaped

log = logging.getLogger(__name__)

LONGEST_ANSWER = 330.0
"""Seconds after which a route that was called has answered, or never will."""
SHARE_SPEAKS_FROM = 20
"""Finished tasks before a share of failures says anything."""
UNSENT_ATTEMPTS = 6
"""Attempts at one task without reaching a service that never answered before the run gives up."""


def exceeded(limit: FailureLimit | None, failed: int, finished: int) -> bool:
    """Whether a run has had more failures than it bears.

    A share of the finished tasks is judged from `SHARE_SPEAKS_FROM` tasks on.
    """
    if limit is None:
        return False
    if limit.count is not None:
        return failed >= limit.count
    if limit.share is None or finished < SHARE_SPEAKS_FROM:
        return False
    return failed > limit.share * finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where outcomes are written down."""

    manifest: Manifest
    store: Store
    tally: RunStats
    observer: Observer


class Recorder:
    """Turns outcomes into records, and into the end of the run where they mean that."""

    def __init__(
        self,
        origin: RunIdentity,
        ledger: Ledger,
        stop: Stop,
        availability: ModelHealth,
        failure_limit: FailureLimit | None,
    ) -> None:
        self._origin = origin
        self._ledger = ledger
        self._stop = stop
        self._availability = availability
        self._failure_limit = failure_limit
        self._answered = False

    def refuses(self, task: Task) -> bool:
        """Whether the task's models were denied so often that its tasks stay open."""
        return self._availability.refuses(task)

    def retry(self, retry: Retry) -> None:
        """Take note of an attempt that failed and is made again."""
        log.info(
            "%s: attempt %d failed (%s: %s), next in %.1f s",
            escaped(retry.task.label),
            retry.attempt,
            retry.error.code,
            escaped(retry.error.message),
            retry.wait,
        )
        self._ledger.tally.retry(retry)
        self._ledger.observer.retry(retry)
        if isinstance(retry.error, NOT_BILLED) and self._ledger.tally.has_lost_service():
            self._give_up(retry.error)
        if not isinstance(retry.error, NeverSent):
            self._answered = True
        elif not self._answered and retry.attempt >= UNSENT_ATTEMPTS and self._is_quiet():
            text = f"Nothing answers at the endpoint: {retry.error.message}. {retry.error.advice}"
            self._stop.request(StopCause.UNREACHABLE, text.strip())

    async def conclude(self, made: Outcome) -> None:
        """Write down what became of a task; one that only the service's state failed stays open.

        Raises:
            StorageError: the manifest could not be written.
        """
        if isinstance(made.error, NOT_BILLED) and self._ledger.tally.has_lost_service():
            self._give_up(made.error)
            return
        self._answered = True
        record = to_record(made, self._origin)
        await self._ledger.manifest.append(record)
        for image in record.images:
            await self._ledger.store.settle(image.path, record.task_id)
        self._ledger.tally.record(record)
        self._ledger.observer.record(record)
        self._judge()

    def _is_quiet(self) -> bool:
        """With several routes one may be slow to answer while the others are not there."""
        return not self._origin.routes or self._ledger.tally.quiet_s() >= LONGEST_ANSWER

    def _give_up(self, error: AttemptError) -> None:
        if isinstance(error, CredentialsRefused):
            self._stop.request(StopCause.CREDENTIALS, error.message)
            return
        text = (
            f"No call has got through for {self._ledger.tally.patience / 60:g} minutes "
            f"(limits.give_up_after): {error.message} {error.advice}"
        ).strip()
        self._stop.request(StopCause.THROTTLED_OUT, text)

    def _judge(self) -> None:
        """Whether this outcome ends the run."""
        counts = self._ledger.tally.counts
        failed = counts[Status.FAILED]
        if exceeded(self._failure_limit, failed, sum(counts.values())):
            text = f"{failed} tasks failed: limits.max_failures is reached."
            self._stop.request(StopCause.FAILURES, text)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """What every record of a run has in common."""

    run_id: str
    region: str
    endpoint: str
    routes: bool = False
    """Whether the job names routes."""

    @classmethod
    def of(cls, run_id: str, job: Job) -> RunIdentity:
        """The origin of the records of a run of this job."""
        return cls(run_id=run_id, region=job.region, endpoint=job.endpoint, routes=bool(job.routes))


def to_record(made: Outcome, origin: RunIdentity) -> Record:
    """The record of a task whose attempts have ended."""
    task, generation, error = made.task, made.generation, made.error
    filtered = error if isinstance(error, Filtered) else None
    now, price = utc_now(), _price(made.call)
    place = _place(generation, error)
    maybe_usd = made.maybe_billed_usd
    if maybe_usd is not None and filtered is not None and may_be_billed(filtered):
        maybe_usd += made.call.price_usd or 0
    return Record(
        **_asked(task, origin, place),
        served=served_by(made.substitute),
        status=_status(error),
        images=generation.images if generation else (),
        finish_reasons=_finish_reasons(generation, filtered),
        attempts=made.attempts,
        request_id=_request_id(generation, error),
        started_at=generation.started_at if generation else (error and error.started_at) or now,
        finished_at=now,
        latency_ms=generation.latency_ms if generation else None,
        cost_usd=price if generation or price is None else 0.0,
        maybe_billed=made.maybe_billed + (filtered is not None and may_be_billed(filtered)),
        maybe_billed_usd=None if maybe_usd is None else float(maybe_usd),
        error=_error_info(error),
    )


def adopted_record(
    task: Task,
    image: StoredImage,
    attempts: int,
    origin: RunIdentity,
    announced: AttemptLine | None,
) -> Record:
    """The record of an image that a killed run left: neither request id nor times are known.

    Args:
        announced: the line that preceded the call; None if it is gone.
    """
    now, place, served = utc_now(), None, None
    if announced is not None:
        served = announced.served
        if announced.route is not None:
            region = announced.region or origin.region
            place = Target(region=region, route=announced.route)
    return Record(
        **_asked(task, origin, place),
        served=served,
        status=Status.SUCCEEDED,
        images=(image,),
        finish_reasons=(None,),
        attempts=attempts,
        request_id=None,
        started_at=now,
        finished_at=now,
        latency_ms=None,
        cost_usd=_price(task) if served is None or announced is None else announced.cost_usd,
        maybe_billed=0,
        error=None,
    )


def _asked(task: Task, origin: RunIdentity, place: Target | None) -> dict[str, Any]:
    """The fields that were certain before the call ended."""
    return {
        "run_id": origin.run_id,
        "task_id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "vars": dict(task.vars),
        "model_id": task.model_id,
        "region": origin.region if place is None else place.region,
        "route": None if place is None else place.route,
        "endpoint": origin.endpoint,
        "seed": task.seed,
        "request": dict(task.request),
    }


def _price(task: Task) -> float | None:
    return None if task.price_usd is None else float(task.price_usd)


def _place(generation: Generation | None, error: AttemptError | None) -> Target | None:
    if generation is not None:
        return generation.place
    return None if error is None else error.place


def _request_id(generation: Generation | None, error: AttemptError | None) -> str | None:
    if generation is not None:
        return generation.request_id
    return None if error is None else error.request_id


def _status(error: AttemptError | None) -> Status:
    if error is None:
        return Status.SUCCEEDED
    return Status.FILTERED if isinstance(error, Filtered) else Status.FAILED


def _finish_reasons(
    generation: Generation | None, filtered: Filtered | None
) -> tuple[str | None, ...]:
    if generation is not None:
        return generation.finish_reasons
    return filtered.finish_reasons if filtered is not None else ()


def _error_info(error: AttemptError | None) -> ErrorInfo | None:
    if error is None:
        return None
    return ErrorInfo(
        type=type(error).__name__,
        code=error.code,
        message=error.message,
        retryable=retryable(error),
    )
