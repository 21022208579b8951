"""Where each value of a document stands in its text."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from batchgen.job.complaints import Path


class Mark:
    """In place of a key: there is none, or it is `<<`."""


NO_KEY: Final = Mark()
MERGE: Final = Mark()


class Positions:
    """Where each value of a document begins: 12 bytes for each, in the order of the text."""

    def __init__(self, data: bytes) -> None:
        """Of a text in UTF-8; places in it are counted in characters."""
        found = re.finditer(b"\n", data) if data.isascii() else re.finditer("\n", data.decode())
        self._line_starts = array("I", (each.end() for each in found))
        self._begins = array("I")
        """Of each value: where its key begins, or the value itself where it has no key."""
        self._keys = array("I")
        """Of each value, the number of its key."""
        self._key_numbers: dict[str | Mark, int] = {NO_KEY: 0, MERGE: 1}
        self._below = array("i")
        """How many values are inside it; of an alias, minus the number of what it stands for."""
        self._children: dict[int, Sequence[int]] = {}
        self._first_begins: dict[int, tuple[dict[int, int], int]] = {}
        """Of mappings with a key that stands twice: where their keys begin, as far as the number
        beside it."""

    def add(self, key: str | Mark, begin: int) -> int:
        """Count one more value, which is inside all that are not closed; gives its number."""
        number = len(self._begins)
        self._begins.append(begin)
        numbers = self._key_numbers
        self._keys.append(numbers[key] if key in numbers else numbers.setdefault(key, len(numbers)))
        self._below.append(0)
        return number

    def close(self, number: int) -> None:
        """All that is inside a value was added."""
        self._below[number] = len(self._below) - 1 - number

    def alias(self, number: int, anchored: int) -> None:
        """A value stands for another one."""
        self._below[number] = -anchored

    def line_at(self, index: int) -> int:
        """The 1-based line of a character, counted as editors do: by line feeds."""
        return bisect_right(self._line_starts, index) + 1

    def line(self, path: Path) -> int:
        """The 1-based line of a path, or of the nearest thing around it that the text has.

        A key that came by an alias or `<<` stands where the anchored mapping has it.
        """
        return self.line_at(self._begins[self._nearest(path)[0]])

    def depth(self, path: Path) -> int:
        """How many parts of a path the text has."""
        return self._nearest(path)[1]

    def _nearest(self, path: Path) -> tuple[int, int]:
        """The number of the value at a path, or around it, and how many parts lead there."""
        number = depth = 0
        for part in path:
            child = self._child(number, part)
            if child is None:
                break
            number, depth = child, depth + 1
        return number, depth

    def begin_in_open(self, number: int, key: str | Mark) -> int:
        """Where a key of a mapping begins first that is not closed yet, but for its last value.

        Each value is looked at once, however many keys stand twice.
        """
        begins, child = self._first_begins.get(number, ({}, number + 1))
        wanted = self._key_numbers[key]
        while wanted not in begins:
            begins.setdefault(self._keys[child], self._begins[child])
            child += 1 + max(self._below[child], 0)
        self._first_begins[number] = begins, child
        return begins[wanted]

    def _child(self, number: int, part: str | int) -> int | None:
        if isinstance(part, int):
            return next(iter(self._inside(number)[part : part + 1]), None)
        wanted, merge = self._key_numbers.get(part, -1), self._key_numbers[MERGE]
        mappings, seen = [number], set[int]()
        while mappings:
            mapping = self._meant(mappings.pop())
            if mapping in seen:
                continue
            seen.add(mapping)
            own = {self._keys[child]: child for child in self._inside(mapping)}
            if wanted in own:
                return own[wanted]
            if merge in own:
                merged = own[merge]
                entries = self._inside(merged)
                is_list = bool(entries) and self._keys[entries[0]] == self._key_numbers[NO_KEY]
                mappings.extend(reversed(entries) if is_list else [merged])
        return None

    def _meant(self, number: int) -> int:
        below = self._below[number]
        return -below if below < 0 else number

    def _inside(self, number: int) -> Sequence[int]:
        """The numbers of the values directly inside one."""
        number = self._meant(number)
        children = self._children.get(number)
        if children is None:
            children = self._children[number] = array("I")
            child, last = number + 1, number + self._below[number]
            while child <= last:
                children.append(child)
                child += 1 + max(self._below[child], 0)
        return children
