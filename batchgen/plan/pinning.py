"""From a record to the task that makes its image again: the same model, request and seed.

A record may have been written by anybody: what it holds is looked at before a task is made of it,
and one that no task can be made of gets a reason instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from batchgen.job import Job
from batchgen.models import (
    FAMILIES,
    Family,
    InputImage,
    LifeCycle,
    Model,
    UnknownModel,
    UnusableImage,
    find,
)
from batchgen.plan import file_names
from batchgen.plan.check import ended
from batchgen.plan.item import FOLDER
from batchgen.plan.substitutes import Substitutes
from batchgen.task import Task, is_input_image, is_step_image, task_id
from batchgen.text import quoted

if TYPE_CHECKING:
    from batchgen.record import Record

MOST_USD = 1_000.0
"""Of one image; a record that says more of its own does not say what it cost."""
UNFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a family raises at a body that it did not build."""


class NotReproducible(ValueError):
    """No call can make the image of a record again; the text says why."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent for a record: what its task asks for, or what was served in its place."""

    model_id: str
    seed: int
    request: Mapping[str, Any]


def sent(record: Record) -> Sent:
    """What made the image of a record."""
    if record.served is not None:
        return Sent(record.served.model_id, record.served.seed, record.served.request)
    return Sent(record.model_id, record.seed, record.request)


