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
from batchgen.job.yaml_scalars import LONGEST_WORD, NO_TRUTH, NUMERIC, meaning
from batchgen.text import quoted

MAX_DEPTH = 32
"""Mappings and lists inside each other."""
MAX_NODES = 5_000_000
"""Keys and values, each alias counted as all that it stands for."""


class _Open:
    """A mapping or list that is not closed yet."""

    anchor: str | None = None
    key: str | Mark = NO_KEY
    begin = 0
    """Where the key begins."""
    merged: list[dict[str, Any]] | None = None
    """What `<<` names; None while no such key came."""

    def __init__(
        self, container: dict[str, Any] | list[Any], number: int, first: int, depth: int
    ) -> None:
        self.container = container
        self.is_mapping = type(container) is dict
        self.number = number
        self.first = first
        self.deepest = depth


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: Any
    number: int = 0
    """Of the mapping or list."""
    nodes: int = 1
    height: int = 0


class Builder:
    """Builds the document of a text in UTF-8; `complaints` and `positions` fill meanwhile."""

    def __init__(self, data: bytes) -> None:
        self.complaints = Complaints()
        self.doubtful: list[tuple[Path, str, int]] = []
        """Path, text and line of each word that was a truth value in YAML 1.1."""
        self.positions = Positions(data)
        self._add_position = self.positions.add
        self._data = data
        self._documents = 0
        self._nodes = 0
        self._root = self._top = _Open([], 0, 0, 0)
        """`_top` is the last of the stack, which is asked for at every value."""
        self._stack = [self._root]
        self._anchors: dict[str, _Anchored] = {}
        self._unused: dict[str, int] = {}
        """Anchor of a text that no alias names -> where it stands."""
        self._known_keys: dict[bool, dict[str, str]] = {True: {}, False: {}}  # plain, quoted

    def build(self) -> Any:
        """The value of the document; None if there is none.

        Raises:
            SyntaxProblem: it is not YAML, or more than the bounds allow.
        """
        scalar = self._scalar
        take: dict[type[Event], Callable[[Any], None]] = {
            MappingStartEvent: self._open,
            SequenceStartEvent: self._open,
            MappingEndEvent: self._close,
            SequenceEndEvent: self._close,
            AliasEvent: self._alias,
            DocumentStartEvent: self._document,
        }
        for event in events(self._data):
            kind = type(event)
            if kind is ScalarEvent:
                scalar(event)
            elif kind in take:
                take[kind](event)
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

    def _scalar(self, event: Any) -> None:
        # Called for every key and value of a file of 16 MB: what is rare stands elsewhere.
        top, value = self._top, event.value
        key = top.key
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._count(0, event)
        if key is NO_KEY and top.is_mapping:
            self._key(top, event)
            return
        if event.tag is not None or event.anchor is not None:
            value = self._marked(event)
        elif not event.implicit[0]:
            if not value.isascii():
                self._whole_characters(value, event)
        elif len(value) <= LONGEST_WORD or value[0] in NUMERIC:
            value = self._plain(value, event)
        if key is NO_KEY or key is MERGE:
            self._add_position(key, at(event) if key is NO_KEY else top.begin)
            self._place(top, value, event)
            return
        self._add_position(key, top.begin)
        top.container[key] = value  # type: ignore[call-overload,index]  # a key stands in a mapping
        top.key = NO_KEY

    def _marked(self, event: ScalarEvent) -> Any:
        """The value of a scalar with a tag or an anchor."""
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
        return value

    def _open(self, event: CollectionStartEvent) -> None:
        top, depth = self._top, len(self._stack)
        if top.key is NO_KEY and top.is_mapping:
            raise self._stop("a mapping or a list cannot be a key: put the key in quotes", event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._count(0, event)
        if depth > MAX_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} mappings and lists inside each other", event)
        if event.tag is not None:
            self._tagged(event)
        number = self._add_position(top.key, at(event) if top.key is NO_KEY else top.begin)
        empty: dict[str, Any] | list[Any] = {} if type(event) is MappingStartEvent else []
        opened = self._top = _Open(empty, number, self._nodes - 1, depth)
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
        top = self._top = self._stack[-1]
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
        top = self._top
        depth = len(self._stack) - 1 + anchored.height
        if depth > MAX_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} mappings and lists inside each other", event)
        top.deepest = max(top.deepest, depth)
        if top.key is NO_KEY and top.is_mapping:
            raise self._stop("an alias cannot be a key: write the key out", event)
        number = self._add_position(top.key, at(event) if top.key is NO_KEY else top.begin)
        self.positions.alias(number, anchored.number)
        self._place(top, anchored.value, event)

    def _key(self, top: _Open, event: ScalarEvent) -> None:
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
        container, key = top.container, top.key
        if type(container) is list:
            container.append(value)
            return
        top.key = NO_KEY
        if key is MERGE:
            self._merge(top, value, event)
        else:
            container[key] = value  # type: ignore[call-overload,index]  # a mapping's key

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
