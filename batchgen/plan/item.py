"""What all variants of one item share, worked out once, and the tasks that come of it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from batchgen.job import InputImages, Row
from batchgen.models import Family, Model, Prompts, StepImage
from batchgen.plan.seeds import Seeds
from batchgen.plan.templates import Nested, Template
from batchgen.task import SeededId, Task, compact, task_id

VARIANT_NAMES = frozenset(("seed", "variant"))
"""Placeholders whose value is another one in every variant."""
FOLDER = "images/"


@dataclass(slots=True, kw_only=True)  # not frozen: see `PlannedItem`
class Parent:
    """The step whose image another one takes."""

    planned: PlannedItem
    start: int
    """Running index of its first variant, from that of the child's first one on; of an anchor, in
    the plan."""
    is_anchor: bool
    _ids: dict[int, str] = field(default_factory=dict, init=False)
    """Of the variants that were asked for: each is made of the ids of all tasks above it."""

    def id(self, variant: int) -> str:
        """The id of the task whose image this variant takes."""
        own = 1 if self.is_anchor else variant
        known = self._ids.get(own)
        if known is None:
            known = self._ids[own] = self.planned.id(own)
        return known

    def number(self, own: int) -> int:
        """The running index of that task, for the task with this one."""
        return self.start if self.is_anchor else own + self.start


@dataclass(slots=True, kw_only=True)  # not frozen: see `PlannedItem`
class Texts:
    """What an item asks for, before the seed and the number of the variant are put in."""

    prompt: Template | None
    negative_prompt: Template | None
    parameters: Nested
    """A mapping."""
    values: Mapping[str, str]
    """Of every placeholder but `VARIANT_NAMES`."""
    prompts_vary: bool
    """The prompts of one variant differ from those of another."""
    parameters_vary: bool
    fallback_prompt: Template | None = None
    images: InputImages | None = None
    """Finds the files that parameters name; None where a name is not known, as was said."""
    image_names: frozenset[str] = frozenset()
    """The parameters that name one."""
    image_folders: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> folder of the included file in which its path stands, from the job's on."""
    parents: Mapping[str, Parent] = field(default_factory=dict)
    """Image parameter -> whose image it takes."""

    def rendered(self, seed: int, variant: int) -> tuple[Prompts, dict[str, Any]]:
        """The texts and the parameters of one variant."""
        values = self.values
        if self.prompts_vary or self.parameters_vary:
            values = {**values, "seed": str(seed), "variant": str(variant)}
        prompt, negative = self.prompt, self.negative_prompt
        prompts = Prompts(
            prompt=None if prompt is None else prompt.render(values),
            negative_prompt=None if negative is None else negative.render(values),
        )
        return prompts, self._with_images(self.parameters.render(values), variant)

    def _with_images(self, parameters: dict[str, Any], variant: int) -> dict[str, Any]:
        """The same, with what each image is in place of its path, or of the step that makes it."""
        if self.image_names.isdisjoint(parameters):
            return parameters
        images, folders = self.images, self.image_folders
        found = {
            name: {"path": "", "sha256": ""}
            if images is None
            else images.find(posixpath.join(folders.get(name, ""), parameters[name]))
            for name in self.image_names
            if isinstance(parameters.get(name), str) and name not in self.parents
        }
        made = {name: StepImage(task=each.id(variant)) for name, each in self.parents.items()}
        return {**parameters, **found, **made}


@dataclass(slots=True, kw_only=True)  # not frozen: see `PlannedItem`
class FixedRequest:
    """The requests of an item whose variants differ in the seed alone."""

    request: dict[str, Any]
    model_id: str
    _ids: SeededId | None = field(default=None, init=False)

    @property
    def ids(self) -> SeededId:
        """The ids of all variants; a check of a plan needs few of them."""
        if self._ids is None:
            self._ids = SeededId(self.model_id, self.request)
        return self._ids

    def of(self, seed: int, variant: int) -> dict[str, Any]:  # noqa: ARG002 - as in `PerVariantRequest`
        """The request with this seed."""
        return {**self.request, "seed": seed}

    def id_of(self, request: Mapping[str, Any]) -> str:
        """The `task_id` of a request that `of` made."""
        return self.ids.of(request["seed"])


@dataclass(frozen=True, slots=True, kw_only=True)
class PerVariantRequest:
    """The requests of an item in whose texts stands the seed or the number of the variant."""

    texts: Texts
    family: Family
    model: Model

    def of(self, seed: int, variant: int) -> dict[str, Any]:
        """The request of this variant."""
        prompts, parameters = self.texts.rendered(seed, variant)
        return self.family.build(self.model, prompts, parameters, seed)

    def id_of(self, request: Mapping[str, Any]) -> str:
        """The `task_id` of a request that `of` made."""
        return task_id(self.model.id, request)