class Pinning:
    """Makes tasks of records, for one run."""

    def __init__(
        self,
        job: Job,
        target: str | None,
        job_files: Mapping[str, str | None],
        output: Path | None = None,
        moved: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            job: says what is called.
            target: the model to make them with; None: each with its own.
            job_files: run id -> the job file of that run, in whose folder its input images lie.
            output: of the records, in which the images lie that one task took of another.
            moved: task id -> where its image lies since it moved.
        """
        self._output = output
        self._moved = moved or {}
        self._refuses_retired = job.endpoint == "aws" and not job.allow_retired
        self._target = target
        self._folders = {
            run_id: Path(file).parent for run_id, file in job_files.items() if file is not None
        }
        self._job = job
        self._substitutes = Substitutes(job)
        self._known: dict[str, Model] = {}
        self._images = job.images

    def model(self, model_id: str) -> Model:
        """The model of a task that was made."""
        return self._known[model_id]

    def task(self, record: Record, *, is_crowded: bool = False) -> Task:
        """The task of a record.

        Args:
            record: with its first image's present path.
            is_crowded: another record's image has the same name.

        Raises:
            NotReproducible: there is none.
        """
        call = sent(record)
        model = self._model(call)
        if self._target is None and self._refuses_retired:
            _require_living(model)
        call = _with_seed(record, call, model)
        call = self._with_inputs(record, call)
        try:
            task = self._pinned(record, call, model)
            if self._target is not None:
                task = self._translated(task, self._target)
        except NotReproducible:
            raise
        except UNFIT as error:
            text = f"its request is none of {call.model_id}: {type(error).__name__}: {error}"
            raise NotReproducible(text) from error
        return replace(task, file_stem=_stem(record, task.id, is_crowded=is_crowded))

    def _model(self, call: Sent) -> Model:
        known = self._known.get(call.model_id)
        if known is None:
            advice = "nor does its request tell"
            try:
                known = find(call.model_id, _family_of(call), advice=advice)
            except UnknownModel as error:
                raise NotReproducible(str(error)) from None
            price = self._job.price_of(call.model_id)
            known = known if price is None else replace(known, price_usd=price)
            self._known[call.model_id] = known
        return known

    def _pinned(self, record: Record, call: Sent, model: Model) -> Task:
        family = FAMILIES[model.family]
        first = record.images[0] if record.images else None
        return Task(
            id=task_id(call.model_id, call.request),
            label=record.label,
            item_id=record.item_id,
            variant=1,
            vars=record.vars,
            model_id=call.model_id,
            family=model.family,
            request=call.request,
            seed=call.seed,
            file_stem="",
            image_format=family.image_format(call.request),
            price_usd=_price(family.price(model, call.request), record),
            original={
                "task_id": record.task_id,
                "run_id": record.run_id,
                "path": None if first is None else first.path,
                "sha256": None if first is None else first.sha256,
            },
        )

    def _translated(self, task: Task, target: str) -> Task:
        if target == task.model_id:
            return task
        try:
            made = self._substitutes.of_model(task, task, target)
        except ValueError as error:
            # Without the label, so that equal reasons are equal.
            said = error.__cause__ or error
            text = f"{target} cannot stand in for {task.model_id}: {said}"
            raise NotReproducible(text) from error
        self._known.setdefault(target, find(target))
        return made

    def _with_inputs(self, record: Record, call: Sent) -> Sent:
        """The call with its input images looked at, each by its absolute path."""
        inputs = {
            name: self._input(record, value)
            for name, value in call.request.items()
            if is_input_image(value)
        }
        return Sent(call.model_id, call.seed, {**call.request, **inputs}) if inputs else call

    def _input(self, record: Record, named: Mapping[str, Any]) -> InputImage:
        places = self._places(record, named)
        found = [self._images.find(str(place)) for place in places]
        for each in found:
            if isinstance(each, InputImage) and each["sha256"] == named["sha256"]:
                return each
        place, first = places[0], found[0]
        shown = f"its input image {quoted(str(place), 200)}"
        if isinstance(first, UnusableImage):
            gone = "" if place.exists() else "is gone: "
            raise NotReproducible(f"{shown} {gone or 'cannot be sent: '}{first.text}")
        raise NotReproducible(f"{shown} has changed since: its sha256 is another one")

    def _places(self, record: Record, named: Mapping[str, Any]) -> list[Path]:
        """Where an input image may lie: under its name, or where that of another task moved to."""
        path = str(named["path"])
        if not is_step_image(named):
            return [(self._folders.get(record.run_id, Path()) / path).absolute()]
        if self._output is None or ".." in Path(path).parts or Path(path).is_absolute():
            raise NotReproducible(f"nobody knows where {quoted(path, 200)} is")
        names = dict.fromkeys((path, self._moved.get(str(named["task"]), path)))
        return [(self._output / name).absolute() for name in names]


def _require_living(model: Model) -> None:
    if model.life_cycle is LifeCycle.RETIRED:
        raise NotReproducible(f"{ended(model)} and AWS refuses it: --model names another one")


def _with_seed(record: Record, call: Sent, model: Model) -> Sent:
    """The call with its seed certain.

    Where somebody altered a record, its seed may contradict its request: what its id knows is the
    one of old, and the other one is what was wanted.
    """
    seed = call.request.get("seed")
    if seed is None:
        why = "got no seed" if model.takes_seed else "takes no seed"
        raise NotReproducible(f"{model.title} {why}: nothing makes another call the same picture")
    if type(seed) is not int or seed < 1:
        raise NotReproducible(f"its request has the seed {quoted(seed)}, which names no picture")
    if seed == call.seed:
        return call
    is_old = record.served is None and record.task_id == task_id(call.model_id, call.request)
    if is_old and call.seed >= 1:
        return Sent(call.model_id, call.seed, {**call.request, "seed": call.seed})
    return Sent(call.model_id, seed, call.request)


def _price(known: Decimal | None, record: Record) -> Decimal | None:
    """The larger one of what a call costs and of what it cost: the job's prices are not known."""
    cost = record.cost_usd
    if cost is None or not 0 < cost <= MOST_USD:
        return known
    told = Decimal(str(cost))
    return told if known is None else max(known, told)


def _family_of(call: Sent) -> str | None:
    """The family of a model whose id does not tell it: the first one that can read the request."""
    try:
        find(call.model_id)
    except UnknownModel:
        families = FAMILIES.items()
        return next((name for name, family in families if _reads(family, call.request)), None)
    return None


def _reads(family: Family, request: Mapping[str, Any]) -> bool:
    """Whether a family finds all that it needs in a request, and a word for all that is there."""
    model = family.generic("any")
    try:
        asked = family.from_parts(family.parts(request), model)
        if asked.problems or any(family.problems(model, asked.prompts, asked.parameters)):
            return False
        built = family.build(model, asked.prompts, asked.parameters, 1)
    except UNFIT:
        return False
    return built.keys() >= request.keys()


def _stem(record: Record, sent_id: str, *, is_crowded: bool) -> str:
    """Where the image goes: under the name of the original, if that is one."""
    path = PurePosixPath(record.images[0].path if record.images else f"images/{record.label}-1")
    inner = PurePosixPath(*path.parts[1:]) if len(path.parts) > 1 else path
    name = inner.with_suffix("").as_posix() if record.images else inner.as_posix()
    if file_names.problem(name) is not None:
        name = sent_id
    elif is_crowded:
        name = f"{name}-{sent_id[-8:]}"
    return f"{FOLDER}{name}"
