"""YAML text to parser events, parser errors to sentences; the only importer of yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import east_asian_width

import yaml
from yaml.events import (
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
    StreamEndEvent,
)
from yaml.reader import ReaderError

from batchgen.text import escaped

__all__ = [
    "AliasEvent",
    "CollectionEndEvent",
    "CollectionStartEvent",
    "DocumentStartEvent",
    "Event",
    "MappingEndEvent",
    "MappingStartEvent",
    "NodeEvent",
    "ScalarEvent",
    "SequenceEndEvent",
    "SequenceStartEvent",
    "Spot",
    "SyntaxProblem",
    "at",
    "events",
    "spot",
]

EXCERPT = 72
"""Characters of a line that a complaint shows."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SyntaxProblem(Exception):
    """The text is not YAML; says so in one sentence, and where."""

    def __init__(self, sentence: str, index: int) -> None:
        super().__init__(sentence)
        self.index = index
        """Of the character where it shows."""


def events(data: bytes) -> Iterator[Event]:
    """What the parser sees in these bytes of UTF-8, one after the other, in constant memory.

    Raises:
        SyntaxProblem: the text is not YAML.
    """
    loader = None
    try:
        loader = _LOADER(data)
        get_event = loader.get_event
        event = get_event()
        while type(event) is not StreamEndEvent:
            yield event
            event = get_event()
    except yaml.MarkedYAMLError as error:
        raise _marked(error, data.decode()) from error
    except ReaderError as error:
        text = data.decode()
        place = _place(error.position, text)
        character = ord(text[place : place + 1] or chr(0))
        advice = 'remove it, or write it as "\\u…" in double quotes'
        sentence = f"the character U+{character:04X} may not stand here: {advice}"
        raise SyntaxProblem(sentence, place) from error
    except (OverflowError, ValueError) as error:  # PyYAML's own scanner, at "\UFFFFFFFF"
        index = loader.index if loader else 0
        raise SyntaxProblem('a "\\U…" escape names no character', index) from error
    finally:
        if loader is not None:
            loader.dispose()


def _place(position: int, text: str) -> int:
    """The index of a character, of which the C loader gives the index in UTF-8."""
    if _LOADER is not yaml.SafeLoader:
        position = len(text.encode()[:position].decode(errors="ignore"))
    return min(position, len(text))


def at(event: Event) -> int:
    """Where in the text the event begins: an index of characters."""
    mark = event.start_mark
    return mark.index if mark is not None else 0


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a text, as a person finds it."""

    line: int
    """From 1, counted as editors do: by line feeds."""
    column: int
    """From 1, in characters."""
    excerpt: str
    """The line, cut if it is long, and below it a caret."""


def spot(text: str, index: int) -> Spot:
    """Where a character of a text stands."""
    index = min(index, len(text))
    start = text.rfind("\n", 0, index) + 1
    end = text.find("\n", index)
    whole = text[start : None if end < 0 else end].rstrip("\r")
    first = max(0, index - start - EXCERPT // 2)
    before = ("…" if first else "") + escaped(whole[first : index - start])
    after = escaped(whole[index - start : first + EXCERPT]) + (
        "…" if len(whole) > first + EXCERPT else ""
    )
    caret = " " * sum(2 if east_asian_width(each) in "WF" else 1 for each in before) + "^"
    return Spot(
        line=text.count("\n", 0, index) + 1,
        column=index - start + 1,
        excerpt=f"    {before}{after}\n    {caret}",
    )


def _marked(error: yaml.MarkedYAMLError, text: str) -> SyntaxProblem:
    problem, context = error.problem or "", error.context or ""
    opened = error.context_mark.index if error.context_mark is not None else 0
    mark = error.problem_mark or error.context_mark
    index = min(mark.index, len(text)) if mark is not None else 0
    if "unexpected end of stream" in problem and "quoted" in context:
        return SyntaxProblem("a quote is opened here and never closed", opened)
    if "flow" in context and text[opened : opened + 1] in ("{", "[") and not text[index:].strip():
        return SyntaxProblem(f"a {text[opened]} is opened here and never closed", opened)
    if context.endswith(("an alias", "an anchor", "a block scalar")):
        return SyntaxProblem(_in_quotes(text[opened]), opened)
    if "cannot start any token" in problem and text[index : index + 1] not in ("", "\t"):
        return SyntaxProblem(_in_quotes(text[index]), index)
    return SyntaxProblem(_Slip(text, index).sentence(problem, context), index)


def _in_quotes(first: str) -> str:
    return f"a text that begins with {first} must stand in quotes"


class _Slip:
    """The line at which the parser gave up, and what a person may have meant by it."""

    def __init__(self, text: str, index: int) -> None:
        start = text.rfind("\n", 0, index) + 1
        self._line = text[start:].partition("\n")[0]
        self._before = self._line[: index - start]
        self._rest = self._line[index - start :]
        self._above = text[:start].rstrip().rpartition("\n")[2]

    def sentence(self, problem: str, context: str) -> str:
        """What is wrong and what to do, by the commonest slips."""
        for words, sentence in _SENTENCES:
            if words in problem:
                return sentence
        indent = self._line[: len(self._line) - len(self._line.lstrip())]
        ended = self._before.rstrip()[-1:]
        said = ""
        if "\t" in indent or self._rest.startswith("\t"):
            said = "a tab indents this line: YAML wants spaces"
        elif ended in _INSIDE and self._rest:
            said = f"the text in quotes ended before this: inside it, write {_INSIDE[ended]}"
        elif ended in _OPENED and self._rest and ":" not in self._rest[:1]:
            said = _in_quotes(_OPENED[ended])
        elif "mapping values are not allowed" in problem or self._rest.startswith(":"):
            said = self._colon()
        elif not self._before.strip():
            said = "this line is indented otherwise than the keys above it: align it with them"
        return said or f"this is not valid YAML: {problem} {context}".rstrip()

    def _colon(self) -> str:
        """Of a `:` where none may be."""
        if re.search(r":\s", self._before) or self._before.lstrip().startswith(("{", "- {")):
            return 'a second ": " in one line: put a text that has ": " in quotes'
        if self._above and not re.search(r":(\s|$)", self._above):
            return 'the line above has no ": " behind its key, or is a text without quotes'
        return "this line is indented further than the key above it: align it with that key"


_SENTENCES = (
    (
        "found unknown escape character",
        'an unknown "\\" escape: use single quotes, or write "\\\\"',
    ),
    (
        "invalid Unicode character escape code",
        'half a letter, as only JSON escapes one: write the letter, or "\\U" and its eight digits',
    ),
    (
        "could not find expected ':'",
        'a key without ":", or a text over several lines without quotes',
    ),
    (
        "found incompatible YAML document",
        "only YAML 1.1 and 1.2 can be read: remove the %YAML line",
    ),
    ("did not find expected '-' indicator", 'a list goes on without "- ": check the indent'),
    ("found duplicate anchor", "an anchor stands twice"),
    ("tab character that violates", "a tab indents this line: YAML wants spaces"),
)
"""Part of the parser's words, and ours. Both loaders of PyYAML word most problems alike."""
_INSIDE = {'"': '\\" for "', "'": "'' for '"}
"""The quote around a text, and how the same one is written inside."""
_OPENED = {"}": "{", "]": "["}
