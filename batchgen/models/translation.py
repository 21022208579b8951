"""A request body for one model as the body for another one, or the reasons why there is none.

What the families have in common is the texts, the shape of the picture, its format and the seed.
Everything else has a meaning for one family alone and is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from batchgen.models.base import Model, Problem
from batchgen.models.constraints import Choice
from batchgen.models.registry import FAMILIES


class Untranslatable(ValueError):
    """The other model takes no such request; its text says why, its `problems` what of it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.text for problem in self.problems))


def translate(request: Mapping[str, Any], source: Model, target: Model) -> dict[str, Any]:
    """A body that the source takes, as a body for the target with a seed within its range.

    Raises:
        Untranslatable: with everything in it that the target does not take.
    """
    family, parts = FAMILIES[target.family], FAMILIES[source.family].parts(request)
    is_same = source.family == target.family
    found: list[Problem] = []
    if not is_same:
        for name in parts.own:
            text = f'{target.title} does not take "{name}": leave it out'
            found.append(Problem(key=(name,), text=text))
        parts = replace(parts, own={})
    found += Choice(names=target.output_formats)(("output_format",), parts.image_format)
    if parts.image_format not in target.output_formats:
        parts = replace(parts, image_format=target.output_formats[0])
    asked = family.from_parts(parts, target)
    found += [*asked.problems, *family.problems(target, asked.prompts, asked.parameters)]
    if found:
        raise Untranslatable(found)
    seed = seed_within(request.get("seed", 1), target)
    if is_same and source.takes_seed == target.takes_seed:
        return with_seed(request, seed)
    return family.build(target, asked.prompts, asked.parameters, seed)


def seed_within(seed: int, model: Model) -> int:
    """The seed itself where the model takes it; else one that it takes, never 0."""
    return 1 + (seed - 1) % model.seed_max


def with_seed(request: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The same body with another seed, which every family has at the top, if at all."""
    return {**request, "seed": seed} if "seed" in request else dict(request)


def prompt_of(request: Mapping[str, Any], family: str) -> str | None:
    """The prompt of a body; None where texts with weights of their own take its place."""
    return FAMILIES[family].parts(request).prompt


def with_prompt(request: Mapping[str, Any], family: str, prompt: str) -> dict[str, Any]:
    """The same body with another prompt.

    Raises:
        Untranslatable: it has text prompts with weights, which no single prompt can replace.
    """
    parts = FAMILIES[family].parts(request)
    if parts.texts and parts.prompt is None:
        text = '"prompt" cannot take the place of text prompts with weights'
        raise Untranslatable([Problem(key=("text_prompts",), text=text)])
    return FAMILIES[family].with_prompt(request, prompt)
