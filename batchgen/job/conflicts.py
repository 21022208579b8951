"""What no single value of a job shows: things that stand twice or contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from batchgen.errors import Complaint
from batchgen.job.endpoint_url import PLAIN_HTTP, is_plain_http
from batchgen.job.schema import Job, Route
from batchgen.text import quoted


def conflicts(job: Job) -> Iterator[Complaint]:
    """Ids that stand twice, items without a model, routes that are one and the same, and more."""
    yield from _items(job)
    yield from _routes(job)
    if is_plain_http(job.endpoint) and not job.allow_plain_http:
        yield Complaint(path=("endpoint",), text=f"{quoted(job.endpoint)}: {PLAIN_HTTP}")


def _items(job: Job) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, item in enumerate(job.items):
        earlier = first.setdefault(item.id, index)
        if earlier != index:
            text = f"{quoted(item.id)} is the id of items[{earlier}] already: every id stands once"
            yield Complaint(path=("items", index, "id"), text=text)
    if job.model is None:
        without = [index for index, item in enumerate(job.items) if item.model is None]
        if without:
            where = f"items[{without[0]}]" + (
                f" and {len(without) - 1:,} more" if without[1:] else ""
            )
            text = f"is missing: name the model that makes the pictures of {where}"
            yield Complaint(path=("model",), text=text)


def _routes(job: Job) -> Iterator[Complaint]:
    seen: list[Route] = []
    for index, route in enumerate(job.ways if job.routes else ()):
        for earlier, other in enumerate(seen):
            if route.name == other.name and not _is_one(route, other):
                text = f"is the name of routes[{earlier}] already: give this route another one"
                yield Complaint(path=("routes", index, "name"), text=f"{quoted(route.name)} {text}")
            elif _is_one(route, other):
                yield Complaint(path=("routes", index), text=same_quota(f"routes[{earlier}]"))
        seen.append(route)


def same_quota(other: str) -> str:
    """What is wrong with a route that has another one's quota."""
    return (
        f"is the same account and Region as {other}: they share one quota. "
        "Leave one out, or name an inference profile for it under models"
    )


def _is_one(route: Route, other: Route) -> bool:
    """Whether two routes surely have one account and Region, and a model in common there."""
    same = (route.owner, route.region) == (other.owner, other.region)
    return same and overlap(route, other)


def overlap(route: Route, other: Route) -> bool:
    """Whether two routes of one account and Region would call something in common."""
    if route.models and other.models:
        return not set(route.models.values()).isdisjoint(other.models.values())
    named = route.models or other.models
    # Who serves all models by their own ids meets whoever calls one by its own.
    return not named or any(model == called for model, called in named.items())
