"""From the items of a job to planned items, one at a time, or to all that is wrong with them.

Most items of a long job differ in a text or in a variable alone. What they share is worked out with
the first one of its kind that is right; for those after it, only what is their own is looked at.
One with anything of its own that is not plainly right is planned as if it were the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from batchgen.job import Complaints, Expansion, Item, Job, Path, Row, is_model_open
from batchgen.models import FAMILIES, Model, Problem, Prompts, UnknownModel
from batchgen.plan import file_names, seeds
from batchgen.plan.item import VARIANT_NAMES, FixedRequest, PerVariantRequest, PlannedItem, Texts
from batchgen.plan.model_lookup import JobModels
from batchgen.plan.prompts import ItemTexts, Kind, kind_of
from batchgen.plan.seeds import Redrawn, Seeds
from batchgen.plan.steps import StepParents
from batchgen.plan.templates import Template

if TYPE_CHECKING:
    from batchgen.record import Reseed

WIDEST_SEED = "9" * 10
MOST_KINDS = 1_000
"""Of items, that are remembered."""
_ANY_SEEDS = seeds.derived("any", seed_max=1)
"""For an item whose own seeds cannot be."""


def fallback_of(job: Job, item: Item, model_id: str) -> tuple[str, ...]:
    """The models that may make an item's images in place of this one, its own."""
    named = job.fallback if item.fallback is None else item.fallback
    return tuple(name for name in named if name != model_id) if model_id in named else named


