"""Which allowed shape of a picture is nearest to another one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from batchgen.models.base import Problem
from batchgen.text import closest

LONGEST_SIDE = 100_000
"""Longer sides count as this one."""
SUGGESTIONS = 3
NEAR = 1.12
"""Most that two shapes may differ by, one width over height divided by the other's."""
CLOSE = 1.05
"""The same of two that are one, but for whole pixels: 1536x640 is a 21:9."""

Size: TypeAlias = tuple[int, int]
"""Width and height."""


def nearest_ratio(value: Any, names: tuple[str, ...]) -> str | None:
    """The aspect ratio of nearest shape: `1:2` means `9:16` rather than `1:1`.

    An unquoted 16:9 may come out of YAML as the number 969, for sixty is its base.
    """
    if type(value) is int and 0 < value < 60 * 60:
        value = f"{value // 60}:{value % 60}"
    if not isinstance(value, str):
        return None
    found = re.fullmatch(r"\s*(\d{1,5})\s*[:x/]\s*(\d{1,5})\s*", value, re.ASCII)
    if found is None:
        return closest(value, names)
    shape = _shape(int(found[1]), int(found[2]))
    return min(names, key=lambda name: _apart(shape, _shape(*sides(name))))


def nearest_sizes(sizes: Iterable[Size], width: int | None, height: int | None) -> list[str]:
    """The three allowed sizes of nearest shape, or nearest by the one side that is given."""

    def distance(size: Size) -> float:
        if width is None or height is None:
            side, given = (size[0], width) if height is None else (size[1], height)
            return abs(side - (given or 0))
        return _apart(_shape(width, height), _shape(*size))

    near = sorted(sizes, key=distance)[:SUGGESTIONS]
    return [f"{width}x{height}" for width, height in near]


def sides(ratio: str) -> Size:
    """The two numbers of an aspect ratio."""
    width, height = ratio.split(":")
    return int(width), int(height)


@lru_cache(maxsize=1_000)
def near_size(size: Size, among: tuple[Size, ...]) -> Size | None:
    """What has the nearest shape; None where that one is not near."""
    best = min(among, key=lambda each: apart(size, each))
    return best if apart(size, best) <= NEAR else None


def no_such_shape(size: Size, title: str) -> Problem:
    """The complaint where none is near."""
    return Problem(key=(), text=f"{title} makes no picture of the shape {size[0]}:{size[1]}")


def apart(one: Size, other: Size) -> float:
    """One width over height divided by the other's, the wider by the narrower; 1 if alike."""
    return _apart(_shape(*one), _shape(*other))


def _shape(width: int, height: int) -> float:
    return min(max(width, 1), LONGEST_SIDE) / min(max(height, 1), LONGEST_SIDE)


def _apart(one: float, other: float) -> float:
    return max(one / other, other / one)
