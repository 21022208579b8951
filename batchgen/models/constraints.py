"""What a parameter may be, written as data; the checks of every family are tables of these.

A check is called with a value and where it stands, and answers with all that is wrong with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pydantic_core import from_json

from batchgen.models.base import Key, Problem, Prompts
from batchgen.text import closest, did_you_mean, dotted, quoted

Problems: TypeAlias = Collection[Problem]

_OF_ITEMS = {
    name: f'"{name}" is a key of the item or of the job, not a parameter: put it one level up'
    for name in ("prompt", "seed")
}

Check: TypeAlias = Callable[[Key, Any], Problems]
"""Everything that is wrong with the value that stands at a key; empty if it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that can be sent as UTF-8."""

    longest: int
    """Characters."""
    may_be_blank: bool = False

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses other types, too much, halves of characters and, by default, nothing at all."""
        if not isinstance(value, str):
            return wrong(key, value, f"a text of at most {self.longest:,} characters")
        if len(value) > self.longest:
            text = f'"{dotted(key)}" has {len(value):,} characters; at most {self.longest:,} fit'
            return (Problem(key=key, text=text),)
        if not self.may_be_blank and (not value or value.isspace()):
            return (Problem(key=key, text=f'"{dotted(key)}" is empty; write what to draw'),)
        return _encoding(key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of these names, spelt exactly so."""

    names: tuple[str, ...]
    meant: Callable[[Any, tuple[str, ...]], str | None] | None = None
    """Finds the name that a wrong value probably means; None: the nearest spelling."""

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses another spelling too, and says which name it probably means."""
        if isinstance(value, str) and value in self.names:
            return ()
        meant = (self.meant or _spelling)(value, self.names) if len(self.names) > 1 else None
        return wrong(key, value, ", ".join(self.names) + did_you_mean(meant))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number; `true` is none."""

    span: tuple[int, int] | None = None
    """Lowest and highest; None: any."""
    hint: str = ""
    """What else to do, as the end of the sentence."""

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses floats, even whole ones, and what lies outside the span."""
        right = type(value) is int
        if right and (self.span is None or self.span[0] <= value <= self.span[1]):
            return ()
        return wrong(key, value, self._allowed() + self.hint)

    def _allowed(self) -> str:
        if self.span is None:
            return "a whole number"
        lowest, highest = self.span
        return str(lowest) if lowest == highest else f"a whole number from {lowest} to {highest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A finite number; `true` is none."""

    span: tuple[float, float] | None = None
    """Lowest and highest; None: any."""

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses texts, NaN, the infinities and what lies outside the span."""
        lowest, highest = self.span or (-sys.float_info.max, sys.float_info.max)
        if type(value) in (int, float) and lowest <= value <= highest:
            return ()
        allowed = f"a number from {lowest:g} to {highest:g}" if self.span else "a finite number"
        return wrong(key, value, allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonObject:
    """A mapping of anything that JSON carries unchanged."""

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses dates, NaN, keys that are no texts, cycles and nesting deeper than 200."""
        if not isinstance(value, Mapping):
            return wrong(key, value, "a mapping")
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            if from_json(text.encode()) == value:
                return ()
            reason = "only texts, finite numbers, true, false, null, lists and mappings can"
        except (RecursionError, TypeError, ValueError) as error:
            reason = str(error)
        return (Problem(key=key, text=f'"{dotted(key)}" cannot be sent as JSON: {reason}'),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    """A list of at least one of these."""

    member: Check

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses an empty list, and complains of each wrong member by its index."""
        if not isinstance(value, list | tuple) or not value:
            return wrong(key, value, "a list of one or more")
        return [
            problem
            for index, member in enumerate(value)
            for problem in self.member((*key, index), member)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """A mapping with these keys and no others."""

    owner: str
    """Who takes the keys, as the subject of a sentence: "the family sdxl"."""
    checks: Mapping[str, Check]
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Keys that are no mistake of spelling, each with the sentence to say about it."""

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses unknown and missing keys, and complains of each wrong value by its key."""
        if not isinstance(value, Mapping):
            return wrong(key, value, f"a mapping of {', '.join(self.checks)}")
        found: list[Problem] = []
        for name, member in value.items():
            check = self.checks.get(name)
            if check is None:
                found.append(self._unknown(key, name if isinstance(name, str) else quoted(name)))
            else:
                found.extend(check((*key, name), member))
        found += [self._missing(key, name) for name in self.required if name not in value]
        return found

    def _unknown(self, key: Key, name: str) -> Problem:
        text = self.refused.get(name)
        if text is None:
            hint = did_you_mean(closest(name, self.checks))
            allowed = ", ".join(self.checks)
            text = f"{self.owner} does not take {quoted(name)}; allowed: {allowed}{hint}"
        return Problem(key=(*key, name), text=text)

    def _missing(self, key: Key, name: str) -> Problem:
        return Problem(key=(*key, name), text=f'"{dotted((*key, name))}" is missing')


def refused(*image_inputs: str) -> Mapping[str, str]:
    """The keys that a family refuses with a sentence: `prompt`, `seed` and its image inputs."""
    later = "belongs to image-to-image, which batchgen does not offer yet: leave it out"
    return {**_OF_ITEMS, **{name: f'"{name}" {later}' for name in image_inputs}}


def of_texts(prompts: Prompts, prompt: Check, negative: Check, missing: str) -> Iterator[Problem]:
    """The problems of an item's own texts; `missing` is the sentence for a prompt that is not."""
    found: list[Problem] = []
    if prompts.prompt is None:
        found.append(Problem(key=("prompt",), text=missing))
    else:
        found.extend(prompt(("prompt",), prompts.prompt))
    if prompts.negative_prompt is not None:
        found.extend(negative(("negative_prompt",), prompts.negative_prompt))
    return (replace(problem, of_prompts=True) for problem in found)


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


def wrong(key: Key, value: Any, allowed: str) -> tuple[Problem]:
    """The usual complaint of one value."""
    text = f'"{dotted(key)}" cannot be {quoted(value)}; allowed: {allowed}'
    return (Problem(key=key, text=text),)


def _spelling(value: Any, names: tuple[str, ...]) -> str | None:
    return closest(value, names) if isinstance(value, str) else None


def _encoding(key: Key, value: str) -> Problems:
    if value.isascii():
        return ()
    try:
        value.encode()
    except UnicodeEncodeError as error:
        where = f"character {error.start + 1:,}"
        text = f'"{dotted(key)}" is no valid text: {where} is half of a character'
        return (Problem(key=key, text=text),)
    return ()
