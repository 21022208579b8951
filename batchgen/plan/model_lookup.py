"""What is known of a model that a job names: its facts, with the price that the job gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from batchgen.job import Item, Job
from batchgen.models import FAMILIES, MODELS, Model, UnknownModel, find
from batchgen.task import Task
from batchgen.text import closest

ADVICE = "name a known model and, under models of a route, what the service calls it"


class JobModels:
    """The models of one job; each is looked up once, also an unknown one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._found: dict[tuple[str, str | None, str | None], Model | str] = {}

    def of_item(self, item: Item) -> Model | None:
        """The item's own model, with the family beside it; None if neither item nor job names one.

        Raises:
            UnknownModel: nothing tells which facts hold.
        """
        name, family = item.model or self._job.model, item.family
        if name is None:
            return None
        if item.model is None and family is None:
            family = self._job.family
        return self._look_up(name, family)

    def meant(self, item: Item) -> Model | None:
        """The model whose name is nearest to an item's own, which nobody knows; None if none is."""
        near = closest(item.model or self._job.model or "", MODELS)
        return None if near is None else MODELS[near]

    def of_name(self, name: str) -> Model:
        """The model of this name, wherever it stands.

        One whose id does not tell its family has that of the item, or of the job, that names it as
        its own model.

        Raises:
            UnknownModel: nothing tells which facts hold.
        """
        try:
            return self._look_up(name, None)
        except UnknownModel:
            return self._look_up(name, self._family_beside(name), ADVICE)

    def of_call(self, call: Task) -> Model:
        """The model of a call; of one that two items give two families, the family of the call."""
        try:
            known = self.of_name(call.model_id)
        except UnknownModel:
            known = None
        if known is None or known.family != call.family:
            return FAMILIES[call.family].generic(call.model_id)
        return known

    def known(self, names: Iterable[str]) -> dict[str, Model]:
        """Those of these models that nothing is wrong with."""
        found = {}
        for name in names:
            try:
                found[name] = self.of_name(name)
            except UnknownModel:
                continue
        return found

    def _look_up(self, name: str, family: str | None, advice: str | None = None) -> Model:
        key = (name, family, advice)
        found = self._found.get(key)
        if found is None:
            try:
                model = find(name, family, advice=advice)
                price = self._job.price_of(name)
                found = model if price is None else replace(model, price_usd=price)
            except UnknownModel as error:
                found = str(error)
            self._found[key] = found
        if isinstance(found, str):
            raise UnknownModel(found)
        return found

    def _family_beside(self, name: str) -> str | None:
        job = self._job
        if job.model == name and job.family is not None:
            return job.family
        for item in job.items:
            if item.family is not None and (item.model or job.model) == name:
                return item.family
        return None
