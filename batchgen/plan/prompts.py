"""The texts of an item with what their placeholders stand for, or complaints about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchgen.job import Complaints, Expansion, Item, Job, Path, Row, Step
from batchgen.models import FAMILIES, Family, Model, Prompts
from batchgen.plan.item import VARIANT_NAMES, Texts
from batchgen.plan.templates import (
    Nested,
    PlaceholderError,
    Template,
    compiled,
    compiled_nested,
    unknown,
)
from batchgen.text import dotted


@dataclass(slots=True)  # not frozen: see `PlannedItem`
class _Text:
    """A text of the job file, and where it stands."""

    path: Path
    template: Template | None
    """None: it is no template, and a complaint says so."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters of an item."""

    own: Collection[str]
    """Keys that the item brings itself."""
    nested: Nested
    names: frozenset[str]

    @property
    def templates(self) -> Iterator[Template]:
        """Of all texts in them."""
        return (leaf.template for leaf in self.nested.leaves)


@dataclass(slots=True, kw_only=True)
class Kind:
    """What items share that bring the same keys and parameters, found out with the first one."""

    model: Model
    family: Family
    parameters: Mapping[str, Any]
    """Without placeholders and images, and right whatever the prompts are."""
    prompt: Template | None
    """The job's, for items that bring none."""
    fallback: tuple[str, ...]
    fallback_prompt: Template | None
    names: tuple[str, ...]
    """Placeholders of the job's texts that an item has a value for, each as often as it stands."""
    used: frozenset[str]
    """Placeholders of the job's texts whose values a manifest tells."""


def kind_of(row: Row) -> tuple[Any, ...] | None:
    """Equal for two items only if they are of one kind; None: no other item is like this one."""
    item, brought = row.item, ()
    if row.step is not None:
        return None
    if item.parameters:
        values = tuple(item.parameters.values())
        types = tuple(map(type, values))
        if not _TOLD_APART.issuperset(types):
            return None
        brought = (*item.parameters, *values, *types)
    own = (item.prompt is None, item.negative_prompt is None)
    return (item.model, item.family, item.fallback, own, brought)


_TOLD_APART = frozenset((str, int, bool))
"""Types of parameters of which equal ones make equal requests; 0.0 and -0.0 do not."""


@dataclass(slots=True)
class FilledIn:
    """The prompts of an item that is like another one."""

    prompts: Prompts
    values: Mapping[str, str]
    """Of every placeholder but `VARIANT_NAMES`."""
    names: frozenset[str]
    """Placeholders whose values a manifest tells."""


MOST_FILLED_IN = 1_000_000
"""Characters that the placeholders of an item become: a long value that stands in a text a thousand
times would fill the memory before any limit of a model is looked at."""
MOST_COMPILED = 1_000
"""Kinds of parameters that are kept for the items to come."""
_STAND_IN = Template(("x",), ())
"""In place of a text that is no template."""


