"""The steps of a job: whose images they take, in which order they come, and their rows.

A parent comes before its children in every walk through a plan: the items that others take an
image of stand first, and of one item the steps in the order in which they need each other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from batchgen.errors import Complaint
from batchgen.job.complaints import Path
from batchgen.job.rows import Row, changed
from batchgen.job.schema import Job
from batchgen.job.sections import Derivative, Step
from batchgen.models import FAMILIES
from batchgen.text import closest, did_you_mean, quoted

MARK = "@"
"""Begins the name of another step in an image parameter."""
ANCHOR = "@item:"
"""Begins the name of an item and one of its steps."""
IMAGE_PARAMETERS = frozenset(
    name for family in FAMILIES.values() for name in family.IMAGE_PARAMETERS
)
STEP = "step"
"""The placeholder of a job with steps that stands for the id of each."""
NO_VARIABLE = "{step} is the id of the step in a job with steps: give the variable another name"


@dataclass(frozen=True, slots=True)
class Reference:
    """The step whose image a parameter takes."""

    text: str
    """As the job has it."""
    step: str
    item: str | None = None
    """Id of the anchor; None: of the same item."""

    @classmethod
    def of(cls, text: str) -> Reference:
        """What a text that begins with `MARK` names."""
        if not text.startswith(ANCHOR):
            return cls(text, text.removeprefix(MARK))
        item, _, step = text.removeprefix(ANCHOR).rpartition("/")
        return cls(text, step, item)


def references(step: Step) -> dict[str, Reference]:
    """Image parameter -> whose image it takes, for those that take that of a step."""
    return {
        name: Reference.of(value)
        for name, value in step.parameters.items()
        if name in IMAGE_PARAMETERS and isinstance(value, str) and value.startswith(MARK)
    }


class Steps:
    """The steps of one job, those first that others need."""

    def __init__(self, job: Job) -> None:
        """Look at the references; what is wrong with them, `complaints` says."""
        self._job = job
        self.references = {step.id: references(step) for step in job.steps}
        """Step -> image parameter -> whose image it takes."""

    @cached_property
    def anchors(self) -> frozenset[str]:
        """Ids of the items that others take an image of."""
        return frozenset(one.item for one in self._all_references() if one.item is not None)

    def _all_references(self) -> Iterator[Reference]:
        return (one for taken in self.references.values() for one in taken.values())

    @cached_property
    def order(self) -> tuple[tuple[int, Step], ...]:
        """The steps with their places in the job, each behind those that it needs."""
        found: list[tuple[int, Step]] = []
        done: set[str] = set()
        left = list(enumerate(self._job.steps))
        while left:
            ready = next((each for each in left if self._needs(each[1].id) <= done), left[0])
            left.remove(ready)
            found.append(ready)
            done.add(ready[1].id)
        return tuple(found)

    def _needs(self, step: str) -> set[str]:
        """Of another item too: that item has the same steps."""
        return {one.step for one in self.references[step].values()} & self.references.keys()

    @cached_property
    def derived(self) -> Mapping[str | None, tuple[Derivative, ...]]:
        """Step -> what is derived of its images; None is the only one of a job without steps."""
        if not self._job.steps:
            return {None: self._job.derive}
        return {step.id: self._derived(step) for step in self._job.steps}

    def _derived(self, step: Step) -> tuple[Derivative, ...]:
        if step.derive is not None:
            return step.derive
        return () if step.id in self._taken else self._job.derive

    def suffixes(self) -> dict[str | None, tuple[str, ...]]:
        """Step -> with what the names of the files end that are derived of its images."""
        return {
            step: tuple(each.suffix for each in wanted) for step, wanted in self.derived.items()
        }

    @cached_property
    def _taken(self) -> frozenset[str]:
        """The steps whose images go on to another step of the same item."""
        return frozenset(one.step for one in self._all_references() if one.item is None)

    def rows(self, row: Row) -> Iterator[Row]:
        """The rows of one row, one for each step."""
        chain: list[Row] = []
        for place, step in self.order:
            chain.append(_row(row, step, ("steps", place), chain))
        yield from chain

    def complaints(self, known: Collection[str]) -> Iterator[Complaint]:
        """Ids that stand twice, unknown steps and anchors, cycles.

        Args:
            known: the ids of all items; empty where only data files tell.
        """
        first: dict[str, int] = {}
        for place, step in enumerate(self._job.steps):
            if first.setdefault(step.id, place) != place:
                text = f"{quoted(step.id)} is the id of steps[{first[step.id]}] already"
                yield Complaint(path=("steps", place, "id"), text=f"{text}: every id stands once")
            for name, taken in self.references[step.id].items():
                wrong = self._wrong(step, taken, known)
                if wrong is not None:
                    yield Complaint(path=("steps", place, "parameters", name), text=wrong)

    def _wrong(self, step: Step, taken: Reference, known: Collection[str]) -> str | None:
        said = quoted(taken.text)
        if taken.item == "":
            return f'{said} names no step of an item: it is written "{ANCHOR}ITEM/STEP"'
        if taken.step not in self.references:
            hint = did_you_mean(closest(taken.step, self.references))
            steps = ", ".join(self.references)
            return f"{said} names no step of the job; there are {steps}{hint}"
        if taken.item is not None and known and taken.item not in known:
            hint = did_you_mean(closest(taken.item, known))
            return f"{said} names no item of the job{hint}"
        cycle = self._cycle(step.id, taken.step)
        if cycle:
            return f"{said} closes a circle: {' needs '.join(cycle)}"
        return None

    def _cycle(self, start: str, first: str) -> list[str]:
        """The steps on a way from one step back to itself; empty if there is none."""
        todo, seen = [[start, first]], set[str]()
        while todo:
            way = todo.pop()
            if way[-1] == start:
                return way
            if way[-1] not in seen:
                seen.add(way[-1])
                todo += [[*way, each] for each in sorted(self._needs(way[-1]))]
        return []


def _row(row: Row, step: Step, at: Path, chain: list[Row]) -> Row:
    """The row of one step, with what the step says in place of what the item does."""
    item = row.item
    values: dict[str, object] = {}
    places: dict[Path, Path] = dict(row.places or {})
    if step.model is not None:
        values |= {"model": step.model, "family": step.family, "fallback": ()}
        places[("model",)] = (*at, "model")
        values["parameters"] = step.parameters
    elif step.parameters:
        values["parameters"] = {**item.parameters, **step.parameters}
    for name in ("prompt", "negative_prompt"):
        if (text := getattr(step, name)) is not None:
            values[name] = text
            places[(name,)] = (*at, name)
    places |= {("parameters", name): (*at, "parameters", name) for name in step.parameters}
    return replace(
        row, item=changed(item, **values), places=places, step=step, step_at=at, chain=chain
    )
