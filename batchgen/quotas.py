"""One pacer for each model: a quota belongs to one model in one Region of one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.endpoint import AskQuotas
from batchgen.errors import ServiceUnusable
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


async def pacers_of(
    job: Job, outline: PlanSummary, ask: AskQuotas, clock: Callable[[], float]
) -> dict[str, Pacer]:
    """A pacer for each model, at its quota.

    That is what the job says; for `auto` what the account's Service Quotas say, asked once; else
    the model's documented default; and where nobody knows, the pacer finds it.

    Raises:
        ServiceUnusable: the account may not call a model at all.
    """
    given = job.limits.requests_per_minute
    models = {each.model_id: each.model.requests_per_minute for each in outline.models}
    found = await ask(models) if given == "auto" else {}
    pacers = {}
    for model_id, documented in models.items():
        quota = given if isinstance(given, int | float) else found.get(model_id)
        if quota == 0:
            raise ServiceUnusable(
                f"The quota of {model_id} in {job.region} is 0 calls a minute: this account may "
                "not call it. Ask AWS Support, or choose another model or Region."
            )
        pace = Pace(
            requests_per_minute=documented if quota is None else quota,
            concurrency=job.limits.concurrency,
        )
        pacers[model_id] = Pacer(pace, clock=clock)
    return pacers