@dataclass(
    slots=True, kw_only=True
)  # a million may be made, and a frozen one takes three times as long
class PlannedItem:
    """One item, ready to make tasks of. Variants count from 1."""

    row: Row
    """What it comes from."""
    variants: int
    model: Model
    family: Family
    vars: Callable[[], Mapping[str, str]]
    """Tells those that a placeholder took."""
    seeds: Seeds
    name: Template
    """Of the file below `FOLDER`; only `VARIANT_NAMES` names are left."""
    prefix_is_unique: bool
    """What stands before the number or the seed in the file name tells items apart by itself, for
    nothing in it can be taken for a part of the number after it."""
    requests: FixedRequest | PerVariantRequest
    fallback: tuple[str, ...] = ()
    """Models that may make it in place of its own."""
    fallback_prompt: Template | None = None
    """What to ask for after a refusal; only `VARIANT_NAMES` names are left."""

    @property
    def item_id(self) -> str:
        """Of the item in the job: rows that the matrix made of it share it."""
        return self.row.item.id

    @property
    def model_id(self) -> str:
        """As the job names it."""
        return self.model.id

    def request(self, variant: int) -> dict[str, Any]:
        """The exact body to send."""
        return self.requests.of(self.seeds.of(variant), variant)

    def id(self, variant: int) -> str:
        """The id of a task without the task."""
        requests = self.requests
        if isinstance(requests, FixedRequest):
            return requests.ids.of(self.seeds.of(variant))
        return requests.id_of(self.request(variant))

    def compact_ids(self, variants: Iterable[int]) -> Iterable[bytes]:
        """The compact ids of these tasks, without the tasks: a resume asks for a million."""
        requests = self.requests
        if isinstance(requests, FixedRequest):
            return requests.ids.compact(self.seeds.all_of(variants))
        return (compact(self.id(variant)) for variant in variants)

    def file_name(self, variant: int) -> str:
        """The name below `FOLDER`, without an extension."""
        return self.name.render({"variant": str(variant), "seed": str(self.seeds.of(variant))})

    def naming(self) -> Callable[[int], str]:
        """From a variant to its `file_stem`; quick where the variant's number stands there once."""
        if self.name.names != ("variant",):
            return lambda variant: FOLDER + self.file_name(variant)
        before, after = FOLDER + self.name.literals[0], self.name.literals[1]
        return lambda variant: f"{before}{variant}{after}"

    def prompt_when_refused(self, seed: int, variant: int) -> str | None:
        """The prompt to fall back on."""
        template = self.fallback_prompt
        if template is None or not template.names:
            return None if template is None else template.literals[0]
        return template.render({"seed": str(seed), "variant": str(variant)})

    def price(self, request: Mapping[str, Any]) -> Decimal | None:
        """US dollars of one call; None if unknown."""
        return self.family.price(self.model, request)

    @property
    def parents(self) -> Mapping[str, Parent]:
        """Image parameter -> whose image it takes."""
        requests = self.requests
        return {} if isinstance(requests, FixedRequest) else requests.texts.parents

    def tasks(self, variants: Iterable[int], start: int = 0) -> Iterator[Task]:
        """The tasks of these variants; `start` is the running index of the first variant."""
        first = self.request(1)
        image_format, price = self.family.image_format(first), self.price(first)
        item_id = self.item_id
        varies, family = isinstance(self.requests, PerVariantRequest), self.family.NAME
        name_of, used = self.naming(), self.vars()
        fallback, template = self.fallback, self.fallback_prompt
        again = None if template is None else self.prompt_when_refused(1, 1)
        is_same = template is None or not template.names
        step = self.row.step_id
        parents, before = self.parents, 0
        if step is not None:
            before = self.row.chain.index(self.row) * self.variants
        for variant in variants:
            number = 0 if step is None else start + variant - 1
            seed = self.seeds.of(variant)
            request = self.requests.of(seed, variant)
            if varies:
                image_format, price = self.family.image_format(request), self.price(request)
            yield Task(
                id=self.requests.id_of(request),
                label=f"{self.row.label}/{variant}"
                if step is None
                else self.row.task_label(variant),
                item_id=item_id,
                variant=variant,
                vars=used,
                model_id=self.model_id,
                family=family,
                request=request,
                seed=seed,
                file_stem=name_of(variant),
                image_format=image_format,
                price_usd=price,
                fallback=fallback,
                fallback_prompt=again if is_same else self.prompt_when_refused(seed, variant),
                step=step,
                number=number,
                chain=number - before,
                parents={name: each.number(number) for name, each in parents.items()},
            )
