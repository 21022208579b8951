"""What is wrong with the texts and parameters of one request together.

What one value may be stands in `constraints`; here is what may be missing, what must or cannot
stand together, and how large the whole may be.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from batchgen.models.base import InputImage, Model, Problem, Prompts
from batchgen.models.constraints import Fields, takers, wrong
from batchgen.text import quoted

_OF_ITEMS = {
    name: f'"{name}" is a key of the item or of the job, not a parameter: put it one level up'
    for name in ("prompt", "seed")
}
MOST_BODY_BYTES = 25_000_000
"""Of a request (InvokeModel's shape Body in botocore's service model)."""
SPARE_BYTES = 200
"""Bytes of a request that are kept free for its seed, and for names that no parameter has."""


def of_parameters(model: Model, prompts: Prompts, given: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the parameters one by one, which are missing, and a body too large."""
    found = Fields(owner=model.title, checks=model.parameters, refused=_OF_ITEMS)((), given)
    yield from found
    for name, parameter in model.parameters.items():
        if parameter.required and name not in given:
            text = f'"{name}" is missing: {model.title} needs it ({parameter.kind})'
            yield Problem(key=(name,), text=text)
    if not found:
        yield from _body_problems(prompts, given)


def _body_problems(prompts: Prompts, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Images that are too large together: with base64, four characters carry three bytes."""
    sizes = {
        name: -(-value.file_bytes // 3) * 4
        for name, value in given.items()
        if isinstance(value, InputImage)
    }
    if not sizes:
        return
    rest = {name: value for name, value in given.items() if name not in sizes}
    try:
        others = len(json.dumps([prompts.prompt, prompts.negative_prompt, rest], default=str))
    except (RecursionError, ValueError):  # of what other complaints say that it cannot be sent
        return
    total = sum(sizes.values()) + others + SPARE_BYTES
    if total > MOST_BODY_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        text = (
            f'"{largest}" makes a request of {total:,} bytes, with the image in base64; '
            f"at most {MOST_BODY_BYTES:,} can be sent: use a smaller file"
        )
        yield Problem(key=(largest,), text=text)


def of_texts(model: Model, prompts: Prompts, missing: str) -> Sequence[Problem]:
    """The problems of an item's own texts; `missing` is the sentence for a prompt that is not."""
    found: list[Problem] = []
    prompt, negative = model.prompt, model.parameters.get("negative_prompt")
    if prompts.prompt is None:
        if prompt is not None and prompt.required:
            found.append(Problem(key=("prompt",), text=missing))
    elif prompt is None:
        text = f"{model.title} takes no prompt: leave it out"
        found.append(Problem(key=("prompt",), text=text))
    else:
        found.extend(prompt(("prompt",), prompts.prompt))
    if prompts.negative_prompt is not None:
        if negative is not None:
            found.extend(negative(("negative_prompt",), prompts.negative_prompt))
        elif prompts.negative_prompt:
            text = f"{model.title} takes no negative prompt{takers('negative_prompt')}"
            found.append(Problem(key=("negative_prompt",), text=f"{text}: leave it out"))
    return [replace(problem, of_prompts=True) for problem in found]


def needs(given: Mapping[str, Any], name: str, *others: str) -> Iterator[Problem]:
    """The complaint of a parameter that says nothing without others."""
    missing = [other for other in others if other not in given]
    if name in given and missing:
        text = f'"{name}" needs {" and ".join(quoted(other) for other in missing)} beside it'
        yield Problem(key=(name,), text=text)


def excludes(given: Mapping[str, Any], name: str, others: Sequence[str]) -> Iterator[Problem]:
    """The complaints of parameters that cannot stand beside this one."""
    if name in given:
        for other in others:
            if other in given:
                text = f'"{other}" cannot stand beside "{name}": leave it out'
                yield Problem(key=(other,), text=text)


def one_prompt(texts: Collection[tuple[str, float]], title: str) -> tuple[Prompts, list[Problem]]:
    """Texts with weights as one prompt and perhaps a negative one, and what they are beyond that.

    A text stands in the place of one that is missing, so that what is missing is said once.
    """
    found: list[Problem] = []
    for index, (_, weight) in enumerate(texts):
        if weight not in (1, -1):
            key = ("text_prompts", index, "weight")
            found += wrong(key, weight, f"1 or -1, for {title} takes no weights")
    weights = [weight for _, weight in texts]
    for weight, least, what in ((1, 1, "prompt"), (-1, 0, "negative prompt")):
        count = weights.count(weight)
        if not least <= count <= 1:
            have = f'"text_prompts" has {count} texts of weight {weight}'
            text = f"{have}; {title} takes {'one' if least else 'at most one'} {what}"
            found.append(Problem(key=("text_prompts",), text=text))
    by_weight = {weight: text for text, weight in texts}
    prompts = Prompts(prompt=by_weight.get(1, "-"), negative_prompt=by_weight.get(-1))
    return prompts, found
