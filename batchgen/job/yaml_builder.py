"""From the events of a YAML text to its values: bounded, and with complaints of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchgen.job.complaints import Complaints, Path
from batchgen.job.positions import MERGE, NO_KEY, Mark, Positions
from batchgen.job.yaml_parser import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    SyntaxProblem,
    at,
    events,
)
from batchgen.job.yaml_scalars import NO_TRUTH, meaning
from batchgen.text import quoted

MAX_DEPTH = 32
"""Mappings and lists inside each other."""
MAX_NODES = 5_000_000
"""Keys and values, each alias counted as all that it stands for."""


class _Open:
    """A mapping or list that is not closed yet."""

    __slots__ = (
        "anchor",
        "begin",
        "container",
        "deepest",
        "first",
        "key",
        "merged",
        "number",
    )

    def __init__(
        self, container: dict[str, Any] | list[Any], *, number: int, first: int, depth: int
    ) -> None:
        self.container = container
        self.number = number
        self.anchor: str | None = None
        self.first = first
        self.deepest = depth
        self.key: str | Mark = NO_KEY
        self.begin = 0
        """Where the key begins."""
        self.merged: list[dict[str, Any]] | None = None
        """What `<<` names; None while no such key came."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    number: int = 0
    """Of the mapping or list."""
    nodes: int = 1
    height: int = 0


