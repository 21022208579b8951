"""Which records of a manifest are made again, and what they tell of the settings to do it with."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from batchgen.errors import InputError, JobError
from batchgen.job import Item, Job, Route
from batchgen.models import Model, UnknownModel, find
from batchgen.plan.item import FOLDER
from batchgen.plan.pinning import sent
from batchgen.text import closest, did_you_mean, quoted

if TYPE_CHECKING:
    from batchgen.record import Record, Status

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class Records(Protocol):
    """Records that can be walked again and again, as `output.Originals`."""

    def __len__(self) -> int:
        """How many they are."""

    def read(self, indices: Iterable[int] | None = None) -> Iterator[Record]:
        """Those with these running indices; None: all."""


def _succeeded() -> tuple[Status, ...]:
    from batchgen.record import Status  # noqa: PLC0415  # pydantic, which most plans do without

    return (Status.SUCCEEDED,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which records of a manifest are to be made again, and as what."""

    only: Sequence[str] = ()
    """Patterns of item ids or labels; none: all. One text is one pattern."""
    statuses: Collection[Status] = field(default_factory=_succeeded)
    run_id: str | None = None
    """Of the only run whose records count, wherever their images are; None: the last records."""
    limit: int | None = None
    """The first so many; None: all."""
    model: str | None = None
    """Make them with this model; None: each with its own."""
    endpoint: str | None = None
    """What is called; None: what the records name."""
    output: str | None = None
    """Folder of images and manifest; None: beside the originals."""

    def __post_init__(self) -> None:
        only = (self.only,) if isinstance(self.only, str) else tuple(self.only)
        object.__setattr__(self, "only", only)
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit cannot be {self.limit}; allowed: a whole number from 1 on.")


@dataclass(slots=True)
class Chosen:
    """The records that a choice left, and what all of them together say."""

    records: Records
    choice: Choice
    indices: array[int] = field(default_factory=lambda: array("Q"))
    endpoints: Counter[str] = field(default_factory=Counter)
    regions: dict[str, set[str]] = field(default_factory=dict)
    """Region -> the models that were called there."""

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, positions: Iterable[int] | None = None) -> Iterator[Record]:
        """The records at these positions of the choice; None: all."""
        wanted = self.indices if positions is None else (self.indices[at] for at in positions)
        return self.records.read(wanted)


def choose(records: Records, choice: Choice) -> Chosen:
    """Walk the records once.

    Raises:
        InputError: none is left, or a pattern fits none.
    """
    chosen = Chosen(records, choice)
    unused, names = set(choice.only), set[str]()
    statuses: Counter[Status] = Counter()
    for index, record in enumerate(records.read()):
        fitting = {pattern for pattern in choice.only if _fits(record, pattern)}
        unused -= fitting
        if choice.only and not fitting:
            names.add(record.item_id)
            continue
        statuses[record.status] += 1
        if record.status not in choice.statuses:
            continue
        if choice.limit is None or len(chosen) < choice.limit:
            chosen.indices.append(index)
            chosen.endpoints[record.endpoint] += 1
            chosen.regions.setdefault(record.region, set()).add(
                choice.model or sent(record).model_id
            )
    for pattern in sorted(unused):
        near = did_you_mean(closest(pattern.strip("*?"), names))
        raise InputError(f"--only {quoted(pattern)} fits no record of the manifest{near}")
    if not chosen.indices:
        found = ", ".join(f"{count} {status}" for status, count in statuses.items())
        wanted = " or ".join(sorted(choice.statuses))
        raise InputError(f"No record that was chosen is {wanted}; there are: {found or 'none'}")
    return chosen


def _fits(record: Record, pattern: str) -> bool:
    return fnmatchcase(record.item_id, pattern) or fnmatchcase(record.label, pattern)


def replay_job(chosen: Chosen, folder: Path, job_name: str | None) -> Job:
    """The job with the settings that the records tell; its tasks are those of a `Replay`.

    Args:
        chosen: the records.
        folder: the output that they are of.
        job_name: of the job that made them; None if it is not known.

    Raises:
        InputError: they do not tell what to call, or the output would be that of the originals.
    """
    choice = chosen.choice
    name = _NOT_IN_NAMES.sub("-", f"{(job_name or folder.absolute().name)[:80]}-reproduced")
    output = choice.output or _beside(folder, choice.model)
    place, originals = Path(output).resolve(), folder.resolve()
    if place == originals or place.is_relative_to(originals / FOLDER):
        raise InputError(
            f"{folder} holds the originals, and nothing is made there: name another --output."
        )
    try:
        return Job(
            name=name.lstrip("-._"),
            endpoint=choice.endpoint or _endpoint(chosen.endpoints),
            output=output,
            # A job has an item; what makes the tasks of this one is the manifest.
            items=[Item(id="reproduced")],
            **_regions(chosen),
        )
    except JobError as error:
        said = "; ".join(f"{each.path[0]} {each.text}" for each in error.complaints)
        raise InputError(f"What the records name cannot be called: {said}") from None


def _beside(folder: Path, model: str | None) -> str:
    """The output of an order that names none: the folder of the originals with a longer name."""
    place = folder if folder.name not in ("", "..") else folder.resolve()
    end = "reproduced" if model is None else f"reproduced-{_NOT_IN_NAMES.sub('-', model)[:80]}"
    return str(place.with_name(f"{place.name}-{end}"))


def _endpoint(named: Counter[str]) -> str:
    if len(named) == 1:
        return next(iter(named))
    found = ", ".join(f"{quoted(name)} {count}" for name, count in named.most_common(5))
    raise InputError(
        f"The records are of several endpoints ({found}): say with --endpoint which to call, or "
        "choose one run with --run."
    )


def _regions(chosen: Chosen) -> dict[str, Any]:
    """Where each model is called: where the records say, or where another one is served."""
    regions = dict(chosen.regions)
    target = chosen.choice.model
    if target is not None:
        served = _known(target).regions
        if served and not set(served) & set(regions):
            return {"region": served[0]}
        regions = {name: its for name, its in regions.items() if not served or name in served}
    if len(regions) == 1:
        return {"region": next(iter(regions))}
    routes = (
        Route(name=name, region=name, models={each: each for each in sorted(its)})
        for name, its in regions.items()
    )
    return {"routes": tuple(routes)}


def _known(model_id: str) -> Model:
    try:
        return find(model_id, advice="name a known one")
    except UnknownModel as error:
        raise InputError(f"--model: {error}") from None
