"""What one task's outcome means for the manifest, the counts and the run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from batchgen.attempt import Failed, Outcome, Succeeded, Target, served_by
from batchgen.errors import (
    AttemptError,
    CredentialsRefused,
    Filtered,
    Misconfigured,
    NeverSent,
    QuotaExhausted,
)
from batchgen.job import FailureLimit, Job
from batchgen.models import missed_size
from batchgen.output import Manifest, Store
from batchgen.policies import (
    NOT_BILLED,
    ModelHealth,
    Retry,
    Stop,
    StopCause,
    describe,
    may_be_billed,
    retryable,
)
from batchgen.record import AttemptLine, ErrorInfo, Record, Status, StoredImage, utc_now
from batchgen.runner.derivatives import Derivatives
from batchgen.runner.options import Observer
from batchgen.runner.progress import RunStats
from batchgen.task import Task
from batchgen.text import duration, escaped, sentences

log = logging.getLogger(__name__)

LONGEST_ANSWER = 330.0
"""Seconds after which a route that was called has answered, or never will."""
SHARE_SPEAKS_FROM = 20
"""Finished tasks before a share of failures says anything."""
LOOK_AGAIN = 1.0
"""Seconds between two looks at a service that is slow to answer."""
SIZES_TOLD = 10
"""Kinds of pictures of another size than asked that one run tells of."""
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
    derivatives: Derivatives | None = None
    """None: nothing is derived of the images."""


class Recorder:
    """Turns outcomes into records, and into the end of the run where they mean that."""

    def __init__(
        self,
        origin: RunIdentity,
        ledger: Ledger,
        stop: Stop,
        health: ModelHealth,
        failure_limit: FailureLimit | None,
    ) -> None:
        self._origin = origin
        self._ledger = ledger
        self._stop = stop
        self._health = health
        self._failure_limit = failure_limit
        self._answered = False
        self._refusal: AttemptError | None = None
        """The last one since the service gave an answer."""
        self._told_open: set[type[AttemptError]] = set()
        self._sizes: set[tuple[str | None, int, int]] = set()
        self.on_record: Callable[[Task, Record, int], None] = _ignore
        """Told of each record that is durable, and where its line begins."""

    def refuses(self, task: Task) -> bool:
        """Whether the task's models were denied so often that its tasks stay open."""
        return self._health.refuses(task)

    def leave_open(self, task: Task) -> None:
        """Take note of a task that was not made and has no record: a later run makes it."""
        if self._health.is_denied_for_good(task):
            self._ledger.tally.left_denied = True

    async def watch(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Give up on time, though every attempt may be waiting then.

        A service that is slow and has refused nothing is waited for.
        """
        tally = self._ledger.tally
        while self._stop.stopping is None:
            left = tally.patience - tally.quiet_s()
            if left <= 0 and self._refusal is not None:
                self._give_up(self._refusal)
            await sleep(max(left, LOOK_AGAIN))

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
        self._note_refusal(retry.error)
        if not isinstance(retry.error, NeverSent):
            self._answered = True
        elif not self._answered and retry.attempt >= UNSENT_ATTEMPTS and self._is_quiet():
            said = sentences(retry.error.message, retry.error.advice)
            self._stop.apply(StopCause.UNREACHABLE, said=said)

    async def conclude(self, outcome: Outcome) -> None:
        """Write down what became of a task; one that only the service's state failed stays open.

        Raises:
            StorageError: the manifest could not be written.
        """
        error = outcome.error if isinstance(outcome, Failed) else None
        if error is not None:
            self._note_refusal(error)
        if isinstance(error, (*NOT_BILLED, Misconfigured, QuotaExhausted)):
            self.leave_open(outcome.task)
            self._tell_open(outcome.task, error)
            return
        self._answered = True
        if isinstance(outcome, Succeeded):
            self._warn_of_size(outcome)
        record, cancelled = await self._with_derived(outcome, to_record(outcome, self._origin))
        offset = await self._append(record)
        self._ledger.tally.record(record)
        self._ledger.observer.record(record)
        self.on_record(outcome.task, record, offset)
        if cancelled is not None:
            raise cancelled
        if error is None or not retryable(error):
            self._refusal = None
        self._judge()

    def _tell_open(self, task: Task, error: AttemptError) -> None:
        """Say why a task stays open where nothing else tells it; once for each kind of reason."""
        is_new = isinstance(error, NOT_BILLED) and type(error) not in self._told_open
        if self._stop.stopping is None and is_new:
            self._told_open.add(type(error))
            why = f"{task.label} stays open: {error.code}: {error.message}"
            self._ledger.observer.notice(sentences(why, "Others like it are not told of"))

    async def _append(self, record: Record) -> int:
        """Write a record down, and drop the temporary names of its images in the same thread."""
        paths = [image.path for image in record.images]
        settle = partial(self._ledger.store.settle_all, paths, record.task_id)
        return await self._ledger.manifest.append(record, then=settle if paths else None)

    async def skip(self, task: Task, reason: str, *, retryable: bool) -> None:
        """Write down that a task was not tried, for a parent of it was not made.

        Args:
            task: with the parent's id in its request.
            reason: a sentence.
            retryable: whether a later run may make the parent.

        Raises:
            StorageError: the manifest could not be written.
        """
        record = skipped_record(task, self._origin, reason, retryable=retryable)
        offset = await self._ledger.manifest.append(record)
        self._ledger.tally.record(record)
        self._ledger.observer.record(record)
        self.on_record(task, record, offset)

    async def _with_derived(
        self, outcome: Outcome, record: Record
    ) -> tuple[Record, asyncio.CancelledError | None]:
        """The record with what is derived of its image, which lies there and was paid for.

        Whoever is cancelled here writes the record first: then only the derived files are missing.
        """
        derivatives = self._ledger.derivatives
        if derivatives is None or not record.images:
            return record, None
        try:
            first = await derivatives.complete(outcome.task, record.images[0], record.finished_at)
        except asyncio.CancelledError as error:
            return record, error
        if not first.derived:
            return record, None
        now = {"images": (first, *record.images[1:]), "finished_at": utc_now()}
        return record.model_copy(update=now), None

    def _note_refusal(self, error: AttemptError) -> None:
        """End the run if the service has only refused or failed calls for too long."""
        if retryable(error):
            self._refusal = error
            if self._ledger.tally.has_lost_service():
                self._give_up(error)

    def _is_quiet(self) -> bool:
        """With several routes one may be slow to answer while the others are not there."""
        return not self._origin.routes or self._ledger.tally.quiet_s() >= LONGEST_ANSWER

    def _give_up(self, error: AttemptError) -> None:
        if isinstance(error, CredentialsRefused):
            self._stop.apply(StopCause.CREDENTIALS, refusal=describe(error))
            return
        quiet = duration(self._ledger.tally.patience)
        self._stop.apply(
            StopCause.THROTTLED_OUT,
            what=f"No call has got through for {quiet} (limits.give_up_after)",
            said=sentences(error.message, error.advice),
        )

    def _warn_of_size(self, outcome: Succeeded) -> None:
        """Tell of the first picture of each size that is not the one asked for; it is kept."""
        call = outcome.call
        for image in outcome.generation.images:
            asked = missed_size(call.request, call.family, (image.width, image.height))
            sizes = (asked, image.width, image.height)
            if asked is None or sizes in self._sizes or len(self._sizes) >= SIZES_TOLD:
                continue
            self._sizes.add(sizes)
            self._ledger.observer.notice(
                f"{image.path} is {image.width}x{image.height}, and {asked} was asked for: it is "
                "kept. Others of these sizes are not told of."
            )

    def _judge(self) -> None:
        """Whether this outcome ends the run."""
        counts = self._ledger.tally.counts
        failed = counts[Status.FAILED]
        if exceeded(self._failure_limit, failed, sum(counts.values())):
            self._stop.apply(StopCause.FAILURES, failed=failed)


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


def to_record(outcome: Outcome, origin: RunIdentity) -> Record:
    """The record of a task whose attempts have ended."""
    task, sent = outcome.task, outcome.sent
    now, price = utc_now(), _price(outcome.call)
    return Record(
        **_asked(task, origin, None if sent is None else sent.target),
        served=served_by(outcome.substitute),
        attempts=outcome.attempts,
        started_at=now if sent is None else sent.at,
        finished_at=now,
        **(_made(outcome, price) if isinstance(outcome, Succeeded) else _unmade(outcome, price)),
    )


def _made(outcome: Succeeded, price: float | None) -> dict[str, Any]:
    """What a record says of an image that came."""
    generation = outcome.generation
    return {
        "status": Status.SUCCEEDED,
        "images": generation.images,
        "finish_reasons": generation.finish_reasons,
        "request_id": generation.request_id,
        "latency_ms": generation.latency_ms,
        "cost_usd": price,
        "maybe_billed": outcome.maybe_billed,
        "maybe_billed_usd": float(outcome.maybe_billed_usd),
        "error": None,
    }


def _unmade(outcome: Failed, price: float | None) -> dict[str, Any]:
    """What a record says of a task without an image."""
    error = outcome.error
    filtered = error if isinstance(error, Filtered) else None
    maybe, maybe_usd = outcome.maybe_billed, outcome.maybe_billed_usd
    if filtered is not None and may_be_billed(filtered):
        maybe, maybe_usd = maybe + 1, maybe_usd + (outcome.call.price_usd or 0)
    return {
        "status": Status.FAILED if filtered is None else Status.FILTERED,
        "images": (),
        "finish_reasons": () if filtered is None else filtered.finish_reasons,
        "request_id": error.request_id,
        "latency_ms": None,
        "cost_usd": None if price is None else 0.0,
        "maybe_billed": maybe,
        "maybe_billed_usd": float(maybe_usd),
        "error": ErrorInfo(
            type=type(error).__name__,
            code=error.code,
            message=error.message,
            retryable=retryable(error),
        ),
    }


def skipped_record(task: Task, origin: RunIdentity, reason: str, *, retryable: bool) -> Record:
    """The record of a task that was not tried."""
    now = utc_now()
    return Record(
        **_asked(task, origin, None),
        status=Status.SKIPPED,
        images=(),
        finish_reasons=(),
        attempts=0,
        request_id=None,
        started_at=now,
        finished_at=now,
        latency_ms=None,
        cost_usd=None if task.price_usd is None else 0.0,
        maybe_billed=0,
        maybe_billed_usd=0.0,
        error=ErrorInfo(type="Skipped", code="Skipped", message=reason, retryable=retryable),
    )


def _ignore(task: Task, record: Record, offset: int) -> None:
    """Nobody asks."""


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
    now, target, served = utc_now(), None, None
    if announced is not None:
        served = announced.served
        if announced.route is not None:
            region = announced.region or origin.region
            target = Target(region=region, route=announced.route)
    return Record(
        **_asked(task, origin, target),
        served=served,
        status=Status.SUCCEEDED,
        images=(image,),
        finish_reasons=(None,),
        attempts=attempts,
        request_id=None,
        started_at=now,
        finished_at=now,
        latency_ms=None,
        cost_usd=_price(task) if served is None or announced is None else announced.price_usd,
        maybe_billed=0,
        maybe_billed_usd=0.0,
        error=None,
    )


def _asked(task: Task, origin: RunIdentity, target: Target | None) -> dict[str, Any]:
    """The fields that were certain before the call ended."""
    return {
        "run_id": origin.run_id,
        "task_id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "vars": dict(task.vars),
        "original": task.original,
        "model_id": task.model_id,
        "region": origin.region if target is None else target.region,
        "route": None if target is None else target.route,
        "endpoint": origin.endpoint,
        "seed": task.seed,
        "request": dict(task.request),
    }


def _price(task: Task) -> float | None:
    return None if task.price_usd is None else float(task.price_usd)
