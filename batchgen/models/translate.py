"""A request body for one model as the body for another one, or the reasons why there is none.

What the families have in common is the prompts, the shape of the picture, its format and the seed.
Everything else has a meaning for one family alone and is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from batchgen.models import FAMILIES, sdxl, stable_image
from batchgen.models.base import Model, Problem, Prompts
from batchgen.models.constraints import wrong

NEAR = 1.12
"""Most that two shapes may differ by, one width over height divided by the other's."""
DEFAULT_RATIO = "1:1"
"""Of Stable Image, where a body does not say (AWS Bedrock User Guide)."""

Shape = TypeVar("Shape")


class Untranslatable(ValueError):
    """The other model takes no such request; its text says why, its `problems` what of it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.text for problem in self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a body asks for, as the parts that a family builds one of."""

    prompts: Prompts
    parameters: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    """What could not be said in the words of this family."""


def translated(request: Mapping[str, Any], source: Model, target: Model) -> dict[str, Any]:
    """A body that the source takes, as a body for the target with a seed within its range.

    Raises:
        Untranslatable: with everything in it that the target does not take.
    """
    family = FAMILIES[target.family]
    if source.family == target.family:
        asked = _IN_PARTS[source.family](request)
    else:
        asked = _between(request, source, target)
    found = (*asked.problems, *family.problems(target, asked.prompts, asked.parameters))
    if found:
        raise Untranslatable(found)
    seed = seed_within(request["seed"], target)
    if source.family == target.family:
        return {**request, "seed": seed}
    return family.build(asked.prompts, asked.parameters, seed)


def problems(request: Mapping[str, Any], model: Model) -> list[Problem]:
    """Everything in a body of the model's own family that the model would refuse."""
    asked = _IN_PARTS[model.family](request)
    return list(FAMILIES[model.family].problems(model, asked.prompts, asked.parameters))


def seed_within(seed: int, model: Model) -> int:
    """The seed itself where the model takes it; else one that it takes, never 0."""
    return 1 + (seed - 1) % model.seed_max