class ItemTexts:
    """What the job gives to its items, compiled once; what an item brings, as it comes."""

    def __init__(self, job: Job, found: Complaints, rows: Expansion) -> None:
        self._job = job
        self._found = found
        self._rows = rows
        # Asking a job for these a million times takes a second each.
        self._images, self._vars = job.images, job.vars
        self._source = job.source if job.source is not None and job.source.included else None
        own = "" if not job.steps or "{step}" in job.file_name else "-{step}"
        self._file_name = self._text(job.file_name + own, ("file_name",))
        self._prompt = None if job.prompt is None else self._text(job.prompt, ("prompt",))
        refused = job.on_filtered.fallback_prompt
        self._when_refused = (
            None if refused is None else self._text(refused, ("on_filtered", "fallback_prompt"))
        )
        self._parameters = _compiled_parameters(job, None)
        self._compiled: dict[tuple[tuple[str, str], ...], _Parameters] = {}
        self._of_steps: dict[str, _Parameters] = {}
        self._somewhere: frozenset[str] = frozenset()

    @property
    def _own_file_name(self) -> Template | None:
        """None if it is the default, which names every axis whether anything takes it or not."""
        return self.file_name if "file_name" in self._job.model_fields_set else None

    @property
    def file_name(self) -> Template | None:
        """None if it is no template."""
        return self._file_name.template

    def of(
        self, row: Row, model_id: str, family: Family, model: Model | None = None
    ) -> tuple[Texts, bool]:
        """The texts of this item, and whether they are right; if not, that is complained of.

        Args:
            row: the item, which takes what it does not bring from the job.
            model_id: as the job names it.
            family: of the model.
            model: None where nobody knows it. One that takes no prompt does not get the job's.
        """
        prompt, negative = self._prompts_of(row, family, model)
        parameters = self._parameters_of(row)
        values = self._values_of(row, model_id)
        again = self._when_refused if _takes_prompt(model) else None
        texts = [text for text in (prompt, negative, again, self._file_name) if text is not None]
        right = has_paths = self._right_parameters(row, parameters, values)
        for text in texts:
            right = self._right(row, text, values) and right
        templates = (*(text.template for text in texts), *parameters.templates)
        if not right:
            _fill_in(values, templates)
        if not self._fits(row, values, templates):
            right, values = False, dict.fromkeys(values, "x")  # the rest of it can be judged
        made = Texts(
            prompt=None if prompt is None else prompt.template or _STAND_IN,
            negative_prompt=None if negative is None else negative.template or _STAND_IN,
            parameters=parameters.nested,
            values=values,
            prompts_vary=_varies(prompt) or _varies(negative),
            parameters_vary=not VARIANT_NAMES.isdisjoint(parameters.names),
            fallback_prompt=None if again is None else again.template,
            images=self._images if has_paths else None,
            image_names=family.IMAGE_PARAMETERS,
            image_folders=self._image_folders(row, parameters, family),
        )
        return made, right

    def _values_of(self, row: Row, model_id: str) -> dict[str, str]:
        """What the placeholders of an item stand for, but for `VARIANT_NAMES`."""
        values = {**self._vars, **row.item.vars, "id": row.item.id, "model": model_id}
        if row.step is not None:
            # A chain has the value of an axis `model` in all its names, whatever its steps call.
            model = dict(row.axes).get("model", model_id)
            values |= {"step": row.step.id, "model": model}
        return values

    def _fits(
        self, row: Row, values: Mapping[str, str], templates: Iterable[Template | None]
    ) -> bool:
        """Whether the texts are short enough with the values filled in; complains if not."""
        length = _filled_in(values, templates)
        if length > MOST_FILLED_IN:
            what = f"its texts would have {length:,} characters with the values filled in"
            self._found.add(row.at, f"{what}; {MOST_FILLED_IN:,} is the most")
        return length <= MOST_FILLED_IN

    def _prompts_of(
        self, row: Row, family: Family, model: Model | None
    ) -> tuple[_Text | None, _Text | None]:
        """The prompt and the negative prompt: the item's own, else the job's, else none."""
        item, step = row.item, row.step
        # An item that brings its prompt in parameters of its own brings a prompt.
        brings_prompt = not family.PROMPT_PARAMETERS.isdisjoint(item.parameters)
        prompt = self._prompt if _takes_prompt(model) and not brings_prompt else None
        negative = None
        # What a step does not say itself goes to the steps whose model takes it.
        is_own = step is None or step.prompt is not None
        if item.prompt is not None and (is_own or _takes_prompt(model)):
            prompt = self._text(item.prompt, row.path("prompt"))
        is_own = step is None or step.negative_prompt is not None
        takes_negative = model is None or "negative_prompt" in model.parameters
        if item.negative_prompt is not None and (is_own or takes_negative):
            negative = self._text(item.negative_prompt, row.path("negative_prompt"))
        return prompt, negative

    def kind(
        self, item: Item, texts: Texts, model: Model, fallback: tuple[str, ...]
    ) -> Kind | None:
        """What this item, which is right, shares with others; None if that is nothing."""
        family, parameters = FAMILIES[model.family], texts.parameters.value
        judged_together = family.PROMPT_PARAMETERS | family.IMAGE_PARAMETERS
        if texts.parameters.leaves or not judged_together.isdisjoint(parameters):
            return None
        prompt = texts.prompt if item.prompt is None else None
        templates = [
            each for each in (prompt, texts.fallback_prompt, self.file_name) if each is not None
        ]
        return Kind(
            model=model,
            family=family,
            parameters=parameters,
            prompt=prompt,
            fallback=fallback,
            fallback_prompt=texts.fallback_prompt,
            names=tuple(
                name for each in templates for name in each.names if name not in VARIANT_NAMES
            ),
            used=self.names(replace(texts, prompt=prompt, negative_prompt=None)),
        )

    def like(self, item: Item, kind: Kind) -> FilledIn | None:
        """The prompts of an item of this kind; None if something may be wrong with them."""
        values = {**self._vars, **item.vars, "id": item.id, "model": kind.model.id}
        names, used, prompt, negative = kind.names, kind.used, kind.prompt, None
        try:
            if item.prompt is not None:
                prompt = compiled(item.prompt)
                if prompt.names:
                    names, used = names + prompt.names, used.union(prompt.names)
            if item.negative_prompt is not None:
                negative = compiled(item.negative_prompt)
                if negative.names:
                    names, used = names + negative.names, used.union(negative.names)
            length = sum([len(values[name]) for name in names])
        except (KeyError, PlaceholderError):
            return None
        if length > MOST_FILLED_IN:
            return None
        prompts = Prompts(
            prompt=None if prompt is None else prompt.render(values),
            negative_prompt=None if negative is None else negative.render(values),
        )
        return FilledIn(prompts, values, used)

    def names(self, texts: Texts) -> frozenset[str]:
        """The placeholders of an item whose values a manifest tells."""
        own = (texts.prompt, texts.negative_prompt, texts.fallback_prompt, self._own_file_name)
        templates = (*own, *(leaf.template for leaf in texts.parameters.leaves))
        return frozenset(
            name for template in templates if template is not None for name in template.names
        )

    def used(self, item: Item, names: Collection[str]) -> dict[str, str]:
        """The variables of this item, of these names."""
        merged = {**self._vars, **item.vars}
        return {name: value for name, value in merged.items() if name in names}

    def _image_folders(
        self, row: Row, parameters: _Parameters, family: Family
    ) -> Mapping[str, str]:
        """Where paths of images begin that stand in included files.

        A path that begins with a placeholder is that of its variable, which no file has.
        """
        source = self._source
        if source is None:
            return {}
        given = {**self._job.parameters, **row.item.parameters}
        return {
            name: source.folder_of(_place(row, parameters, (name,)))
            for name in family.IMAGE_PARAMETERS & given.keys()
            if not str(given[name]).startswith("{")
        }

    def _parameters_of(self, row: Row) -> _Parameters:
        if row.step is not None and row.step.model is not None:
            return self._parameters_of_step(row.step)
        return self._parameters_of_item(row.item) if row.item.parameters else self._parameters

    def _parameters_of_step(self, step: Step) -> _Parameters:
        """Compiled once for the step; those of job and item are for another model."""
        if step.id not in self._of_steps:
            self._of_steps[step.id] = _compiled({}, step.parameters)
        return self._of_steps[step.id]

    def _parameters_of_item(self, item: Item) -> _Parameters:
        """Compiled once for all items that bring the same texts."""
        brought = tuple(item.parameters.items())
        if not all(isinstance(value, str) for _, value in brought):
            return _compiled_parameters(self._job, item)
        known = self._compiled.get(brought)
        if known is None:
            known = _compiled_parameters(self._job, item)
            if len(self._compiled) < MOST_COMPILED:
                self._compiled[brought] = known
        return known

    def _text(self, text: str, path: Path) -> _Text:
        try:
            return _Text(path, compiled(text))
        except PlaceholderError as error:
            self._found.add(path, str(error))
            return _Text(path, None)

    def _right(self, row: Row, text: _Text, values: Collection[str]) -> bool:
        template = text.template
        if template is None:
            return False
        for name in template.names:
            if name not in values and name not in VARIANT_NAMES:
                self._complain(row, text.path, template, values)
                return False
        return True

    def _right_parameters(self, row: Row, parameters: _Parameters, values: Collection[str]) -> bool:
        nested, right = parameters.nested, not parameters.nested.errors
        for error in nested.errors:
            self._found.add(_place(row, parameters, error.path), str(error))
        for leaf in nested.leaves:
            text = _Text(_place(row, parameters, leaf.path), leaf.template)
            right = self._right(row, text, values) and right
        return right

    def _complain(self, row: Row, path: Path, template: Template, values: Collection[str]) -> None:
        """Once, where no item has the variable; at each item that has not, where others do."""
        allowed = {*values, *VARIANT_NAMES}
        if path[: len(row.at)] == row.at:
            for sentence in unknown(template, allowed).values():
                self._found.add(path, sentence)
            return
        if not self._somewhere:
            self._somewhere = frozenset(allowed | self._rows.variables())
        for sentence in unknown(template, self._somewhere).values():
            self._found.add(path, sentence)
        for name, sentence in unknown(template, allowed).items():
            if name in self._somewhere:
                self._found.add(row.path("vars"), f"{sentence}; the job's {dotted(path)} needs it")


