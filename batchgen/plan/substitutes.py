"""What is sent in place of a task's own request: another model, another seed, another prompt.

`plan.check` refuses a job in which one of these cannot be built. Pure: the same task always gives
the same substitutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchgen.job import Job
from batchgen.models import (
    FAMILIES,
    Model,
    Untranslatable,
    prompt_of,
    seed_within,
    translate,
    with_prompt,
    with_seed,
)
from batchgen.plan import seeds
from batchgen.plan.model_lookup import JobModels
from batchgen.task import Task, task_id

NEW_SEED = "new seed"
"""Name under which new seeds are derived; with another one they would be others."""


class Substitutes:
    """The substitutes for the tasks of one job.

    A call is a task as it is sent; at first it is the task itself. Label, item, variables and file
    of a substitute are the task's; model, request, seed, format, price and id are its own.
    """

    def __init__(self, job: Job) -> None:
        self._models = JobModels(job)

    def of_model(self, task: Task, call: Task, model_id: str) -> Task:
        """The call as another model gets it: with the call's prompt and its seed.

        Made from the task's own request, which is what `plan.check` looked at, whatever model the
        call is for.

        Raises:
            ValueError: this model does not take it, or nothing is known of it.
        """
        source, target = self._models.of_call(task), self._models.of_name(model_id)
        try:
            request = translate(self._asked(task, call, source), source, target)
        except Untranslatable as error:
            text = f"{model_id} cannot stand in for {task.model_id} at {task.label}: {error}"
            raise ValueError(text) from error
        family = FAMILIES[target.family]
        return replace(
            _sent(call, model_id, request),
            family=target.family,
            image_format=family.image_format(request),
            price_usd=family.price(target, request),
        )

    def of_seed(self, call: Task, number: int) -> Task:
        """The call with its new seed of this number, from 1 on.

        Different from the call's own seed and from its other new ones, as long as numbers count
        from one and the same call.

        Raises:
            ValueError: the number is below 1.
        """
        if number < 1:
            raise ValueError(f"new seeds count from 1, and {number} is none")
        chosen = seeds.derived(NEW_SEED, call.id, seed_max=self._models.of_call(call).seed_max)
        if call.seed in (chosen.of(earlier) for earlier in range(1, number + 1)):
            number += 1
        request = with_seed(call.request, chosen.of(number))
        return _sent(call, call.model_id, request)

    def of_prompt(self, task: Task, call: Task) -> Task:
        """The call with the task's fallback prompt.

        Raises:
            ValueError: the task has none, or the request has text prompts with weights.
        """
        if task.fallback_prompt is None:
            raise ValueError(f"{task.label} has no prompt to fall back on")
        request = with_prompt(call.request, call.family, task.fallback_prompt)
        return _sent(call, call.model_id, request)

    def _asked(self, task: Task, call: Task, source: Model) -> Mapping[str, Any]:
        """The task's request with the prompt and the seed of the call."""
        request = task.request
        # What the call would be if only the model had changed: the rest was put in on purpose.
        plain = translate(request, source, self._models.of_call(call))
        prompt = prompt_of(call.request, call.family)
        if prompt is not None and prompt != prompt_of(plain, call.family):
            request = with_prompt(request, task.family, prompt)
        if call.seed != plain["seed"]:
            request = with_seed(request, seed_within(call.seed, source))
        return request


def _sent(call: Task, model_id: str, request: dict[str, Any]) -> Task:
    seed: int = request.get("seed", call.seed)
    sent_id = task_id(model_id, request)
    return replace(call, id=sent_id, model_id=model_id, request=request, seed=seed)
