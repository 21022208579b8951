"""Whether every item can be made by its fallback models, and with the fallback prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchgen.job import Complaints, Job, Path, Row
from batchgen.models import (
    LifeCycle,
    Model,
    Problem,
    UnknownModel,
    Untranslatable,
    translate,
    with_prompt,
)
from batchgen.plan.item import FixedRequest, PlannedItem
from batchgen.plan.model_lookup import JobModels
from batchgen.plan.prepare import WIDEST_SEED

_PROMPT: Path = ("on_filtered", "fallback_prompt")


class Fallbacks:
    """The fallback models of one job; what is wrong with them goes to `found`."""

    def __init__(self, job: Job, found: Complaints) -> None:
        self._job = job
        self._found = found
        self._models = JobModels(job)
        self.places: dict[str, Path] = {}
        """Every model that stands in a list of fallbacks -> where it stands first."""
        self.known: dict[str, Model] = {}
        """Those of them that we have facts of."""
        self.used: dict[str, Model] = {}
        """Those of them that an item may fall back on, in the order of the items."""
        self._learn(("fallback",), job.fallback)
        for index, item in enumerate(job.items):
            if item.fallback:
                self._learn(("items", index, "fallback"), item.fallback)

    def _learn(self, path: Path, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            self.places.setdefault(name, (*path, number))
            try:
                self.known[name] = self._models.of_name(name)
            except UnknownModel as error:
                self._found.add((*path, number), str(error))

    def living(self, planned: PlannedItem) -> str | None:
        """The first model that can stand in for the item's own; None if none can."""
        for name in planned.fallback:
            if name in self.known and self.known[name].life_cycle is not LifeCycle.RETIRED:
                return name
        return None

    def check(self, planned: PlannedItem) -> None:
        """Complain of what a fallback model or the fallback prompt cannot make of an item."""
        prompted = planned.fallback_prompt is not None and self._can_take_prompt(planned)
        if prompted:
            self._check_prompt(planned, planned.model)
        for path, name in self._fallbacks(planned):
            model = self.known.get(name)
            if model is None:
                continue
            self.used.setdefault(name, model)
            for problem in _first_wrong(planned, model, when_refused=False):
                own = path[: len(planned.row.at)] == planned.row.at
                where = "" if own else self._where(planned.row, problem)
                text = f"{name} cannot stand in for {planned.model_id}: {problem.text}{where}"
                self._found.add(path, text)
            if prompted:
                self._check_prompt(planned, model)

    def _fallbacks(self, planned: PlannedItem) -> Iterator[tuple[Path, str]]:
        """The item's fallback models, and where they stand."""
        if not planned.fallback:
            return
        own = planned.row.item.fallback
        path: Path = ("fallback",) if own is None else planned.row.path("fallback")
        for number, name in enumerate(self._job.fallback if own is None else own):
            if name != planned.model_id:
                yield (*path, number), name

    def _where(self, row: Row, problem: Problem) -> str:
        """The item, unless what is wrong is the same for all items."""
        item, name = row.item, problem.key[0] if problem.key else ""
        texts = {"prompt": item.prompt, "negative_prompt": item.negative_prompt}
        own = texts.get(str(name)) is not None or name in item.parameters
        shared = self._job.prompt if name == "prompt" else self._job.parameters.get(str(name))
        is_same = not own and shared is not None and "{" not in str(shared)
        return "" if is_same else f" (in {row})"

    def _can_take_prompt(self, planned: PlannedItem) -> bool:
        """Whether a prompt of the item can be replaced at all."""
        own = planned.row.item.parameters
        for name in sorted(planned.family.PROMPT_PARAMETERS):
            if name in own or name in self._job.parameters:
                where = f" (in {planned.row})" if name in own else ""
                text = f'cannot stand beside "{name}": use prompts, or leave it out{where}'
                self._found.add(_PROMPT, text)
                return False
        return True

    def _check_prompt(self, planned: PlannedItem, model: Model) -> None:
        is_template = "{" in (self._job.on_filtered.fallback_prompt or "")
        where = f" (in {planned.row})" if is_template else ""
        for problem in _first_wrong(planned, model, when_refused=True):
            if problem.key == ("prompt",):  # the rest is of the item, and was said
                text = problem.text.replace('"prompt"', '"fallback_prompt"', 1)
                self._found.add(_PROMPT, f"{model.id} cannot take it: {text}{where}")


def _first_wrong(planned: PlannedItem, model: Model, *, when_refused: bool) -> Sequence[Problem]:
    """What the model would refuse of the first variant that it does not take.

    If the longest prompts are right, so are the shorter ones.
    """

    def of(seed: int, variant: int) -> Sequence[Problem]:
        request = planned.requests.of(seed, variant)
        prompt = planned.prompt_when_refused(seed, variant) if when_refused else None
        if prompt is not None:
            request = with_prompt(request, planned.family.NAME, prompt)
        try:
            translate(request, planned.model, model)
        except Untranslatable as error:
            return error.problems
        return ()

    requests, template = planned.requests, planned.fallback_prompt
    if isinstance(requests, FixedRequest) or not requests.texts.parameters_vary:
        found = of(int(WIDEST_SEED), planned.variants)
        varies = when_refused and template is not None and bool(template.names)
        if not found or (isinstance(requests, FixedRequest) and not varies):
            return found
    for variant in range(1, planned.variants + 1):
        found = of(planned.seeds.of(variant), variant)
        if found:
            return found
    return ()
