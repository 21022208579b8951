"""What is known of a model that a job names, when no item is at hand that says its family."""

from __future__ import annotations

from dataclasses import replace

from batchgen import models
from batchgen.job import Job
from batchgen.models.base import Model, UnknownModel
from batchgen.text import closest, quoted


class JobModels:
    """The models of one job by their names, with the prices that the job gives."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._known: dict[str, Model] = {}

    def of(self, name: str) -> Model:
        """The model of this name.

        One whose id does not tell its family has that of the item, or of the job, that names it as
        its own model.

        Raises:
            UnknownModel: nothing tells which facts hold.
        """
        model = self._known.get(name)
        if model is None:
            model = self._known[name] = self._found(name)
        return model

    def _found(self, name: str) -> Model:
        try:
            model = models.find(name)
        except UnknownModel:
            model = models.find(name, self._family(name))
        price = self._job.prices.get(name)
        return model if price is None else replace(model, price_usd=price)

    def _family(self, name: str) -> str:
        job = self._job
        if job.model == name and job.family is not None:
            return job.family
        for item in job.items:
            if item.family is not None and (item.model or job.model) == name:
                return item.family
        for family in models.FAMILIES:
            models.find(name, family)  # what is no id at all is said to be none
        near = closest(name, models.MODELS)
        hint = f'; did you mean "{near}"? Otherwise' if near else ":"
        what = f"{quoted(name, longest=models.ARN_SHOWN)} is not a model that batchgen knows{hint}"
        advice = "name a known model and, under models of a route, what the service calls it"
        raise UnknownModel(f"{what} {advice}")
