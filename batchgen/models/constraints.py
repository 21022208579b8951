"""What a parameter may be, written as data; the checks of every family are tables of these.

A check is called with a value and where it stands, and answers with all that is wrong with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pydantic_core import from_json

from batchgen.models.base import (
    Check,
    InputImage,
    Key,
    Model,
    Problem,
    Prompts,
    StepImage,
    UnusableImage,
)
from batchgen.text import closest, did_you_mean, dotted, quoted

Problems: TypeAlias = Collection[Problem]

_OF_ITEMS = {
    name: f'"{name}" is a key of the item or of the job, not a parameter: put it one level up'
    for name in ("prompt", "seed")
}

MOST_BODY_BYTES = 25_000_000
"""Of a request (InvokeModel's shape Body in botocore's service model)."""
MOST_PIXELS = 9_437_184
"""Of an image that is sent (AWS Bedrock User Guide, "Stability AI Image Services")."""
EXACT = 2**53
"""Below it a whole number and its float are one and the same."""
TAKERS = 3
"""Models that a complaint names of those that take a parameter."""
TITLES: dict[str, tuple[str, ...]] = {}
"""Parameter -> titles of the models that take it, the retired ones last; `registry` names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text that can be sent as UTF-8."""

    longest: int
    """Characters."""
    may_be_blank: bool = False

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "text"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return f"at most {self.longest:,} characters"

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "choice"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return ", ".join(self.names)

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "whole number"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return "" if self.span is None else _span(*self.span)

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "number"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return "" if self.span is None else _span(*self.span)

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "mapping"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return ""

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return f"list of {self.member.kind}s"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return "one or more"

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

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "mapping"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return ", ".join(self.checks)

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
            allowed = ", ".join(self.checks) or "none"
            who = "" if key else takers(name)
            text = f"{self.owner} does not take {quoted(name)}{who}; allowed: {allowed}{hint}"
        return Problem(key=(*key, name), text=text)

    def _missing(self, key: Key, name: str) -> Problem:
        return Problem(key=(*key, name), text=f'"{dotted((*key, name))}" is missing')


NAMED_IMAGES = ({"path", "sha256"}, {"task", "path", "sha256"})
"""Keys of an image in the request of a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image file, by its facts: the pixels are not decoded."""

    sides: tuple[int, int] = (1, MOST_PIXELS)
    """Fewest and most pixels of each side."""
    pixels: tuple[int, int] = (1, MOST_PIXELS)
    """Fewest and most in all."""
    ratio: float | None = None
    """Most that the longer side may be of the shorter one; None: any."""
    formats: tuple[str, ...] = ("jpeg", "png", "webp")

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return "image"

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return "; ".join(text for text in (*self._allowed, ", ".join(self.formats)) if text)

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses what is no image file, and the first of its facts that is not allowed."""
        if isinstance(value, UnusableImage):
            return (Problem(key=key, text=f'"{dotted(key)}": {value.text}'),)
        if not isinstance(value, InputImage):
            is_named = isinstance(value, StepImage) or (
                isinstance(value, Mapping) and value.keys() in NAMED_IMAGES
            )
            return () if is_named else wrong(key, value, "the path of an image file")
        if value.file_format not in self.formats:
            return wrong(key, value.file_format, ", ".join(self.formats))
        width, height = value.size
        facts = (
            self.sides[0] <= min(value.size) and max(value.size) <= self.sides[1],
            self.pixels[0] <= width * height <= self.pixels[1],
            self.ratio is None or max(value.size) <= self.ratio * min(value.size),
        )
        found = (text for right, text in zip(facts, self._allowed, strict=True) if not right)
        for text in found:
            what = f'"{dotted(key)}" cannot be {quoted(value["path"])} of {width}x{height} pixels'
            return (Problem(key=key, text=f"{what}; allowed: {text}"),)
        return ()

    @property
    def _allowed(self) -> tuple[str, str, str]:
        fewest, most = self.sides
        sides = f"{fewest:,} to {most:,}" if most < MOST_PIXELS else f"{fewest:,} or more"
        low, high = self.pixels
        pixels = f"{low:,} to {high:,}" if low > 1 else f"at most {high:,}"
        return (
            f"{sides} pixels a side" if self.sides != (1, MOST_PIXELS) else "",
            f"{pixels} pixels in all",
            "" if self.ratio is None else f"a shape from 1:{self.ratio:g} to {self.ratio:g}:1",
        )


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
    total = sum(sizes.values()) + others + KEYS
    if total > MOST_BODY_BYTES:
        largest = max(sizes, key=lambda name: sizes[name])
        text = (
            f'"{largest}" makes a request of {total:,} bytes, with the image in base64; '
            f"at most {MOST_BODY_BYTES:,} can be sent: use a smaller file"
        )
        yield Problem(key=(largest,), text=text)


KEYS = 200
"""Bytes of a request that are kept free for its seed, and for names that no parameter has."""


def takers(name: str) -> str:
    """Which models take a parameter, as the middle of a sentence."""
    titles = TITLES.get(name, ())
    if not titles:
        return ""
    more = len(titles) - TAKERS
    shown = ", ".join(titles[:TAKERS]) + (f" and {more} more" if more > 0 else "")
    return f" ({shown} {'do' if len(titles) > 1 else 'does'})"


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


def wrong(key: Key, value: Any, allowed: str) -> tuple[Problem]:
    """The usual complaint of one value."""
    text = f'"{dotted(key)}" cannot be {quoted(value)}; allowed: {allowed}'
    return (Problem(key=key, text=text),)


def plain(number: float) -> float:
    """7 for 7.0: one request, however its numbers were written."""
    exact = isinstance(number, float) and number.is_integer() and abs(number) < EXACT
    return int(number) if exact else number


def _span(lowest: float, highest: float) -> str:
    if lowest == highest:
        return f"{lowest:g}"
    return f"{lowest:,} to {highest:,}"


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