class ItemPlanner:
    """The items of one job; what is wrong with them goes to `found`.

    The same job and key give the same planned items every time.
    """

    def __init__(
        self, job: Job, random_seed_key: str, found: Complaints, reseeds: Sequence[Reseed] = ()
    ) -> None:
        self._job = job
        self._key = random_seed_key
        self._reseeds = reseeds
        self._found = found
        self.rows = Expansion(job, found)
        self.named: set[str] = set()
        """Every model that an item was found to name, or the job for it."""
        self._texts = ItemTexts(job, found, self.rows)
        self._models = JobModels(job)
        self._steps = StepParents(job, found, self.variants)
        self._file_name = self._checked_file_name()
        suffixes = self.rows.steps.suffixes().items()
        self._longest_suffixes = {step: max(each, key=len, default="") for step, each in suffixes}
        self._own_names = set(self._file_name.names if self._file_name else ()) - VARIANT_NAMES
        self._before_number = None if self._file_name is None else _before_number(self._file_name)
        self._prefix_is_unique = self._file_name is not None and _prefix_is_unique(self._file_name)
        self._kinds: dict[tuple[Any, ...], Kind] = {}

    def __iter__(self) -> Iterator[PlannedItem]:
        """Those that nothing is wrong with."""
        for row in self.rows:
            planned = self.of(row)
            if planned is not None:
                yield planned

    def variants(self, row: Row) -> int:
        """How many tasks an item makes."""
        return row.item.variants or self._job.variants

    def of(self, row: Row) -> PlannedItem | None:
        """What an item makes; None if something is wrong with it, which is then complained of."""
        key = kind_of(row)
        kind = None if key is None else self._kinds.get(key)
        planned = None if kind is None else self._alike(row, kind)
        planned = planned or self._first(row, key)
        if row.step is not None:
            self._steps.note(row, planned)
        return planned

    def _alike(self, row: Row, kind: Kind) -> PlannedItem | None:
        """What an item makes that is like an earlier one; None if that does not tell it."""
        model, family, count = kind.model, kind.family, self.variants(row)
        filled_in, file_name = self._texts.like(row.item, kind), self._file_name
        if filled_in is None or family.text_problems(model, filled_in.prompts):
            return None
        if file_name is None:
            return None
        name, chosen = self._bound_name(file_name, filled_in.values), self._seeds(row, model)
        if chosen is None or (count > 1 and not name.names):
            return None
        if _unsafe(name, count, self._longest_suffixes[row.step_id]):
            return None
        request = family.build(model, filled_in.prompts, kind.parameters, 1)
        again = kind.fallback_prompt
        return PlannedItem(
            row=row,
            variants=count,
            model=model,
            family=family,
            vars=partial(self._texts.used, row.item, filled_in.names),
            seeds=chosen,
            name=name,
            prefix_is_unique=self._prefix_is_unique,
            requests=FixedRequest(request=request, model_id=model.id),
            fallback=kind.fallback,
            fallback_prompt=None if again is None else again.bind(filled_in.values),
        )

    def _first(self, row: Row, key: tuple[Any, ...] | None) -> PlannedItem | None:
        """What an item makes of which nothing is known yet; others of its kind may follow."""
        item = row.item
        model = self._model_of(row)
        if model is None:
            self._judge_texts(row)
            return None
        family = FAMILIES[model.family]
        texts, is_right = self._texts.of(row, model.id, family, model)
        if row.step is not None:
            parents = self._steps.parents(row, self.of, model)
            if parents is None:
                return None
            texts.parents, texts.parameters_vary = parents, texts.parameters_vary or bool(parents)
        chosen = self._seeds(row, model)
        if chosen is None:
            self._complain_of_seed(row, model)
        name = self._name(row, texts)
        requests = self._requests(row, model, texts, chosen or _ANY_SEEDS)
        again = texts.fallback_prompt
        if not is_right or chosen is None or name is None or requests is None:
            return None
        fallback = fallback_of(self._job, item, model.id)
        is_fixed = isinstance(requests, FixedRequest)
        if key is not None and is_fixed and len(self._kinds) < MOST_KINDS:
            kind = self._texts.kind(item, texts, model, fallback)
            if kind is not None:
                self._kinds[key] = kind
        return PlannedItem(
            row=row,
            variants=self.variants(row),
            model=model,
            family=family,
            vars=lambda: self._texts.used(item, self._texts.names(texts)),
            seeds=chosen,
            name=name,
            prefix_is_unique=self._prefix_is_unique,
            requests=requests,
            fallback=fallback,
            fallback_prompt=None if again is None else again.bind(texts.values),
        )

    def _model_of(self, row: Row) -> Model | None:
        """The item's model; of one that nobody knows, that which was meant: the rest is judged."""
        item = row.item
        self.named.add(item.model or self._job.model or "")
        try:
            model = self._models.of_item(item)
        except UnknownModel as error:
            path: Path = ("model",) if item.model is None else row.path("model")
            self._found.add(path, str(error))
            return self._models.meant(item)
        if model is None and is_model_open(self._job):
            text = "is missing: name the model that makes its pictures, here or in the job"
            self._found.add(row.path("model"), text)
        return model

    def _judge_texts(self, row: Row) -> None:
        """Complain of what is wrong with an item whatever its model, which nobody knows, may be."""
        item = row.item
        if all(
            family.PROMPT_PARAMETERS.isdisjoint(item.parameters) for family in FAMILIES.values()
        ):
            name = item.model or self._job.model or ""
            texts, _ = self._texts.of(row, name, next(iter(FAMILIES.values())))
            self._name(row, texts)

    def _seeds(self, row: Row, model: Model) -> Seeds | None:
        """The seeds of an item; None if the model does not take them all."""
        chosen = self._seeds_of_job(row, model)
        if chosen is None or not self._reseeds:
            return chosen
        names = _names(self._job, row)
        redrawn = tuple(
            Redrawn(
                item_id=row.item.id,
                label=row.label,
                only=each.only,
                suffix=row.suffix,
                seeds=seeds.derived("reseed", each.key, *names, seed_max=model.seed_max),
            )
            for each in self._reseeds
        )
        return replace(chosen, redrawn=redrawn)

    def _seeds_of_job(self, row: Row, model: Model) -> Seeds | None:
        job, item, seed_max = self._job, row.item, model.seed_max
        seed = job.seed if item.seed is None else item.seed
        if seed == "derived":
            return seeds.derived(*_names(job, row), seed_max=seed_max)
        if seed == "random":
            return seeds.derived("random", self._key, *_names(job, row), seed_max=seed_max)
        if int(seed) + self.variants(row) - 1 <= seed_max:
            return seeds.fixed(int(seed), seed_max=seed_max)
        return None

    def _complain_of_seed(self, row: Row, model: Model) -> None:
        own = row.item.seed
        path: Path = ("seed",) if own is None else row.path("seed")
        last = int(self._job.seed if own is None else own) + self.variants(row) - 1
        what = f"variant {self.variants(row):,} would have the seed {last:,}"
        self._found.add(path, f"{what}; {model.title} takes 1 to {model.seed_max:,}")

    def _checked_file_name(self) -> Template | None:
        """The job's template, if a name can come of it at all."""
        template = self._texts.file_name
        if template is None:
            return None
        reason = file_names.problem(template.render(dict.fromkeys(template.names, "zz")))
        if reason:
            self._found.add(("file_name",), reason)
        return None if reason else template

    def _name(self, row: Row, texts: Texts) -> Template | None:
        if self._file_name is None:
            return None
        bound = self._bound_name(self._file_name, texts.values)
        count = self.variants(row)
        if count > 1 and not bound.names:
            text = "gives all variants of an item one name: put {variant} into it"
            self._found.add(("file_name",), text)
            return None
        suffix = self._longest_suffixes[row.step_id]
        reason = _unsafe(bound, count, suffix)
        if reason:
            self._found.add(row.path("id"), reason)
        return None if reason else bound

    def _bound_name(self, file_name: Template, values: Mapping[str, str]) -> Template:
        """The file name of an item, in which only `VARIANT_NAMES` names are left."""
        own = {name: file_names.portable(values[name]) for name in self._own_names}
        if self._before_number is not None:
            before = file_names.normalised(self._before_number.render(own))
            after = file_names.normalised(file_name.literals[-1])
            return Template((before, after), file_name.names[-1:])
        bound = file_name.bind(own)
        bound.literals = tuple(map(file_names.normalised, bound.literals))
        return bound

    def _requests(
        self, row: Row, model: Model, texts: Texts, chosen: Seeds
    ) -> FixedRequest | PerVariantRequest | None:
        family = FAMILIES[model.family]
        per_variant = PerVariantRequest(texts=texts, family=family, model=model)
        if texts.prompts_vary or texts.parameters_vary:
            return per_variant if self._takes_all(row, model, texts, chosen) else None
        prompts, parameters = texts.rendered(1, 1)
        if not self._takes(row, model, texts, (prompts, parameters)):
            return None
        request = family.build(model, prompts, parameters, 1)
        if request.get("seed") != 1:  # a family that has its seed deeper down
            return per_variant
        return FixedRequest(request=request, model_id=model.id)

    def _takes_all(self, row: Row, model: Model, texts: Texts, chosen: Seeds) -> bool:
        """Whether the model takes every variant. Prompts that are longest tell for the others."""
        count = self.variants(row)
        if not texts.parameters_vary:
            longest = texts.rendered(int(WIDEST_SEED), count)
            if not any(FAMILIES[model.family].problems(model, *longest)):
                return True
        return all(
            self._takes(row, model, texts, texts.rendered(chosen.of(variant), variant))
            for variant in range(1, count + 1)
        )

    def _takes(
        self, row: Row, model: Model, texts: Texts, made: tuple[Prompts, dict[str, Any]]
    ) -> bool:
        right = True
        for problem in FAMILIES[model.family].problems(model, *made):
            right = False
            path, is_template = self._place(row, problem, texts)
            where = f" (in {row})" if is_template and path[: len(row.at)] != row.at else ""
            self._found.add(path, f"{problem.text}{where}")
        return right

    def _place(self, row: Row, problem: Problem, texts: Texts) -> tuple[Path, bool]:
        """Where the text or parameter stands in the file, and whether it has placeholders."""
        item, key = row.item, problem.key
        if problem.of_prompts:
            is_own = key[0] != "prompt" or item.prompt is not None or self._job.prompt is None
            is_template = texts.prompt is not None and bool(texts.prompt.names)
            return (row.path(*key) if is_own else key), is_template
        if key[:1] and key[0] in item.parameters:
            return row.path("parameters", *key), False
        if key[:1] and key[0] in self._job.parameters:
            return ("parameters", *key), bool(texts.parameters.leaves)
        return row.step_at or row.at, False


