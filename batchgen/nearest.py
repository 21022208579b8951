"""The words of a complaint: the allowed name nearest to a wrong one, and a value safe to print."""

from __future__ import annotations

import difflib
import re
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_NAME = 200
"""Characters; comparing longer ones costs time and helps nobody."""
LONGEST_SHOWN = 60
"""Characters of a value that a message repeats."""

_ANYTHING = reprlib.Repr()
_ANYTHING.maxlevel = 2


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that was probably meant; None where none is near.

    Case, `-`, `_`, `.`, spaces and the order of letters do not count; other slips count as
    `difflib` counts them.
    """
    wanted = _bare(name[:LONGEST_NAME])
    bare: dict[str, str] = {}
    for candidate in allowed:
        bare.setdefault(_bare(candidate), candidate)
    if wanted in bare:
        return bare[wanted]
    letters = sorted(wanted)
    for form, candidate in bare.items():
        if sorted(form) == letters:
            return candidate
    close = difflib.get_close_matches(wanted, bare, n=1)
    return bare[close[0]] if close else None


def shown(value: object, longest: int = LONGEST_SHOWN) -> str:
    """A value as a message repeats it: short, on one line, and harmless to a terminal.

    Cut to `longest` characters. Texts stand in double quotes; what is not printable (control
    characters, line ends, direction marks) is escaped. Other values are written as in YAML or
    Python.
    """
    if isinstance(value, str):
        more = "…" if len(value) > longest else ""
        return f'"{printable(value[:longest])}{more}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = _ANYTHING.repr(value)
    except ValueError:  # Python refuses to write a whole number of more than 4,300 digits
        return "a number too long to show"
    return printable(text[:longest]) + ("…" if len(text) > longest else "")


def printable(text: str) -> str:
    """A text with everything that could steer a terminal escaped: controls, line ends, marks."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _bare(name: str) -> str:
    return re.sub(r"[-_.\s]", "", name.casefold())
