"""What is tried when a task cannot be made as it asks: only what its job allows, in a fixed order.

A refusal by moderation: new seeds, then the fallback prompt. A model that is denied, past its end
of life, throttled out or without capacity: the next model. A wrong request, a lost answer or a
failure of the service never: they would fail again, or may have been paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.attempt import Outcome, Substitute
from batchgen.errors import (
    AttemptError,
    Filtered,
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
    tries: AttemptCounts = field(default_factory=AttemptCounts)
    refusals: int = 0
    """By moderation, whatever model it was: as many new seeds and prompts were used up."""
    left: dict[str, str] = field(default_factory=dict)
    """Model id -> why this task left it, as in `record.Served`."""
    last: Outcome | None = None


class Fallback:
    """A `Make` that goes on with a substitute where the job allows one."""

    def __init__(
        self,
        make: RunCall,
        substitutes: Substitutes,
        availability: ModelHealth,
        on_filtered: OnFiltered,
    ) -> None:
        self._make = make
        self._substitutes = substitutes
        self._availability = availability
        self._on_filtered = on_filtered

    async def __call__(self, task: Task) -> Outcome:
        """All attempts at one task, by the first of its models that can be had.

        A model that was left because it refused is gone back to where all others are denied.

        Raises:
            NotStarted: the run stops, or no route is left for its models: the task stays open.
            StorageError: an image came and could not be stored.
        """
        story = _Story(task)
        while models := self._models(story):
            *others, last = models
            model_id = next((each for each in others if self._is_to_be_asked(story, each)), last)
            made = await self._by_model(story, model_id, is_last=model_id == last)
            if made is None:
                story.left[model_id] = self._availability.reason(model_id)
                continue
            story.last, error = made, made.error
            if not isinstance(error, OUT_OF_REACH):
                return made
            if model_id == last and not isinstance(error, ModelDenied):
                return made
            story.left[model_id] = why(error)
        error = None if story.last is None else story.last.error
        if story.last is None or isinstance(error, NoRoute) or not isinstance(error, ModelDenied):
            raise NotStarted(f"No model is left that could make {task.label}.")
        return story.last

    def _models(self, story: _Story) -> list[str]:
        """The models that did not deny themselves, to this task or for good."""
        return [
            model_id
            for model_id in (story.task.model_id, *story.task.fallback)
            if story.left.get(model_id) != "denied" and not self._availability.is_denied(model_id)
        ]

    def _is_to_be_asked(self, story: _Story, model_id: str) -> bool:
        if model_id in story.left:
            return False
        lost = self._availability.lost(model_id)
        if lost is not None:
            story.left[model_id] = lost
        return lost is None

    async def _by_model(self, story: _Story, model_id: str, *, is_last: bool) -> Outcome | None:
        """All that the job allows with one model, new seeds and prompt while moderation refuses.

        None if the model was lost while the next call waited for its turn.
        """

        def leave(error: AttemptError) -> bool:
            return isinstance(error, OUT_OF_REACH) and self._availability.refused(model_id, error)

        task, tries = story.task, story.tries
        base = task
        if model_id != task.model_id:
            base = self._substitutes.of_model(task, task, model_id)
        call = self._version(story, base) or base
        while True:
            substitute = None if call is task else Substitute(call=call, reason=_reason(story))
            made = await self._made(story, model_id, substitute, never if is_last else leave)
            if made is None:
                return None
            self._note(model_id, made.error)
            if not isinstance(made.error, Filtered):
                return made
            story.refusals += 1
            version = self._version(story, base)
            if version is None:
                return made
            if may_be_billed(made.error):
                tries.set_aside(call.price_usd)
            call = version

    async def _made(
        self,
        story: _Story,
        model_id: str,
        substitute: Substitute | None,
        leave: Callable[[AttemptError], bool],
    ) -> Outcome | None:
        """All attempts at one call; None if its model was lost while the next one waited.

        Who waits for a model that is lost would wait for long, and the next model's calls behind.
        """
        waiting, course = asyncio.current_task(), story.tries.course
        cancelled = 0 if waiting is None else waiting.cancelling()

        def withdraw() -> None:
            if waiting is None or waiting is asyncio.current_task():
                return
            is_over = leave is not never or self._availability.is_denied(model_id)
            if is_over and not course.sent and not course.withdrawn:
                course.withdrawn = True
                waiting.cancel()

        try:
            with self._availability.watched(model_id, withdraw):
                return await self._make(story.task, substitute, story.tries, leave)
        except asyncio.CancelledError:
            if not course.withdrawn or waiting is None or waiting.uncancel() > cancelled:
                raise
            course.withdrawn = False
            return None

    def _version(self, story: _Story, base: Task) -> Task | None:
        """What is sent after so many refusals in place of this call; None if nothing is left."""
        seeds = self._on_filtered.retry_with_new_seed
        if story.refusals == 0:
            return base
        if story.refusals <= seeds:
            return self._substitutes.of_seed(base, story.refusals)
        if story.refusals > seeds + 1 or story.task.fallback_prompt is None:
            return None
        call = self._substitutes.of_prompt(story.task, base)
        return None if call.id == base.id else call  # it would be refused again

    def _note(self, model_id: str, error: AttemptError | None) -> None:
        """Tell the other tasks what this one met."""
        if error is None or isinstance(error, Filtered):
            self._availability.worked(model_id)
        elif isinstance(error, ModelDenied):
            self._availability.denied(model_id, error)
        elif not isinstance(error, NOT_BILLED):
            self._availability.served(model_id)


def _reason(story: _Story) -> str:
    """Why something else is sent; a model that the task never came to was denied before."""
    return "filtered" if story.refusals else story.left.get(story.task.model_id, "denied")
