"""Where in a YAML text the keys of a complaint stand; asked only when there is a complaint.

One pass over the text keeps the positions on the way to the wanted paths and those below anchors,
so that 100,000 items without a complaint cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batchgen.job.yaml_parser import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    at,
    events,
)

Path = tuple[str | int, ...]
_Wanted = dict[str | int, Any]
"""The wanted paths as a tree: part → the tree below it."""


def lines(text: str, paths: Iterable[Path]) -> dict[Path, int]:
    """The 1-based line of each path, or of the nearest thing around it that the text has.

    A key that came by an alias or `<<` stands where the anchored mapping has it.
    """
    wanted: _Wanted = {}
    asked = list(paths)
    for path in asked:
        below = wanted
        for part in path:
            below = below.setdefault(part, {})
    root = _Positions(text, wanted).root
    places = {path: root.nearest(path) for path in asked}
    return _numbered(text, places)


def _numbered(text: str, places: dict[Path, int]) -> dict[Path, int]:
    found: dict[Path, int] = {}
    line, before = 1, 0
    for path, place in sorted(places.items(), key=lambda pair: pair[1]):
        line += text.count("\n", before, place)
        before = place
        found[path] = line
    return found


class _Position:
    """A value of the document, where its key or its list entry begins."""

    __slots__ = ("begin", "below", "merged")

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.below: dict[str | int, _Position] = {}
        self.merged: list[_Position] = []

    def nearest(self, path: Path) -> int:
        place = self
        for part in path:
            below = place._child(part)
            if below is None:
                break
            place = below
        return place.begin

    def _child(self, part: str | int) -> _Position | None:
        places = [self]
        seen: set[int] = set()
        while places:
            place = places.pop()
            if part in place.below:
                return place.below[part]
            if id(place.merged) not in seen:  # aliases share it: each mapping is looked into once
                seen.add(id(place.merged))
                places.extend(reversed(place.merged))
        return None


class _Open:
    """A mapping or list whose end has not come; `place` is None where nobody asks."""

    __slots__ = ("begin", "count", "is_mapping", "key", "merging", "place", "wanted", "whole")

    def __init__(self, place: _Position | None, wanted: _Wanted, *, whole: bool) -> None:
        self.place = place
        self.wanted = wanted
        self.whole = whole
        """Inside an anchored value: everything is kept, for an alias may lead to it."""
        self.is_mapping = False
        self.merging = False
        """What comes next is merged into the mapping around it."""
        self.key: str | None = None
        self.begin = 0
        self.count = 0

    def read_key(self, event: ScalarEvent) -> None:
        self.key = event.value
        self.begin = at(event)
        self.merging = event.value == "<<" and event.implicit[0]

    def part(self) -> str | int:
        return self.count if self.key is None else self.key

    def keep(self, place: _Position) -> None:
        if self.place is None:
            return
        if self.merging:
            self.place.merged.append(place)
        else:
            self.place.below[self.part()] = place


class _Positions:
    def __init__(self, text: str, wanted: _Wanted) -> None:
        file = _Position(0)
        self._anchors: dict[str, _Position] = {}
        self._stack = [_Open(file, {0: wanted}, whole=False)]
        for event in events(text):
            if isinstance(event, CollectionEndEvent):
                self._stack.pop()
            elif isinstance(event, NodeEvent):
                self._take(event)
        self.root = file.below[0]

    def _take(self, event: NodeEvent) -> None:
        top = self._stack[-1]
        if top.is_mapping and top.key is None and isinstance(event, ScalarEvent):
            top.read_key(event)
            return
        wanted = top.wanted if top.merging else top.wanted.get(top.part())
        whole = top.whole or (event.anchor is not None and not isinstance(event, AliasEvent))
        place = None
        if whole or wanted is not None:
            place = self._placed(event, top.begin if top.is_mapping else at(event))
            top.keep(place)
        if isinstance(event, CollectionStartEvent):
            below = _Open(place, wanted or {}, whole=whole)
            below.is_mapping = isinstance(event, MappingStartEvent)
            below.merging = top.merging and not below.is_mapping
            self._stack.append(below)
        top.key = None
        top.count += 1

    def _placed(self, event: NodeEvent, begin: int) -> _Position:
        place = _Position(begin)
        if isinstance(event, AliasEvent):
            meant = self._anchors.get(event.anchor or "", place)
            place.below, place.merged = meant.below, meant.merged
        elif event.anchor is not None:
            self._anchors[event.anchor] = place
        return place