def _filled_in(values: Mapping[str, str], templates: Iterable[Template | None]) -> int:
    """How many characters the placeholders become."""
    names = [name for template in templates if template is not None for name in template.names]
    return sum([len(values.get(name, "")) for name in names])


def _fill_in(values: dict[str, str], templates: Iterable[Template | None]) -> None:
    """Give names that have no value one, so that the rest of the item can be judged."""
    for template in templates:
        for name in () if template is None else template.names:
            if name not in VARIANT_NAMES:
                values.setdefault(name, "x")


def _compiled_parameters(job: Job, item: Item | None) -> _Parameters:
    return _compiled(job.parameters, {} if item is None else item.parameters)


def _compiled(shared: Mapping[str, Any], own: Mapping[str, Any]) -> _Parameters:
    nested = compiled_nested({**shared, **own})
    names = frozenset(name for leaf in nested.leaves for name in leaf.template.names)
    return _Parameters(own.keys(), nested, names)


def _place(row: Row, parameters: _Parameters, path: Path) -> Path:
    """Where a parameter stands in the file: with the item that brings it, or with the job."""
    is_own = path[0] in parameters.own
    return row.path("parameters", *path) if is_own else ("parameters", *path)


def _takes_prompt(model: Model | None) -> bool:
    """A model that nobody knows is taken to draw what it is told."""
    return model is None or model.prompt is not None


def _varies(text: _Text | None) -> bool:
    return (
        text is not None
        and text.template is not None
        and not VARIANT_NAMES.isdisjoint(text.template.names)
    )