def _names(job: Job, row: Row) -> tuple[str, ...]:
    """What the seeds of a row are derived from: names and values, never places."""
    return (job.name, row.item.id, *(text for axis in row.axes for text in axis))


def _unsafe(name: Template, variants: int, suffix: str = "") -> str | None:
    """Why a file name of some variant is not safe; a few numbers and seeds tell for all others.

    Args:
        suffix: the longest one of the files that are derived of each image.
    """
    longest = name.render({"variant": str(variants), "seed": WIDEST_SEED})
    reason = file_names.problem(longest) or (suffix and file_names.problem(longest + suffix))
    if reason is None and name.names and file_names.may_be_reserved(longest):
        short = (name.render({"variant": digit, "seed": digit}) for digit in "123456789")
        reason = next(filter(None, map(file_names.problem, short)), None)
    return reason


def _before_number(file_name: Template) -> Template | None:
    """What stands before the number or the seed of a name that holds one of them, at its end."""
    varying = [name for name in file_name.names if name in VARIANT_NAMES]
    if not varying or varying != list(file_name.names[-1:]):
        return None
    return Template(file_name.literals[:-1], file_name.names[:-1])


def _prefix_is_unique(file_name: Template) -> bool:
    """See `PlannedItem.prefix_is_unique`."""
    if _before_number(file_name) is None:
        return False
    before, after = file_name.literals[-2][-1:], file_name.literals[-1][:1]
    # With nothing before the number, the end of a value stands there, which may be a digit.
    return bool(before) and _parts(before) and (not after or _parts(after))


def _parts(character: str) -> bool:
    """Whether no form of Unicode makes this character one with a digit beside it, or a digit."""
    return character.isascii() and character.isprintable() and not character.isdigit()
