"""Job file bytes to plain values: the core meaning of YAML 1.2, bounded whatever the bytes are."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import math
import os
import re
import stat
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as File
from typing import Any, Final, Self

from batchgen.errors import Complaint, JobError
from batchgen.job.complaints import Complaints, Path, said_once
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
    spot,
)
from batchgen.text import closest, dotted, quoted

MAX_BYTES = 16 * 2**20
FOLDER_LOOKED_AT = 1_000
"""Files among which the nearest name is sought."""
LONGEST_PATH = 4_096
"""Characters of a suggested path: its end is what the user needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A job file as it was read, without its values."""

    file: str
    """As the user named it."""
    sha256: str
    """Of the bytes of the file."""
    positions: Positions = field(repr=False)
    complaints: tuple[Complaint, ...] = ()
    """What is wrong with the file although the job could be read without it."""
    mended: AbstractSet[Path] = frozenset()
    """Paths at which the job has something else than the file, which is wrong there."""
    renamed: Mapping[Path, Path] = field(default_factory=dict)
    """Where the job has a key -> where the file has it, misspelt."""
    included: tuple[Source, ...] = ()
    """The files below it, by whose values count where two have the same key."""
    warnings: tuple[str, ...] = ()
    """Sentences about texts that may be meant otherwise."""

    def error(self, complaints: Iterable[Complaint]) -> JobError:
        """The error that says all of this, with lines, from the top of the file down."""
        placed = [
            self._placed(each) if each.line is None and each.path and each.file is None else each
            for each in complaints
        ]
        placed.sort(key=_order)
        return JobError(self.file, said_once(placed))

    def _placed(self, complaint: Complaint) -> Complaint:
        """A complaint with the line of its path, in the file that has most of it."""
        path = as_written(complaint.path, self.renamed)
        holder = self._holder(path)
        file = None if holder is self else holder.file
        return replace(complaint, line=holder.positions.line(path), file=file)

    def folder_of(self, path: Path) -> str:
        """Folder of the file in which a value stands, from this file's own on; empty for that."""
        folders = (File(each.file).parent for each in (self._holder(path), self))
        relative = os.path.relpath(*folders)
        return "" if relative == "." else relative

    def _holder(self, path: Path) -> Source:
        """The file that has most of a path."""
        return max((self, *self.included), key=lambda it: it.positions.depth(path))


def _order(complaint: Complaint) -> tuple[bool, str, int]:
    """The job file comes first, and last of all what is about no place in particular."""
    is_nowhere = complaint.line is None and not complaint.path and complaint.file is None
    return (is_nowhere, complaint.file or "", complaint.line or 0)


def as_written(path: Path, renamed: Mapping[Path, Path]) -> Path:
    """A path with the keys that the file has."""
    for end in range(len(path), 0, -1):
        if path[:end] in renamed:
            return (*renamed[path[:end]], *path[end:])
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A job file that could be read, though perhaps not all of it is right."""

    source: Source
    value: Any
    """dict, list, str, int, float, bool or None, nested; a float keeps its source text."""
    complaints: tuple[Complaint, ...]
    """Duplicate keys and the like, each with its line: `value` is then the best guess."""


def read(path: File) -> Document:
    """The document in a file.

    Raises:
        JobError: it cannot be read, or is not YAML; a sentence says what to do.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except (OSError, ValueError) as error:
        raise _refusal(str(path), _unreadable(path, error)) from error
    if not stat.S_ISREG(mode):
        raise _refusal(str(path), f"this is a {_kind(mode)}: name a job file, which is YAML")
    return parse(str(path), data)


def _open_at_once(name: str, flags: int) -> int:
    """Open a file, without waiting for somebody to write into a pipe."""
    return os.open(name, flags | os.O_NONBLOCK)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "special file"


