"""Which allowed shape of a picture is nearest to one that is not allowed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from batchgen.text import closest

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SIDE = 100_000
"""Longer sides count as this one."""
SUGGESTIONS = 3


def nearest_ratio(value: Any, names: tuple[str, ...]) -> str | None:
    """The aspect ratio of nearest shape: `1:2` means `9:16` rather than `1:1`.

    An unquoted 16:9 may come out of YAML as the number 969, for sixty is its base.
    """
    if type(value) is int and 0 < value < 60 * 60:
        value = f"{value // 60}:{value % 60}"
    if not isinstance(value, str):
        return None
    sides = re.fullmatch(r"\s*(\d{1,5})\s*[:x/]\s*(\d{1,5})\s*", value, re.ASCII)
    if sides is None:
        return closest(value, names)
    shape = _shape(int(sides[1]), int(sides[2]))
    return min(names, key=lambda name: _apart(shape, _shape(*map(int, name.split(":")))))


def nearest_sizes(
    sizes: Iterable[tuple[int, int]], width: int | None, height: int | None
) -> list[str]:
    """The three allowed sizes of nearest shape, or nearest by the one side that is given."""

    def distance(size: tuple[int, int]) -> float:
        if width is None or height is None:
            side, given = (size[0], width) if height is None else (size[1], height)
            return abs(side - (given or 0))
        return _apart(_shape(width, height), _shape(*size))

    near = sorted(sizes, key=distance)[:SUGGESTIONS]
    return [f"{width}x{height}" for width, height in near]


def _shape(width: int, height: int) -> float:
    return min(max(width, 1), LONGEST_SIDE) / min(max(height, 1), LONGEST_SIDE)


def _apart(one: float, other: float) -> float:
    return max(one / other, other / one)
