"""From the items of a job to its rows, in one fixed order: matrix, zip, exclude, override, sample.

Nothing else makes more of an item than one row. What tells rows apart are ids and the names of
values, never places: a value or an item more leaves all other rows as they are.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial, reduce
from itertools import product
from math import prod
from typing import Any

from batchgen.job.axes import PARAMETER, is_placeholder, placeholder
from batchgen.job.complaints import Complaints, Path
from batchgen.job.fields import written
from batchgen.job.items_from import DataRows
from batchgen.job.mending import EXPANDING
from batchgen.job.rows import Row, changed
from batchgen.job.schema import Job
from batchgen.job.sections import Changes, Sample
from batchgen.job.steps import Steps
from batchgen.text import closest, did_you_mean, quoted

STAGES = ("rows", "matrix", "zip", "exclude", "override", "sample", "variants")
"""In the order in which they are applied; a job with `steps` has these before the variants."""
MOST_KEPT = 10_000
"""Combinations that are worked out once and not for every item anew."""


@dataclass(slots=True, kw_only=True)
class Setting:
    """What a value of an axis, or one value of each axis together, gives to an item."""

    names: tuple[tuple[str, str], ...] = ()
    """Axis and name of its value, in the order of the job file."""
    vars: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    """Parameter of an axis -> the name of its value, for placeholders."""
    parameters: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    family: str | None = None
    places: dict[Path, Path] = field(default_factory=dict)
    """Key of the item -> where it stands in the job file."""

    def and_also(self, other: Setting) -> Setting:
        """Both together."""
        return Setting(
            names=self.names + other.names,
            vars=self.vars | other.vars,
            shown=self.shown | other.shown,
            parameters=self.parameters | other.parameters,
            model=other.model or self.model,
            family=other.family if other.model else self.family,
            places=self.places | other.places,
        )


def axes_of(job: Job) -> tuple[str, ...]:
    """The axes of a job in the order of its labels."""
    return (*job.matrix, *job.zip)


def settings_of(axis: str, values: Sequence[Any], at: Path) -> list[Setting]:
    """What each value of an axis gives to an item; `at` is where the axis stands."""
    return [_setting(axis, value, (*at, index)) for index, value in enumerate(values)]


def _setting(axis: str, value: Any, at: Path) -> Setting:
    is_mapping = isinstance(value, Mapping)
    name = value["name"] if is_mapping else written(value)
    made = Setting(names=((axis, name),))
    given: dict[str, Any] = {axis: value}
    if is_mapping:
        given = {key: each for key, each in value.items() if key != "name"}
        if is_placeholder(axis) and axis != "model":
            given.setdefault(axis, name)
    for key, each in given.items():
        place = (*at, key) if is_mapping else at
        if key in ("model", "family"):
            setattr(made, key, written(each))
            made.places[(key,)] = place
        elif key.startswith(PARAMETER):
            parameter = key.removeprefix(PARAMETER)
            made.parameters[parameter] = each
            made.places["parameters", parameter] = place
        else:
            made.vars[key] = written(each)
            made.places["vars", key] = place
    if axis.startswith(PARAMETER) and is_placeholder(placeholder(axis)):
        made.shown[placeholder(axis)] = name
    return made


class Expansion:
    """The rows of one job; iterate it as often as needed.

    What is wrong goes to `found`: a pattern that matches nothing once a walk is complete, and an
    item that brings itself what the matrix gives.
    """

    def __init__(self, job: Job, found: Complaints) -> None:
        self._job = job
        self._found = found
        self.steps = Steps(job)
        self.counts = dict.fromkeys(STAGES[:-1], 0)
        """Stage -> rows after it, of the last walk."""
        self._excluded = [_Pattern(job, each, ("exclude", n)) for n, each in enumerate(job.exclude)]
        self._overrides = [
            (_Pattern(job, each.when, ("override", n, "when")), each.set)
            for n, each in enumerate(job.override)
        ]
        matrix = [settings for (key, _), settings in self.axes() if key == "matrix"]
        columns = [settings for (key, _), settings in self.axes() if key == "zip"]
        zipped = [_together(each) for each in zip(*columns, strict=False)] or [Setting()]
        self._columns: set[str] = set()
        self._axes = [*matrix, zipped]
        self._sizes = (prod(map(len, matrix)), len(zipped))
        self._kept: list[Setting] | None = None
        if prod(self._sizes) <= MOST_KEPT:
            self._kept = [_together(each) for each in product(*self._axes)]
        given = [setting for axis in self._axes for setting in axis]
        self._given = {key for setting in given for key in setting.places}
        self.is_plain = not any(getattr(job, key) for key in EXPANDING)
        """One item is one row."""

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order of the items; those of one item in the order of its axes."""
        if self._job.steps:
            yield from self._stepped()
        else:
            yield from self._rows(self._found)
        self._complain_of_unmatched()

    def _rows(self, found: Complaints) -> Iterator[Row]:
        self.counts = dict.fromkeys(STAGES[:-1], 0)
        sample = self._job.sample
        yield from self._edited(found) if sample is None else self._sampled(sample, found)

    def _stepped(self) -> Iterator[Row]:
        """The rows of every step; the items that others need come first, wherever they stand."""
        anchors, made = self.steps.anchors, 0
        if anchors:
            for row in self._rows(Complaints()):
                if row.item.id in anchors:
                    made += len(self._job.steps)
                    yield from self.steps.rows(row)
        for row in self._rows(self._found):
            if row.item.id not in anchors:
                made += len(self._job.steps)
                self.counts["steps"] = made
                yield from self.steps.rows(row)
        self.counts["steps"] = made

    def variables(self) -> set[str]:
        """Names of all variables that some item, or the job, gives a value."""
        named = {str(name) for key, *rest in self._given if key == "vars" for name in rest}
        return named.union(self._columns, self._job.vars, *(item.vars for item in self._job.items))

    def axes(self) -> Iterator[tuple[Path, list[Setting]]]:
        """Every axis: where it stands, and what its values give to an item."""
        for key in ("matrix", "zip"):
            for axis, values in getattr(self._job, key).items():
                yield (key, axis), settings_of(axis, values, (key, axis))

    def _items(self, found: Complaints) -> Iterator[Row]:
        if self._job.items_from:
            yield from DataRows(self._job, found, self._columns)
        for index, item in enumerate(self._job.items):
            yield Row(index, item, ("items", index), (), item.id)

    def _sampled(self, sample: Sample, found: Complaints) -> Iterator[Row]:
        order = partial(_order, sample.seed)
        chosen = heapq.nsmallest(sample.count, map(order, self._edited(Complaints())))
        last = chosen[-1] if chosen else -1
        del chosen
        self.counts = dict.fromkeys(STAGES[:-1], 0)
        for row in self._edited(found):
            if order(row) <= last:
                self.counts["sample"] += 1
                yield row

    def _edited(self, found: Complaints) -> Iterator[Row]:
        counts, in_matrix, in_zip = self.counts, *self._sizes
        for row in self._items(found):
            counts["rows"] += 1
            counts["matrix"] += in_matrix
            counts["zip"] += in_matrix * in_zip
            if self.is_plain:
                yield row
                continue
            for combined in self._combined(row, found):
                if self._is_excluded(combined):
                    continue
                counts["exclude"] += 1
                # All are asked before any is applied, so that `when` means the combination.
                meant = [each for each in self._overrides if each[0].matches(combined)]
                for pattern, changes in meant:
                    _apply(changes, combined, (*pattern.at[:2], "set"))
                yield combined
        if self.is_plain:
            counts["exclude"] = counts["rows"]
        counts["override"] = counts["exclude"]
        if self._job.sample is None:
            counts["sample"] = counts["exclude"]

    def _combined(self, row: Row, found: Complaints) -> Iterator[Row]:
        if self._given:
            self._complain_of_own(row, found)
        for setting in self._kept or map(_together, product(*self._axes)):
            yield _combination(row, setting, self._job) if setting.names else row

    def _complain_of_own(self, row: Row, found: Complaints) -> None:
        item = row.item
        own: list[Path] = [("vars", name) for name in item.vars]
        own += [("parameters", name) for name in item.parameters]
        own += [("model",)] if item.model is not None else []
        for key in own:
            if key in self._given:
                text = "stands in the matrix of the job too: one of them must go"
                found.add(row.path(*key), text)

    def _is_excluded(self, row: Row) -> bool:
        # Each is asked, for each must match something.
        return sum(pattern.matches(row) for pattern in self._excluded) > 0

    def _complain_of_unmatched(self) -> None:
        if self._found.is_any_mended((*EXPANDING, "items", "vars")) or self._found.are_of_data:
            return
        for pattern in (*self._excluded, *(pattern for pattern, _ in self._overrides)):
            if not pattern.has_matched:
                self._found.add(pattern.at, pattern.complaint(self.variables()))