def with_seed(request: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The same body with another seed, which every family has at the top."""
    return {**request, "seed": seed}


def prompt_of(request: Mapping[str, Any], family: str) -> str | None:
    """The prompt of a body; None where text prompts of its own kind take its place."""
    return _IN_PARTS[family](request).prompts.prompt


def with_prompt(request: Mapping[str, Any], family: str, prompt: str) -> dict[str, Any]:
    """The same body with another prompt.

    Raises:
        Untranslatable: it has text prompts with weights, which no single prompt can replace.
    """
    if prompt_of(request, family) is None:
        text = '"prompt" cannot take the place of text prompts with weights'
        raise Untranslatable([Problem(key=("text_prompts",), text=text)])
    return _WITH_PROMPT[family](request, prompt)


def _stable_image_parts(request: Mapping[str, Any]) -> Asked:
    prompts = Prompts(prompt=request["prompt"], negative_prompt=None)
    return Asked(prompts=prompts, parameters=_without(request, "prompt", "seed"))


def _sdxl_parts(request: Mapping[str, Any]) -> Asked:
    """Text prompts as they come of a prompt and a negative one are taken for these."""
    first, *others = request["text_prompts"]
    if [first["weight"], *(other["weight"] for other in others)] not in ([1], [1, -1]):
        prompts = Prompts(prompt=None, negative_prompt=None)
        return Asked(prompts=prompts, parameters=_without(request, "seed"))
    negative = others[0]["text"] if others else None
    prompts = Prompts(prompt=first["text"], negative_prompt=negative)
    return Asked(prompts=prompts, parameters=_without(request, "seed", "text_prompts"))


def _sdxl_with_prompt(request: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    first, *others = request["text_prompts"]
    return {**request, "text_prompts": [{**first, "text": prompt}, *others]}


_IN_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Asked]] = {
    stable_image.NAME: _stable_image_parts,
    sdxl.NAME: _sdxl_parts,
}
_WITH_PROMPT: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    stable_image.NAME: lambda request, prompt: {**request, "prompt": prompt},
    sdxl.NAME: _sdxl_with_prompt,
}


def _between(request: Mapping[str, Any], source: Model, target: Model) -> Asked:
    mapping = _MAPPINGS.get((source.family, target.family))
    if mapping is None:
        text = f"a request of the family {source.family} cannot be made one for {target.title}"
        raise Untranslatable([Problem(key=(), text=text)])
    return mapping(request, target)


def _stable_image_to_sdxl(request: Mapping[str, Any], target: Model) -> Asked:
    understood = ("aspect_ratio", "mode", "negative_prompt", "output_format", "prompt", "seed")
    found = list(_not_taken(request, understood, target))
    asked_format = stable_image.image_format(request)
    if asked_format not in target.output_formats:
        found += wrong(("output_format",), asked_format, ", ".join(target.output_formats))
    ratio = request.get("aspect_ratio", DEFAULT_RATIO)
    size = _nearest(
        _shape(ratio), {(width, height): width / height for width, height in sdxl.SIZES}
    )
    parameters: dict[str, Any] = {}
    if size is None:
        text = f'"aspect_ratio" cannot be "{ratio}": {target.title} has no size of such a shape'
        found.append(Problem(key=("aspect_ratio",), text=text))
    else:
        parameters = {"width": size[0], "height": size[1]}
    negative = request.get("negative_prompt")
    prompts = Prompts(prompt=request["prompt"], negative_prompt=negative)
    return Asked(prompts=prompts, parameters=parameters, problems=tuple(found))


def _sdxl_to_stable_image(request: Mapping[str, Any], target: Model) -> Asked:
    understood = ("height", "samples", "seed", "text_prompts", "width")
    found = [
        *_not_taken(request, understood, target),
        *_weight_problems(request["text_prompts"], target),
    ]
    texts = {each["weight"]: each["text"] for each in request["text_prompts"]}
    width, height = request.get("width", 1), request.get("height", 1)
    ratios = {ratio: _shape(ratio) for ratio in stable_image.ASPECT_RATIOS}
    ratio = _nearest(width / height, ratios)
    if ratio is None:
        size = f"{width}x{height}"
        text = f'"width" and "height" cannot be {size}: {target.title} has no such aspect ratio'
        found.append(Problem(key=("width",), text=text))
    # A text in the place of one that is missing, so that what is missing is said once.
    prompts = Prompts(prompt=texts.get(1, "-"), negative_prompt=texts.get(-1))
    parameters = {} if ratio is None else {"aspect_ratio": ratio}
    return Asked(prompts=prompts, parameters=parameters, problems=tuple(found))


_MAPPINGS: Mapping[tuple[str, str], Callable[[Mapping[str, Any], Model], Asked]] = {
    (stable_image.NAME, sdxl.NAME): _stable_image_to_sdxl,
    (sdxl.NAME, stable_image.NAME): _sdxl_to_stable_image,
}
"""From a body of the first family to the parts of one of the second."""


def _not_taken(
    request: Mapping[str, Any], understood: tuple[str, ...], target: Model
) -> Iterator[Problem]:
    for name in (name for name in request if name not in understood):
        yield Problem(key=(name,), text=f'{target.title} does not take "{name}": leave it out')


def _weight_problems(texts: list[dict[str, Any]], target: Model) -> Iterator[Problem]:
    """Of text prompts that are more than one prompt and perhaps a negative one."""
    for index, each in enumerate(texts):
        if each["weight"] not in (1, -1):
            key = ("text_prompts", index, "weight")
            yield from wrong(key, each["weight"], f"1 or -1, for {target.title} takes no weights")
    weights = [each["weight"] for each in texts]
    for weight, least, what in ((1, 1, "prompt"), (-1, 0, "negative prompt")):
        count = weights.count(weight)
        if not least <= count <= 1:
            have = f'"text_prompts" has {count} texts of weight {weight}'
            text = f"{have}; {target.title} takes {'one' if least else 'at most one'} {what}"
            yield Problem(key=("text_prompts",), text=text)


def _nearest(shape: float, among: Mapping[Shape, float]) -> Shape | None:
    """What has the nearest shape; None where that one is not near."""

    def apart(each: Shape) -> float:
        return max(shape / among[each], among[each] / shape)

    best = min(among, key=apart)
    return best if apart(best) <= NEAR else None


def _shape(ratio: str) -> float:
    width, height = ratio.split(":")
    return int(width) / int(height)


def _without(request: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in names}
