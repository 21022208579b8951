"""Templates with plain names in braces: `{name}`, and `{{` and `}}` for the braces themselves.

No attributes, no indices, no formats, no expressions: a value is put in as it is, and what it
contains is never read as a template again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from batchgen.text import closest, did_you_mean, quoted

MOST_REMEMBERED = 1_000
"""Complaints that are not made anew: a mistake of one item is often that of all."""
LISTED = 30
"""Names that a complaint lists."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)(\}?)|\}")
_NAME = re.compile(r"[^\W\d][\w-]*")


class PlaceholderError(ValueError):
    """A text that is no template; its own text is a sentence that says why."""

    path: tuple[str | int, ...] = ()
    """Where the text stands in a nested value."""


@dataclass(slots=True)  # not frozen: see `PlannedItem`
class Template:
    """A text between names: `literals[0]`, the value of `names[0]`, `literals[1]`, and so on."""

    literals: tuple[str, ...]
    """One more than names."""
    names: tuple[str, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """The text with every name's value; a name that has none is a `KeyError`."""
        parts = [self.literals[0]]
        for index, name in enumerate(self.names, 1):
            parts += (values[name], self.literals[index])
        return "".join(parts)

    def bind(self, values: Mapping[str, str]) -> Template:
        """The template in which only the names without a value are left."""
        literals, names = [], []
        parts = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            if name in values:
                parts.append(values[name])
            else:
                names.append(name)
                literals.append("".join(parts))
                parts.clear()
            parts.append(literal)
        return Template((*literals, "".join(parts)), tuple(names))


def compiled(text: str) -> Template:
    """The template that a text is.

    Raises:
        PlaceholderError: a single brace, or more between braces than a name.
    """
    if "{" not in text and "}" not in text:
        return Template((text,), ())
    literals, names, end = [], [], 0
    parts: list[str] = []
    """Of the literal that is not closed: one text that grows takes quadratic time."""
    for token in _TOKEN.finditer(text):
        parts.append(text[end : token.start()])
        end = token.end()
        if token[0] in ("{{", "}}"):
            parts.append(token[0][0])
        else:
            names.append(_name(token))
            literals.append("".join(parts))
            parts.clear()
    parts.append(text[end:])
    return Template((*literals, "".join(parts)), tuple(names))


def unknown(template: Template, allowed: Collection[str]) -> dict[str, str]:
    """A sentence for each name that is not allowed, with the nearest that is."""
    known = frozenset(allowed)
    return {name: _unknown(name, known) for name in template.names if name not in known}


def _name(token: re.Match[str]) -> str:
    name, closed = token[1], token[2]
    if name is None or not closed:
        brace = token[0][0]
        where = f"the {brace} at character {token.start() + 1:,}"
        raise PlaceholderError(f"{where} has no partner; write {brace * 2} for the brace itself")
    if _NAME.fullmatch(name) is None:
        what = f"{quoted('{' + name + '}')} is no placeholder"
        raise PlaceholderError(f"{what}: only a plain name may stand in braces, such as {{id}}")
    return name


@lru_cache(maxsize=MOST_REMEMBERED)
def _unknown(name: str, allowed: frozenset[str]) -> str:
    near = closest(name, allowed)
    hint = did_you_mean(near and f"{{{near}}}")
    names = sorted(allowed)
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    listed = ", ".join(names[:LISTED]) + more
    return f"{quoted('{' + name + '}')} has no value; allowed: {listed}{hint}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text with placeholders inside a nested value."""

    path: tuple[str | int, ...]
    template: Template


@dataclass(frozen=True, slots=True)
class Nested:
    """A value of mappings, lists and scalars in which any text may be a template."""

    value: Any
    """With a `Template` in the place of each text that has placeholders."""
    leaves: tuple[Leaf, ...]
    errors: tuple[PlaceholderError, ...]
    """Of the texts that are no templates, which are left as they are."""

    def render(self, values: Mapping[str, str]) -> Any:
        """The plain value; shared with every other rendering if it has no placeholders."""
        return _rendered(self.value, values) if self.leaves else self.value


def compiled_nested(value: Any) -> Nested:
    """The templates in a value."""
    leaves: list[Leaf] = []
    errors: list[PlaceholderError] = []

    def compile_below(value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, str):
            try:
                template = compiled(value)
            except PlaceholderError as error:
                error.path = path
                errors.append(error)
                return value
            if not template.names:
                return template.literals[0]
            leaves.append(Leaf(path, template))
            return template
        if isinstance(value, dict):
            return {key: compile_below(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [compile_below(each, (*path, index)) for index, each in enumerate(value)]
        return value

    return Nested(compile_below(value, ()), tuple(leaves), tuple(errors))


def _rendered(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, Template):
        return value.render(values)
    if isinstance(value, dict):
        return {key: _rendered(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [_rendered(each, values) for each in value]
    return value
