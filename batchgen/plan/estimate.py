"""How long the tasks of a job take: by quota, and by calls in flight and what each call takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.job import Job
from batchgen.models import Model

USUAL_LATENCY = 10.0
"""Seconds of a call of a model of which nothing else is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Of tasks that all succeed at once."""

    seconds: float
    by_quota: Mapping[str, float]
    """Model -> seconds that its quota alone would take; without those whose quota is not known."""

    @property
    def minutes(self) -> float:
        """Rounded to tenths, for programs."""
        return round(self.seconds / 6) / 10

    @property
    def is_by_concurrency(self) -> bool:
        """The quota would allow more than the calls in flight get done."""
        return self.seconds > 1.01 * max(self.by_quota.values(), default=0.0)


def estimate(
    job: Job,
    models: Mapping[str, Model],
    tasks: Mapping[str, int],
    rates: Mapping[str, float | None],
) -> Estimate:
    """How long these tasks take.

    Args:
        job: for its calls in flight.
        models: those that are known, by the names that the job gives them.
        tasks: model -> how many to make.
        rates: model -> calls a minute on all its routes together; None if not known.
    """
    left = {name: count for name, count in tasks.items() if count}
    by_quota = {name: 60 * left[name] / rate for name in left if (rate := rates.get(name))}
    one_call = {name: call_seconds(job, models.get(name)) for name in left}
    busy = {name: count * one_call[name] for name, count in left.items()}
    by_model = (busy[name] / max(1, _places(job, name)) for name in left)
    seconds = max(
        *by_quota.values(),
        *one_call.values(),
        *by_model,
        sum(busy.values()) / job.in_flight_limit,
        0.0,
    )
    return Estimate(seconds=seconds, by_quota=by_quota)


def call_seconds(job: Job, model: Model | None) -> float:
    """Seconds that one call takes, about."""
    told = job.simulator.latency if job.endpoint == "simulator" else None
    if told is None and model is not None:
        told = model.latency_s
    return USUAL_LATENCY if told is None else told


def _places(job: Job, name: str) -> int:
    """Calls in flight of a model on the routes that serve it."""
    return sum(
        route.in_flight_limit(job.limits)
        for route in job.effective_routes
        if route.called(name) is not None
    )
