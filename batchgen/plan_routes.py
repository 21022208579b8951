"""Whether the routes of a job serve its models, and know no others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from batchgen.complaints import Complaints
from batchgen.job import Job
from batchgen.models.base import Model
from batchgen.text import closest


def check_routes(job: Job, named: Collection[str], known: Iterable[str], found: Complaints) -> None:
    """Complain of models that no route serves, and of names on routes that no model has.

    Args:
        job: with or without routes.
        named: every model that an item names or may fall back on.
        known: those of them that nothing is wrong with.
        found: takes the complaints.
    """
    if not job.routes:
        return
    for name in known:
        if all(route.called(name) is None for route in job.routes):
            advice = "name it under models of one of them, or leave models out of one"
            found.add(("routes",), f"none of them serves {name}: {advice}")
    for index, route in enumerate(job.routes):
        for name in route.models:
            if name not in named:
                near = closest(name, named)
                hint = f'; did you mean "{near}"?' if near else ""
                text = f"no model of this job has that name{hint}"
                found.add(("routes", index, "models", name), text)


def far_regions(job: Job, models: Iterable[Model]) -> Iterator[str]:
    """A sentence for each model and Region where it is not known to be, yet called by its id."""
    ways = job.ways
    for model in models:
        for way in ways:
            own = way.called(model.id) == model.id
            if own and model.regions and way.region not in model.regions:
                where = f"{', '.join(model.regions)}, not in {way.region}"
                route = f" (route {way.name})" if job.routes else ""
                yield f"{model.id} is known to be in {where}{route}"
