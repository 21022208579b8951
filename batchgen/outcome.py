"""From what became of a task to the line that the manifest has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchgen.admission import may_be_billed
from batchgen.attempt import Generation, Made, Place, served_by
from batchgen.errors import AttemptError, Filtered
from batchgen.job import Job
from batchgen.record import AttemptLine, ErrorInfo, Record, Status, StoredImage, utc_now
from batchgen.retry import retryable
from batchgen.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What every record of a run has in common."""

    run_id: str
    region: str
    endpoint: str
    routes: bool = False
    """Whether the job names routes."""

    @classmethod
    def of(cls, run_id: str, job: Job) -> Origin:
        """The origin of the records of a run of this job."""
        return cls(run_id=run_id, region=job.region, endpoint=job.endpoint, routes=bool(job.routes))


def record_of(made: Made, origin: Origin) -> Record:
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
    task: Task, image: StoredImage, attempts: int, origin: Origin, announced: AttemptLine | None
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
            place = Place(region=region, route=announced.route)
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


def _asked(task: Task, origin: Origin, place: Place | None) -> dict[str, Any]:
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


def _place(generation: Generation | None, error: AttemptError | None) -> Place | None:
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
