"""What one task's outcome means for the manifest, the counts and the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from batchgen.attempt import Made
from batchgen.availability import Availability
from batchgen.errors import AttemptError, CredentialsRefused, NeverSent
from batchgen.job import FailureLimit
from batchgen.manifest import Manifest
from batchgen.order import Observer
from batchgen.outcome import Origin, record_of
from batchgen.progress import Tally
from batchgen.record import Status
from batchgen.retry import NOT_BILLED, Retry
from batchgen.stopping import Cause, Stop
from batchgen.store import Store
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
    tally: Tally
    observer: Observer


class Concluding:
    """Turns outcomes into records, and into the end of the run where they mean that."""

    def __init__(
        self,
        origin: Origin,
        ledger: Ledger,
        stop: Stop,
        availability: Availability,
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
            self._stop.request(Cause.UNREACHABLE, text.strip())

    async def conclude(self, made: Made) -> None:
        """Write down what became of a task; one that only the service's state failed stays open.

        Raises:
            StorageError: the manifest could not be written.
        """
        if isinstance(made.error, NOT_BILLED) and self._ledger.tally.has_lost_service():
            self._give_up(made.error)
            return
        self._answered = True
        record = record_of(made, self._origin)
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
            self._stop.request(Cause.CREDENTIALS, error.message)
            return
        text = (
            f"No call has got through for {self._ledger.tally.patience / 60:g} minutes "
            f"(limits.give_up_after): {error.message} {error.advice}"
        ).strip()
        self._stop.request(Cause.THROTTLED_OUT, text)

    def _judge(self) -> None:
        """Whether this outcome ends the run."""
        counts = self._ledger.tally.counts
        failed = counts[Status.FAILED]
        if exceeded(self._failure_limit, failed, sum(counts.values())):
            text = f"{failed} tasks failed: limits.max_failures is reached."
            self._stop.request(Cause.FAILURES, text)
