"""What is tried when a task cannot be made as it asks: only what its job allows, in a fixed order.

A refusal by moderation: new seeds, then the fallback prompt. A model that is denied, past its end
of life, throttled out or without capacity: the next model. A wrong request, a lost answer or a
failure of the service never: they would fail again, or may have been paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batchgen.attempt import Failed, Outcome, Substitute, Succeeded
from batchgen.errors import (
    AttemptError,
    Filtered,
    InputChanged,
    ModelDenied,
    NoRoute,
    NotStarted,
    RouteDenied,
    Throttled,
    Unavailable,
)
from batchgen.job import OnFiltered
from batchgen.plan import Substitutes
from batchgen.policies.budget import may_be_billed
from batchgen.policies.model_health import ModelHealth, why
from batchgen.policies.retry import NOT_BILLED, AttemptCounts, RunCall, never
from batchgen.task import Task

OUT_OF_REACH = (ModelDenied, RouteDenied, Throttled, Unavailable)
"""Errors of the last attempt after which another model is tried."""


@dataclass(slots=True)
class _Story:
    """How far one task has come."""

    task: Task
    counts: AttemptCounts = field(default_factory=AttemptCounts)
    refusals: int = 0
    """By moderation, whatever model it was: as many new seeds and prompts were used up."""
    left: dict[str, str] = field(default_factory=dict)
    """Model id -> why this task left it, as in `record.Served`."""
    last: Failed | None = None


class Fallback:
    """A `RunTask` that goes on with a substitute where the job allows one."""

    def __init__(
        self,
        run_call: RunCall,
        substitutes: Substitutes,
        health: ModelHealth,
        on_filtered: OnFiltered,
    ) -> None:
        self._run_call = run_call
        self._substitutes = substitutes
        self._health = health
        self._on_filtered = on_filtered

    async def __call__(self, task: Task) -> Outcome:
        """All attempts at one task, by the first of its models that may be called.

        A model that was left because it refused is gone back to where all others are denied.

        Raises:
            NotStarted: the run stops, or no route is left for its models: the task stays open.
            StorageError: an image came and could not be stored.
        """
        story = _Story(task)
        while models := self._models(story):
            *others, last = models
            model_id = next((each for each in others if self._is_to_be_asked(story, each)), last)
            outcome = await self._by_model(story, model_id, is_last=model_id == last)
            if outcome is None:
                story.left[model_id] = self._health.reason(model_id)
                continue
            if isinstance(outcome, Succeeded) or not isinstance(outcome.error, OUT_OF_REACH):
                return outcome
            if model_id == last and not isinstance(outcome.error, ModelDenied):
                return outcome
            story.last, story.left[model_id] = outcome, why(outcome.error)
        error = None if story.last is None else story.last.error
        if story.last is None or isinstance(error, NoRoute) or not isinstance(error, ModelDenied):
            raise NotStarted(f"No model is left that could make {task.label}.")
        return story.last

    def _models(self, story: _Story) -> list[str]:
        """The models that did not deny themselves, to this task or for good."""
        return [
            model_id
            for model_id in (story.task.model_id, *story.task.fallback)
            if story.left.get(model_id) != "denied" and not self._health.is_denied(model_id)
        ]

    def _is_to_be_asked(self, story: _Story, model_id: str) -> bool:
        if model_id in story.left:
            return False
        lost = self._health.lost(model_id)
        if lost is not None:
            story.left[model_id] = lost
        return lost is None

    async def _by_model(self, story: _Story, model_id: str, *, is_last: bool) -> Outcome | None:
        """All that the job allows with one model, new seeds and prompt while moderation refuses.

        None if the model was lost while the next call waited for its turn.
        """

        def leave(error: AttemptError) -> bool:
            return isinstance(error, OUT_OF_REACH) and self._health.refused(model_id, error)

        task, counts = story.task, story.counts
        base = task
        if model_id != task.model_id:
            base = self._substitutes.of_model(task, task, model_id)
        call = self._version(story, base) or base
        while True:
            substitute = None if call is task else Substitute(call=call, reason=_reason(story))
            may_leave = never if is_last else leave
            outcome = await self._unless_lost(story, model_id, substitute, may_leave)
            if outcome is None:
                return None
            self._note(model_id, outcome)
            if isinstance(outcome, Succeeded) or not isinstance(outcome.error, Filtered):
                return outcome
            story.refusals += 1
            version = self._version(story, base)
            if version is None:
                return outcome
            if may_be_billed(outcome.error):
                counts.set_aside(call.price_usd)
            call = version

    async def _unless_lost(
        self,
        story: _Story,
        model_id: str,
        substitute: Substitute | None,
        leave: Callable[[AttemptError], bool],
    ) -> Outcome | None:
        """All attempts at one call; None if its model was lost while the next one waited.

        An attempt that waits for a lost model would wait for long, and keep its task from the next
        model. One that was sent is not called back: it may be paid for.
        """
        counts, withdrawn = story.counts, False
        worker: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # it is one
        cancelled_before = worker.cancelling()

        def withdraw() -> None:
            nonlocal withdrawn
            is_over = leave is not never or self._health.is_denied(model_id)
            waits = counts.state.sent is None and worker is not asyncio.current_task()
            if is_over and waits and not withdrawn:
                withdrawn = worker.cancel()

        on_loss = self._health.on_loss[model_id]
        on_loss.add(withdraw)
        try:
            return await self._run_call(story.task, substitute, counts, leave)
        except asyncio.CancelledError:
            if not withdrawn or worker.uncancel() > cancelled_before:
                raise  # somebody else cancelled it, too
            return None
        finally:
            on_loss.discard(withdraw)

    def _version(self, story: _Story, base: Task) -> Task | None:
        """What is sent after so many refusals in place of this call; None if nothing is left."""
        # Without a seed a second call would ask for the same.
        seeds = self._on_filtered.retry_with_new_seed if "seed" in base.request else 0
        if story.refusals == 0:
            return base
        if story.refusals <= seeds:
            return self._substitutes.of_seed(base, story.refusals)
        if story.refusals > seeds + 1 or story.task.fallback_prompt is None:
            return None
        call = self._substitutes.of_prompt(story.task, base)
        return None if call.id == base.id else call  # it would be refused again

    def _note(self, model_id: str, outcome: Outcome) -> None:
        """Tell the other tasks what this one met."""
        error = outcome.error if isinstance(outcome, Failed) else None
        if error is None or isinstance(error, Filtered):
            self._health.worked(model_id)
        elif isinstance(error, ModelDenied):
            self._health.denied(model_id, error)
        elif not isinstance(error, (*NOT_BILLED, InputChanged)):
            self._health.served(model_id)


def _reason(story: _Story) -> str:
    """Why something else is sent; a model that the task never came to was denied before."""
    return "filtered" if story.refusals else story.left.get(story.task.model_id, "denied")
