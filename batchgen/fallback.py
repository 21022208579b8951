"""What is tried when a task cannot be made as it asks: only what its job allows, in a fixed order.

A refusal by moderation: new seeds, then the fallback prompt. A model that is denied, past its end
of life, throttled out or without capacity: the next model. A wrong request, a lost answer or a
failure of the service never: they would fail again, or may have been paid for.
"""

from __future__ import annotations

from collections.abc import Callable

from batchgen.admission import may_be_billed
from batchgen.attempt import Substitute
from batchgen.availability import Availability, why
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
from batchgen.retry import Made, MakeCall, Tries, never
from batchgen.substitutes import Substitutes
from batchgen.task import Task

OUT_OF_REACH = (ModelDenied, RouteDenied, Throttled, Unavailable)
"""Errors of the last attempt after which another model is tried."""


class FallingBack:
    """A `Make` that goes on with a substitute where the job allows one."""

    def __init__(
        self,
        make: MakeCall,
        substitutes: Substitutes,
        availability: Availability,
        on_filtered: OnFiltered,
    ) -> None:
        self._make = make
        self._substitutes = substitutes
        self._availability = availability
        self._on_filtered = on_filtered

    async def __call__(self, task: Task) -> Made:
        """All attempts at one task, by the first of its models that can be had.

        Raises:
            NotStarted: the run stops, or no route is left for its models: the task stays open.
            StorageError: an image came and could not be stored.
        """
        tries = Tries()
        reason: str | None = None
        *others, last = (task.model_id, *task.fallback)
        for model_id in others:
            lost = self._availability.lost(model_id)
            if lost is not None:
                reason = reason or lost
                continue
            made = await self._by_model(task, model_id, reason, tries)
            if not isinstance(made.error, OUT_OF_REACH):
                return made
            reason = why(made.error)
        return await self._by_model(task, last, reason, tries)

    async def _by_model(self, task: Task, model_id: str, reason: str | None, tries: Tries) -> Made:
        """All that the job allows with one model; what comes of it is noted for other tasks."""
        substitute = None
        if reason is not None:
            call = self._substitutes.of_model(task, task, model_id)
            substitute = Substitute(call=call, reason=reason)
        is_last = model_id == (task.model_id, *task.fallback)[-1]
        leave = never if is_last else self._leaving(model_id)
        made = await self._unfiltered(task, substitute, tries, leave)
        if made.error is None or isinstance(made.error, Filtered):
            self._availability.worked(model_id)
        elif isinstance(made.error, ModelDenied):
            self._availability.denied(model_id, made.error)
            if isinstance(made.error, NoRoute) and is_last:
                raise NotStarted(made.error.message)
        return made

    def _leaving(self, model_id: str) -> Callable[[AttemptError], bool]:
        def leave(error: AttemptError) -> bool:
            return isinstance(error, OUT_OF_REACH) and self._availability.refused(model_id, error)

        return leave

    async def _unfiltered(
        self,
        task: Task,
        substitute: Substitute | None,
        tries: Tries,
        leave: Callable[[AttemptError], bool],
    ) -> Made:
        """One model, with new seeds and the fallback prompt while moderation refuses."""
        made = await self._make(task, substitute, tries, leave)
        asked = made.call
        for number in range(1, self._on_filtered.retry_with_new_seed + 1):
            if not isinstance(made.error, Filtered):
                return made
            made = await self._again(made, self._substitutes.of_seed(asked, number), tries, leave)
        if isinstance(made.error, Filtered) and task.fallback_prompt is not None:
            call = self._substitutes.of_prompt(task, asked)
            made = await self._again(made, call, tries, leave)
        return made

    async def _again(
        self, made: Made, call: Task, tries: Tries, leave: Callable[[AttemptError], bool]
    ) -> Made:
        """The next call for a task whose last one moderation refused."""
        if made.error is not None and may_be_billed(made.error):
            tries.set_aside(made.call.price_usd)
        return await self._make(made.task, Substitute(call=call, reason="filtered"), tries, leave)