def parse(file: str, data: bytes) -> Document:
    """The document in these bytes; `file` is the name for complaints.

    Raises:
        JobError: they are not one YAML document of bearable size in UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise _refusal(file, f"a job file may have {MAX_BYTES // 2**20} MB at most")
    text = _decoded(file, data)
    builder = _Builder(text)
    try:
        value = builder.build()
    except SyntaxProblem as problem:
        found = Complaint(path=(), text=str(problem), **asdict(spot(text, problem.index)))
        raise JobError(file, (*builder.complaints.listed(), found)) from problem
    if value is None and not builder.complaints:
        raise _refusal(file, "the file is empty: a job needs at least name, model and items")
    sha256 = hashlib.sha256(data).hexdigest()
    return Document(
        source=Source(
            file=file,
            sha256=sha256,
            positions=builder.positions,
            warnings=tuple(_doubts(file, builder.doubtful)),
        ),
        value=value,
        complaints=builder.complaints.listed(),
    )


def _doubts(file: str, words: Iterable[tuple[Path, str, int]]) -> Iterator[str]:
    """What to say of words like `no` where a text is meant; elsewhere they are refused anyway."""
    meant = [each for each in words if not _TEXTS.isdisjoint(map(str, each[0]))]
    for path, word, line in meant[:MOST_DOUBTS]:
        text = f"{word} is the text {quoted(word)} here, no truth value"
        yield f"{file}:{line}: {dotted(path)}: {text}; put it in quotes to say so"
    if len(meant) > MOST_DOUBTS:
        yield f"{file}: ... and {len(meant) - MOST_DOUBTS:,} more words like this"


MOST_DOUBTS = 5
_TEXTS = frozenset(("vars", "matrix", "zip"))
"""Keys below which a plain word is a text."""
WIDE = "the file is in UTF-16 or UTF-32, not in UTF-8: save it as UTF-8"


def _decoded(file: str, data: bytes) -> str:
    if is_wide(data[:64]):
        raise _refusal(file, WIDE)
    if 0 in data[:64]:
        raise _refusal(file, "this is no text: name a job file, which is YAML")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = f"the byte 0x{data[error.start]:02X} is not UTF-8: save the file as UTF-8"
        raise JobError(file, (Complaint(path=(), text=text, line=line),)) from error


def is_wide(head: bytes) -> bool:
    """Whether a text is in UTF-16 or UTF-32.

    It says so itself, or all but one byte of each two or four are 0, as in Latin letters.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    for width in (2, 4):
        whole = head[: len(head) // width * width]
        rest = [set(whole[place::width]) for place in range(width)]
        if whole and rest.count({0}) == width - 1:
            return True
    return False


def _unreadable(path: File, error: OSError | ValueError) -> str:
    if isinstance(error, IsADirectoryError):
        return "this is a folder: name the job file in it"
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"this is a link to {quoted(str(path.readlink()))}, which is not there"
    if isinstance(error, FileNotFoundError):
        return f"there is no such file{_suggestion(path)}"
    if isinstance(error, PermissionError):
        return "the file may not be read: check its permissions"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"the file cannot be read: {reason}"


def _suggestion(path: File) -> str:
    if not path.parent.is_dir():
        return f": nor is there a folder {quoted(str(path.parent))}"
    try:
        names = [entry.name for entry in itertools.islice(path.parent.iterdir(), FOLDER_LOOKED_AT)]
    except OSError:
        return ""
    meant = closest(path.name, names)
    if not meant:
        return ""
    return f"; did you mean {quoted(str(path.with_name(meant)), LONGEST_PATH)}?"


def _refusal(file: str, text: str) -> JobError:
    return JobError(file, (Complaint(path=(), text=text),))


MAX_DEPTH = 32
"""Mappings and lists inside each other."""
MAX_NODES = 5_000_000
"""Keys and values, each alias counted as all that it stands for."""


class _Mark:
    """In place of a key: there is none, or it is `<<`."""


_NO_KEY: Final = _Mark()
_MERGE: Final = _Mark()


class Positions:
    """Where each value of a document begins: 16 bytes for each, in the order of the text."""

    def __init__(self, text: str) -> None:
        self._line_starts = array("I", (found.end() for found in re.finditer("\n", text)))
        self._begins = array("I")
        """Of each value: where its key begins, or the value itself where it has no key."""
        self._keys: list[str | _Mark] = []
        self._below = array("i")
        """How many values are inside it; of an alias, minus the number of what it stands for."""
        self._children: dict[int, Sequence[int]] = {}

    def add(self, key: str | _Mark, begin: int) -> None:
        """Count one more value, which is inside all that are not closed."""
        self._begins.append(begin)
        self._keys.append(key)
        self._below.append(0)

    @property
    def last(self) -> int:
        """The number of the value that was added last."""
        return len(self._keys) - 1

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

    def begin_in_open(self, number: int, key: str | _Mark) -> int:
        """Where a key of a mapping begins that is not closed yet, but for its last value."""
        child = number + 1
        while self._keys[child] != key:
            child += 1 + max(self._below[child], 0)
        return self._begins[child]

    def _child(self, number: int, part: str | int) -> int | None:
        if isinstance(part, int):
            return next(iter(self._inside(number)[part : part + 1]), None)
        mappings, seen = [number], set[int]()
        while mappings:
            mapping = self._meant(mappings.pop())
            if mapping in seen:
                continue
            seen.add(mapping)
            own = {self._keys[child]: child for child in self._inside(mapping)}
            if part in own:
                return own[part]
            if _MERGE in own:
                merged = own[_MERGE]
                entries = self._inside(merged)
                is_list = bool(entries) and self._keys[entries[0]] is _NO_KEY
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
        self.key: str | _Mark = _NO_KEY
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


class _Builder:
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
        if top.key is _NO_KEY and type(top.container) is dict:
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
        self._add_position(key, at(event) if key is _NO_KEY else top.begin)
        if type(key) is str:
            top.container[key] = value  # type: ignore[call-overload]  # a key stands in a mapping
            top.key = _NO_KEY
        else:
            self._place(top, value, event)

    def _open(self, event: CollectionStartEvent) -> None:
        top = self._stack[-1]
        if top.key is _NO_KEY and type(top.container) is dict:
            raise self._stop("a mapping or a list cannot be a key: put the key in quotes", event)
        self._count(1, event)
        if len(self._stack) > MAX_DEPTH:
            raise self._stop(f"more than {MAX_DEPTH} mappings and lists inside each other", event)
        if event.tag is not None:
            self._tagged(event)
        self._add_position(top.key, at(event) if top.key is _NO_KEY else top.begin)
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
        if top.key is _NO_KEY and type(top.container) is dict:
            raise self._stop("an alias cannot be a key: write the key out", event)
        self._add_position(top.key, at(event) if top.key is _NO_KEY else top.begin)
        self.positions.alias(self.positions.last, anchored.number)
        self._place(top, anchored.value, event)

    def _key(self, top: _Open, event: ScalarEvent) -> None:
        self._count(1, event)
        text = event.value
        name = self._known_keys[event.implicit[0]].get(text)
        if name is None or event.tag is not None or event.anchor is not None:
            name = self._new_key(event)
        top.begin = at(event)
        key: str | _Mark = _MERGE if name == "<<" and event.implicit[0] else name
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
        key, top.key = top.key, _NO_KEY
        if isinstance(key, _Mark):
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
        if text in _NO_TRUTH:
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
        return tuple(part for part in path if not isinstance(part, _Mark))

    def _stop(self, text: str, event: Event) -> SyntaxProblem:
        return SyntaxProblem(text, at(event))


LONGEST_NUMBER = 100
"""Characters."""
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NO_TRUTH: Final = frozenset(
    form for word in ("yes", "no", "on", "off") for form in (word, word.title(), word.upper())
)
"""Truth values of YAML 1.1, which are texts in YAML 1.2."""
_INT = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


class WrittenFloat(float):
    """A float that keeps how it was written: 1.10 is `1.10` where a text is wanted."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:  # noqa: D102 - the class's docstring covers it
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __repr__(self) -> str:
        return self.text


def meaning(text: str) -> Any:
    """The value of a plain scalar.

    Raises:
        ValueError: a number that no double holds, or that is longer than anybody means.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "-.0123456789":
        return text
    whole = _INT.fullmatch(text)
    if whole is None and _FLOAT.fullmatch(text) is None:
        return text
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text):,} characters: put a text in quotes")
    number = int(text) if whole is not None else WrittenFloat(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {quoted(number)} is too large")
    return number
