"""One pacer for each model: a quota belongs to one model in one Region of one account."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.pacing import Pacer, PaceState, paced


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