def _together(settings: Sequence[Setting]) -> Setting:
    return reduce(Setting.and_also, settings, Setting())


def _combination(row: Row, setting: Setting, job: Job) -> Row:
    item = row.item
    values: dict[str, Any] = {}
    if setting.vars or setting.shown:
        shown = {name: text for name, text in setting.shown.items() if name not in job.vars}
        values["vars"] = {**shown, **item.vars, **setting.vars}
    if setting.parameters:
        values["parameters"] = {**item.parameters, **setting.parameters}
    if setting.model is not None:
        values |= {"model": setting.model, "family": setting.family}
    return Row(
        row.number,
        changed(item, **values),
        row.at,
        tuple(sorted(setting.names)),
        "/".join((row.label, *(name for _, name in setting.names))),
        setting.places,
    )


def _apply(changes: Changes, row: Row, at: Path) -> None:
    """Give a row what an override says."""
    item = row.item
    values: dict[str, Any] = {}
    places = dict(row.places or {})
    for name in sorted(changes.model_fields_set):
        given = getattr(changes, name)
        if isinstance(given, dict):
            values[name] = {**getattr(item, name), **given}
            places |= {(name, key): (*at, name, key) for key in given}
        else:
            values[name] = given
            places[(name,)] = (*at, name)
    if "model" in values:
        values.setdefault("family", None)
    row.item, row.places = changed(item, **values), places


