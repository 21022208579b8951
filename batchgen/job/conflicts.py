"""What no single value of a job shows: things that stand twice or contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from batchgen.errors import Complaint
from batchgen.job.complaints import Path
from batchgen.job.endpoint_url import PLAIN_HTTP, is_plain_http
from batchgen.job.images import MOST_PIXELS
from batchgen.job.matrix import axes_of, settings_of
from batchgen.job.schema import Job
from batchgen.job.sections import ContentCredentials, Derivative, Item, Route
from batchgen.job.steps import NO_VARIABLE, STEP, Steps
from batchgen.text import LONGEST_NAME, dotted, quoted


def conflicts(job: Job) -> Iterator[Complaint]:
    """Ids that stand twice, items without a model, routes that are one and the same, and more."""
    if job.include and job.source is None:
        yield Complaint(path=("include",), text="has a meaning in a job file alone")
    yield from _items(job)
    yield from _axes(job)
    for index, override in enumerate(job.override):
        if not override.set.model_fields_set:
            text = "is empty: name what to edit, or leave the override out"
            yield Complaint(path=("override", index, "set"), text=text)
    if job.steps:
        yield from _variables(job)
        known = () if job.items_from else tuple(item.id for item in job.items)
        yield from Steps(job).complaints(known)
    if job.limits.whole_chains and not job.steps:
        yield Complaint(path=("limits", "whole_chains"), text="needs steps")
    yield from _routes(job)
    yield from _derivatives(job.derive, ("derive",))
    for place, step in enumerate(job.steps):
        yield from _derivatives(step.derive or (), ("steps", place, "derive"))
    if is_plain_http(job.endpoint) and not job.allow_plain_http:
        yield Complaint(path=("endpoint",), text=f"{quoted(job.endpoint)}: {PLAIN_HTTP}")
    if job.metadata.content_credentials is not None:
        yield from _credentials(job, job.metadata.content_credentials)


def _derivatives(ordered: Sequence[Derivative], at: Path) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, each in enumerate(ordered):
        earlier = first.setdefault(each.suffix.lower(), index)
        if earlier != index:
            text = f"{quoted(each.suffix)} is the suffix of {dotted((*at, earlier))} already"
            yield Complaint(path=(*at, index, "suffix"), text=f"{text}: every one stands once")
        width, height = each.width, each.height
        if width is None and height is None and each.format is None:
            text = "changes nothing: give it a width, a height or a format"
            yield Complaint(path=(*at, index), text=text)
        if each.fit == "cover" and (width is None or height is None):
            yield Complaint(path=(*at, index, "fit"), text="cover needs a width and a height")
        is_filled = each.fit == "cover" or each.background is not None
        if is_filled and (width or 0) * (height or 0) > MOST_PIXELS:
            text = f"cannot be {width}x{height}: at most {MOST_PIXELS:,} pixels in all"
            yield Complaint(path=(*at, index), text=text)
        if each.quality is not None and each.format == "png":
            text = "has no meaning for png, which loses nothing: allowed with jpeg and webp"
            yield Complaint(path=(*at, index, "quality"), text=text)


def _credentials(job: Job, files: ContentCredentials) -> Iterator[Complaint]:
    if not job.metadata.is_written:
        text = "cannot be none beside content_credentials: allowed: ai-label, full"
        yield Complaint(path=("metadata", "level"), text=text)
    if find_spec("c2pa") is None:
        text = "needs an extra that is not installed: pip install 'batchgen[c2pa]'"
        yield Complaint(path=("metadata", "content_credentials"), text=text)
    for key in ("certificate", "key"):
        path = job.folder / getattr(files, key)
        if not path.is_file():
            text = f"{quoted(str(path), LONGEST_NAME)} is no file that can be read"
            yield Complaint(path=("metadata", "content_credentials", key), text=text)


def _items(job: Job) -> Iterator[Complaint]:
    if not job.items and not job.items_from:
        text = "is missing: list what to make, each with an id, or name a file in items_from"
        yield Complaint(path=("items",), text=text)
    if job.items and job.items_from:
        yield Complaint(path=("items_from",), text="stands beside items: one of them must go")
    for index, named in enumerate(job.items_from):
        if named in job.items_from[:index]:
            text = f"{quoted(named, LONGEST_NAME)} stands there twice: its rows would be made twice"
            yield Complaint(path=("items_from", index), text=text)
    if len({item.id for item in job.items}) < len(job.items):
        yield from _same_ids(job.items)
    is_needed = not job.steps or any(step.model is None for step in job.steps)
    if job.model is None and is_needed and "model" not in axes_of(job) and not is_model_open(job):
        without = [index for index, item in enumerate(job.items) if item.model is None]
        if without:
            where = f"items[{without[0]}]" + (
                f" and {len(without) - 1:,} more" if without[1:] else ""
            )
            text = f"is missing: name the model that makes the pictures of {where}"
            yield Complaint(path=("model",), text=text)


def _variables(job: Job) -> Iterator[Complaint]:
    """Variables of a job with steps that no placeholder could take."""
    places: list[Path] = [("vars",)] * (STEP in job.vars)
    places += [("items", n, "vars") for n, item in enumerate(job.items) if STEP in item.vars]
    places += [
        ("override", n, "set", "vars") for n, it in enumerate(job.override) if STEP in it.set.vars
    ]
    for place in places:
        yield Complaint(path=(*place, STEP), text=NO_VARIABLE)
    for key in ("matrix", "zip"):
        for axis, values in getattr(job, key).items():
            for setting in settings_of(axis, values, (key, axis)):
                if STEP in (*setting.vars, *setting.shown):
                    at = setting.places.get(("vars", STEP), (key, axis))
                    yield Complaint(path=(key, axis) if axis == STEP else at, text=NO_VARIABLE)


def _same_ids(items: Sequence[Item]) -> Iterator[Complaint]:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        earlier = first.setdefault(item.id, index)
        if earlier != index:
            text = f"{quoted(item.id)} is the id of items[{earlier}] already: every id stands once"
            yield Complaint(path=("items", index, "id"), text=text)


def is_model_open(job: Job) -> bool:
    """Whether only the rows tell if each of them has a model."""
    return bool(job.override or job.items_from)


def _axes(job: Job) -> Iterator[Complaint]:
    lengths = {axis: len(values) for axis, values in job.zip.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{quoted(axis)} has {length:,}" for axis, length in lengths.items())
        text = f"lists that advance together need the same length: {told}"
        yield Complaint(path=("zip",), text=text)
    owners: dict[Path, str] = {}
    for key in ("matrix", "zip"):
        for axis, values in getattr(job, key).items():
            if key == "zip" and axis in job.matrix:
                yield Complaint(path=(key, axis), text="is an axis of the matrix already")
                continue
            yield from _values(axis, values, (key, axis), owners)


def _values(
    axis: str, values: Sequence[Any], at: Path, owners: dict[Path, str]
) -> Iterator[Complaint]:
    seen: dict[str, int] = {}
    for index, setting in enumerate(settings_of(axis, values, at)):
        name = setting.names[0][1]
        # In a zip, a value may come again beside another one.
        if at[0] == "matrix" and seen.setdefault(name, index) != index:
            text = f"{quoted(name)} stands there already, as the value {seen[name] + 1}"
            yield Complaint(path=(*at, index), text=text)
        for key, place in setting.places.items():
            owner = owners.setdefault(key, axis)
            if owner != axis:
                text = f"{quoted(owner)} sets {dotted(key)} already: one of them must go"
                yield Complaint(path=place, text=text)


def _routes(job: Job) -> Iterator[Complaint]:
    seen: list[Route] = []
    for index, route in enumerate(job.effective_routes if job.routes else ()):
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
