"""What one parameter may be, written as data; the checks of every family are tables of these.

A check is called with a value and where it stands, and answers with all that is wrong with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from pydantic_core import from_json

from batchgen.models.base import (
    Check,
    InputImage,
    Key,
    Problem,
    StepImage,
    UnusableImage,
)
from batchgen.text import closest, did_you_mean, dotted, quoted

Problems: TypeAlias = Collection[Problem]

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

    kind: ClassVar[str] = "text"
    longest: int
    """Characters."""
    may_be_blank: bool = False

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return f"at most {self.longest:,} characters"

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses other types, too much, halves of characters and, by default, nothing at all."""
        if not isinstance(value, str):
            return wrong(key, value, f"a text of {self.limits}")
        if len(value) > self.longest:
            text = f'"{dotted(key)}" has {len(value):,} characters; at most {self.longest:,} fit'
            return (Problem(key=key, text=text),)
        if not self.may_be_blank and (not value or value.isspace()):
            return (Problem(key=key, text=f'"{dotted(key)}" is empty; write what to draw'),)
        return _encoding(key, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of these names, spelt exactly so."""

    kind: ClassVar[str] = "choice"
    names: tuple[str, ...]
    meant: Callable[[Any, tuple[str, ...]], str | None] | None = None
    """Finds the name that a wrong value probably means; None: the nearest spelling."""

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return ", ".join(self.names)

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses another spelling too, and says which name it probably means."""
        if isinstance(value, str) and value in self.names:
            return ()
        meant = (self.meant or _spelling)(value, self.names) if len(self.names) > 1 else None
        return wrong(key, value, self.limits + did_you_mean(meant))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A whole number; `true` is none."""

    kind: ClassVar[str] = "whole number"
    span: tuple[int, int] | None = None
    """Lowest and highest; None: any."""
    hint: str = ""
    """What else to do, as the end of the sentence."""

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

    kind: ClassVar[str] = "number"
    span: tuple[float, float] | None = None
    """Lowest and highest; None: any."""

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

    kind: ClassVar[str] = "mapping"
    limits: ClassVar[str] = ""

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

    limits: ClassVar[str] = "one or more"
    member: Check

    @property
    def kind(self) -> str:
        """As `Check` says."""
        return f"list of {self.member.kind}s"

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

    kind: ClassVar[str] = "mapping"
    owner: str
    """Who takes the keys, as the subject of a sentence: "the family sdxl"."""
    checks: Mapping[str, Check]
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    """Keys that are no mistake of spelling, each with the sentence to say about it."""

    @property
    def limits(self) -> str:
        """As `Check` says."""
        return ", ".join(self.checks)

    def __call__(self, key: Key, value: Any) -> Problems:
        """Refuses unknown and missing keys, and complains of each wrong value by its key."""
        if not isinstance(value, Mapping):
            return wrong(key, value, f"a mapping of {self.limits}")
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
            who = "" if key else takers(name)
            allowed = f"allowed: {self.limits or 'none'}"
            text = f"{self.owner} does not take {quoted(name)}{who}; {allowed}{hint}"
        return Problem(key=(*key, name), text=text)

    def _missing(self, key: Key, name: str) -> Problem:
        return Problem(key=(*key, name), text=f'"{dotted((*key, name))}" is missing')


NAMED_IMAGES = ({"path", "sha256"}, {"task", "path", "sha256"})
"""Keys of an image in the request of a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image file, by its facts: the pixels are not decoded."""

    kind: ClassVar[str] = "image"
    sides: tuple[int, int] = (1, MOST_PIXELS)
    """Fewest and most pixels of each side."""
    pixels: tuple[int, int] = (1, MOST_PIXELS)
    """Fewest and most in all."""
    ratio: float | None = None
    """Most that the longer side may be of the shorter one; None: any."""
    formats: tuple[str, ...] = ("jpeg", "png", "webp")

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


def takers(name: str) -> str:
    """Which models take a parameter, as the middle of a sentence."""
    titles = TITLES.get(name, ())
    if not titles:
        return ""
    more = len(titles) - TAKERS
    shown = ", ".join(titles[:TAKERS]) + (f" and {more} more" if more > 0 else "")
    return f" ({shown} {'do' if len(titles) > 1 else 'does'})"


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