def _order(seed: int, row: Row) -> int:
    """The place of a row among those that a sample chooses from."""
    parts = (str(seed), row.item.id, *(text for axis in row.axes for text in axis))
    text = "".join(f"{len(part)}:{part}," for part in parts)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)


class _Pattern:
    """Names to values, all of which must match."""

    def __init__(self, job: Job, pattern: Mapping[str, tuple[str, ...]], at: Path) -> None:
        self._job = job
        self._tests = [(name, self._value_of(name), texts) for name, texts in pattern.items()]
        self.at = at
        self.has_matched = False

    def matches(self, row: Row) -> bool:
        """Whether the row is one of those that are meant."""
        for _, value_of, texts in self._tests:
            value = value_of(row)
            if value is None or not _is_like(value, texts):
                return False
        self.has_matched = True
        return True

    def _value_of(self, name: str) -> Callable[[Row], str | None]:
        """What a row has under this name, as text."""
        job = self._job
        if name in axes_of(job):
            return lambda row: dict(row.axes)[name]
        if name == "id":
            return lambda row: row.item.id
        if name == "model":
            return lambda row: row.item.model or job.model
        if name.startswith(PARAMETER):
            return partial(_parameter, job, name.removeprefix(PARAMETER))
        return lambda row: row.item.vars.get(name, job.vars.get(name))

    def complaint(self, variables: set[str]) -> str:
        """Why it matches nothing."""
        known = {"id", "model", *axes_of(self._job), *variables}
        for name, _, texts in self._tests:
            if name not in known and not name.startswith(PARAMETER):
                hint = did_you_mean(closest(name, known))
                return f"matches nothing: {quoted(name)} is no variable or axis of the job{hint}"
            values = self._values(name)
            if values and not any(_is_like(value, texts) for value in values):
                hint = did_you_mean(closest(texts[0], values))
                return f"matches nothing: no value of {name} is like {quoted(texts[0])}{hint}"
        return "matches nothing: no combination has all of these"

    def _values(self, name: str) -> list[str]:
        job = self._job
        if name in axes_of(job):
            values = (job.matrix | job.zip)[name]
            return [each.names[0][1] for each in settings_of(name, values, ())]
        return [item.id for item in job.items] if name == "id" else []


def _is_like(value: str, texts: Sequence[str]) -> bool:
    """Whether a value is one of these texts, or fits one as a pattern."""
    return any(value == text or fnmatchcase(value, text) for text in texts)


def _parameter(job: Job, name: str, row: Row) -> str | None:
    value = row.item.parameters.get(name, job.parameters.get(name))
    return written(value) if isinstance(value, str | int | float) else None