class Builder:
    """Builds the document of one text; `complaints` and `positions` fill meanwhile."""

    def __init__(self, text: str) -> None:
        self.complaints = Complaints()
        self.doubtful: list[tuple[Path, str, int]] = []
        """Path, text and line of each word that was a truth value in YAML 1.1."""
        self.positions = Positions(text)
        self._add_position = self.positions.add
        self._text = text
        self._documents = 0
        self._nodes = 0
        self._root = _Open([], number=0, first=0, depth=0)
        self._stack = [self._root]
        self._anchors: dict[str, _Anchored] = {}
        self._unused: dict[str, int] = {}
        """Anchor of a text that no alias names -> where it stands."""
        self._known_keys: dict[bool, dict[str, str]] = {True: {}, False: {}}  # plain, quoted
        self._take: dict[type[Event], Callable[[Any], None]] = {
            ScalarEvent: self._scalar,
            MappingStartEvent: self._open,
            SequenceStartEvent: self._open,
            MappingEndEvent: self._close,
            SequenceEndEvent: self._close,
            AliasEvent: self._alias,
            DocumentStartEvent: self._document,
        }

    def build(self) -> Any:
        """The value of the document; None if there is none.

        Raises:
            SyntaxProblem: it is not YAML, or more than the bounds allow.
        """
        for event in events(self._text):
            take = self._take.get(type(event))
            if take is not None:
                take(event)
        for name, index in self._unused.items():
            text = f"the anchor {quoted(name)} is never used: remove it"
            advice = "or put a text that begins with & in quotes"
            self.complaints.add((), f"{text}, {advice}", self.positions.line_at(index))
        documents = self._root.container
        return documents[0] if isinstance(documents, list) and documents else None

    def _document(self, event: Event) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._stop("a second document begins here: a job file holds one", event)

    def _scalar(self, event: ScalarEvent) -> None:
        top = self._stack[-1]
        if top.key is NO_KEY and type(top.container) is dict:
            self._key(top, event)
            return
        self._count(1, event)
        value: Any = event.value
        if event.tag is not None:
            self._tagged(event)
        elif event.implicit[0]:
            value = self._plain(value, event)
        elif not value.isascii():
            self._whole_characters(value, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value)
            self._unused[event.anchor] = at(event)
        key = top.key
        self._add_position(key, at(event) if key is NO_KEY else top.begin)
        if type(key) is str:
            top.container[key] = value  # type: ignore[call-overload]  # a key stands in a mapping
            top.key = NO_KEY
        else:
            self._place(top, value, event)

    def _open(self, event: CollectionStartEvent) -> None:
        top = self._stack[-1]
        if top.key is NO_KEY and type(top.container) is dict:
            raise self._stop("a mapping or a list cannot be a key: put the key in quotes", event)
        self._count(1, event)
        if len(self._stack) > MAX_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} mappings and lists inside each other", event)
        if event.tag is not None:
            self._tagged(event)
        self._add_position(top.key, at(event) if top.key is NO_KEY else top.begin)
        opened = _Open(
            {} if type(event) is MappingStartEvent else [],
            number=self.positions.last,
            first=self._nodes - 1,
            depth=len(self._stack),
        )
        if event.anchor is not None:
            opened.anchor = event.anchor
            self._anchors.pop(event.anchor, None)
        self._stack.append(opened)

    def _close(self, event: CollectionEndEvent) -> None:
        closed = self._stack.pop()
        self.positions.close(closed.number)
        if closed.merged and type(closed.container) is dict:
            for mapping in closed.merged:
                for key, value in mapping.items():
                    closed.container.setdefault(key, value)
        top = self._stack[-1]
        top.deepest = max(top.deepest, closed.deepest)
        if closed.anchor is not None:
            self._anchors[closed.anchor] = _Anchored(
                closed.container,
                number=closed.number,
                nodes=self._nodes - closed.first,
                height=closed.deepest - len(self._stack) + 1,
            )
        self._place(top, closed.container, event)

    def _alias(self, event: AliasEvent) -> None:
        name = event.anchor or ""
        anchored = self._anchors.get(name)
        if anchored is None:
            text = f"the alias {quoted(name)} has no anchor of that name that ends before it"
            raise self._stop(f"{text}; a text that begins with * must stand in quotes", event)
        self._unused.pop(name, None)
        self._count(anchored.nodes, event)
        top = self._stack[-1]
        depth = len(self._stack) - 1 + anchored.height
        if depth > MAX_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} mappings and lists inside each other", event)
        top.deepest = max(top.deepest, depth)
        if top.key is NO_KEY and type(top.container) is dict:
            raise self._stop("an alias cannot be a key: write the key out", event)
        self._add_position(top.key, at(event) if top.key is NO_KEY else top.begin)
        self.positions.alias(self.positions.last, anchored.number)
        self._place(top, anchored.value, event)

    def _key(self, top: _Open, event: ScalarEvent) -> None:
        self._count(1, event)
        text = event.value
        name = self._known_keys[event.implicit[0]].get(text)
        if name is None or event.tag is not None or event.anchor is not None:
            name = self._new_key(event)
        top.begin = at(event)
        key: str | Mark = MERGE if name == "<<" and event.implicit[0] else name
        if name in top.container if key is name else top.merged is not None:
            line = self.positions.line_at(self.positions.begin_in_open(top.number, key))
            first = f"the key {quoted(name)} stands twice in one mapping, first in line {line}"
            self._add(f"{first}: remove one", event, name)
        top.key = key

    def _new_key(self, event: ScalarEvent) -> str:
        name = event.value
        if event.tag is not None:
            self._tagged(event)
        elif event.implicit[0]:
            value = self._plain(name, event)
            if not isinstance(value, str):
                self._add(f"the key {quoted(value)} is no text: put it in quotes", event)
                return name
        self._whole_characters(name, event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(name)
        return self._known_keys[event.implicit[0]].setdefault(name, name)

    def _place(self, top: _Open, value: Any, event: Event) -> None:
        container = top.container
        if isinstance(container, list):
            container.append(value)
            return
        key, top.key = top.key, NO_KEY
        if isinstance(key, Mark):
            self._merge(top, value, event)
        else:
            container[key] = value

    def _merge(self, top: _Open, value: Any, event: Event) -> None:
        mappings = value if isinstance(value, list) else [value]
        top.merged = top.merged or []
        if all(isinstance(mapping, dict) for mapping in mappings):
            top.merged.extend(mappings)
        else:
            self._add('"<<" takes a mapping, or a list of them', event, "<<")

    def _plain(self, text: str, event: Event) -> Any:
        if text in NO_TRUTH:
            self.doubtful.append((self._path(), text, self.positions.line_at(at(event))))
        try:
            return meaning(text)
        except ValueError as error:
            self._add(str(error), event)
            return text

    def _whole_characters(self, text: str, event: Event) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._add(f"{quoted(text)} has half of a character", event)

    def _count(self, nodes: int, event: NodeEvent) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            text = f"more than {MAX_NODES:,} keys and values, all aliases written out"
            raise self._stop(text, event)

    def _tagged(self, event: ScalarEvent | CollectionStartEvent) -> None:
        text = f"a tag such as {quoted(event.tag)} has no meaning here: remove it"
        self._add(f"{text}, or put a text that begins with ! in quotes", event)

    def _add(self, text: str, event: Event, *below: str) -> None:
        self.complaints.add((*self._path(), *below), text, self.positions.line_at(at(event)))

    def _path(self) -> Path:
        """Where the value stands that is read now."""
        path = (
            len(opened.container) if type(opened.container) is list else opened.key
            for opened in self._stack[1:]
        )
        return tuple(part for part in path if not isinstance(part, Mark))

    def _stop(self, text: str, event: Event) -> SyntaxProblem:
        return SyntaxProblem(text, at(event))
