"""One pacer for each model: a quota belongs to one model in one Region of one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.job import Job
from batchgen.pacing import Pace, Pacer, PaceState, paced
from batchgen.plan import PlanSummary


class Quotas:
    """The pacers of a run."""

    def __init__(self, pacers: Mapping[str, Pacer]) -> None:
        self._pacers = pacers

    def stop(self) -> None:
        """Send home everybody who waits for a turn; calls in flight go on."""
        for pacer in self._pacers.values():
            pacer.stop()

    def state(self) -> dict[str, PaceState]:
        """How each model's pacer stands."""
        return {model: pacer.state() for model, pacer in self._pacers.items()}

    def wrap(self, generate: Generate) -> Generate:
        """Attempts that wait for a turn of their model's quota."""
        by_model = {model: paced(generate, pacer) for model, pacer in self._pacers.items()}

        async def attempt_when_due(attempt: Attempt) -> Generation:
            return await by_model[attempt.task.model_id](attempt)

        return attempt_when_due


def pacers_of(job: Job, outline: PlanSummary, clock: Callable[[], float]) -> dict[str, Pacer]:
    """A pacer for each model, at the quota that the job gives or the model's documented one."""
    given = job.limits.requests_per_minute
    return {
        each.model_id: Pacer(
            Pace(
                requests_per_minute=(
                    given if isinstance(given, int | float) else each.model.requests_per_minute
                ),
                concurrency=job.limits.concurrency,
            ),
            clock=clock,
        )
        for each in outline.models
    }
