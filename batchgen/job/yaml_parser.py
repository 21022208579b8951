"""YAML text to parser events, parser errors to sentences; the only importer of yaml."""

from __future__ import annotations

from collections.abc import Iterator

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
    "SyntaxProblem",
    "at",
    "events",
    "line_at",
]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SyntaxProblem(Exception):
    """The text is not YAML; says so in one sentence."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.line = line


def events(text: str) -> Iterator[Event]:
    """What the parser sees, one after the other, in constant memory.

    Raises:
        SyntaxProblem: the text is not YAML.
    """
    loader = None
    try:
        loader = _LOADER(text)
        event = loader.get_event()
        while type(event) is not StreamEndEvent:
            yield event
            event = loader.get_event()
    except yaml.MarkedYAMLError as error:
        raise _marked(error, text) from error
    except ReaderError as error:
        place = _place(error.position, text)
        sentence = (
            f"the character U+{ord(text[place : place + 1] or chr(0)):04X} may not stand here"
        )
        raise SyntaxProblem(
            f'{sentence}: remove it, or write it as "\\u…" in double quotes', line_at(text, place)
        ) from error
    except (OverflowError, ValueError) as error:  # PyYAML's own scanner, at "\UFFFFFFFF"
        raise SyntaxProblem(
            'a "\\U…" escape names no character', line_at(text, loader.index if loader else 0)
        ) from error
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


def line_at(text: str, index: int) -> int:
    """The 1-based line of an index, counted as editors do: by line feeds."""
    return text.count("\n", 0, index) + 1


_SENTENCES = (
    (
        "mapping values are not allowed",
        'a second ": " in one line, or a wrong indent: put a text that has ": " in quotes',
    ),
    (
        "found unknown escape character",
        'an unknown "\\" escape: use single quotes, or write "\\\\"',
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
)
"""Part of the parser's words, and ours. Both loaders of PyYAML word most problems alike."""


def _marked(error: yaml.MarkedYAMLError, text: str) -> SyntaxProblem:
    problem = error.problem or ""
    mark = error.problem_mark or error.context_mark
    if "unexpected end of stream" in problem and "quoted" in (error.context or ""):
        opened = error.context_mark.index if error.context_mark is not None else 0
        return SyntaxProblem("a quote is opened here and never closed", line_at(text, opened))
    index = min(mark.index, len(text)) if mark is not None else 0
    start = text.rfind("\n", 0, index) + 1
    line = text[start:].partition("\n")[0]
    return SyntaxProblem(_sentence(problem, line, index - start, error), line_at(text, index))


def _sentence(problem: str, line: str, column: int, error: yaml.MarkedYAMLError) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" in indent:
        return "a tab indents this line: YAML wants spaces"
    if "cannot start any token" in problem and column < len(line):
        return f"a text that begins with {line[column]} must stand in quotes"
    for words, sentence in _SENTENCES:
        if words in problem:
            return sentence
    value = line.partition(": ")[2].lstrip()
    if value.startswith(("{", "[")) and not value.rstrip().endswith(("}", "]", ",", "{", "[")):
        return f"a text that begins with {value[0]} must stand in quotes"
    context = f" {error.context}" if error.context else ""
    return f"this is not valid YAML: {problem}{context}"
