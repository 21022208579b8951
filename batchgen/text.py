"""Words for people: the nearest allowed name, values that are safe to print, times and money."""

from __future__ import annotations

import difflib
import re
import reprlib
import sys
from collections.abc import Iterable
from decimal import Decimal

LONGEST_NAME = 200
"""Characters; comparing longer ones costs time and helps nobody."""
LONGEST_SHOWN = 60
"""Characters of a value that a message repeats."""
LONGEST_SAID = 2_000
"""Characters of what a service or the system says; a proxy may answer with a whole page."""
LONGEST_CODE = 200
"""Characters of the name of an error or the id of a call, as a service gives them; AWS's have up to
40."""
LONGEST_KEY = 100
"""Characters of a key that a complaint repeats."""

AN_HOUR = 3_600

_ANYTHING = reprlib.Repr()
_ANYTHING.maxlevel = 2


def closest(name: str, allowed: Iterable[str]) -> str | None:
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


def did_you_mean(near: str | None) -> str:
    """The end of a complaint about a name: `; did you mean "seed"?`, or nothing."""
    return "" if near is None else f"; did you mean {quoted(near, LONGEST_NAME)}?"


def quoted(value: object, longest: int = LONGEST_SHOWN) -> str:
    """A value as a message repeats it: short, on one line, and harmless to a terminal.

    Cut to `longest` characters. Texts stand in double quotes; what is not printable (control
    characters, line ends, direction marks) is escaped. Other values are written as in YAML or
    Python.
    """
    if isinstance(value, str):
        more = "…" if len(value) > longest else ""
        return f'"{escaped(value[:longest])}{more}"'
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = _ANYTHING.repr(value)
    except ValueError:  # Python refuses to write a whole number of more than 4,300 digits
        return "a number too long to show"
    return escaped(text[:longest]) + ("…" if len(text) > longest else "")


def shortened(text: str, longest: int = LONGEST_SAID) -> str:
    """A text of somebody else, cut so that a record, a message and memory can bear it."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def escaped(text: str) -> str:
    """A text with everything that could steer a terminal escaped: controls, line ends, marks."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def system_reason(error: OSError) -> str:
    """What the system says of an error, without its number and without the path."""
    return error.strerror or str(error) or type(error).__name__


def cannot_be_named(name: str) -> str:
    """Why no file can have a name here: the process was told of an encoding that lacks a letter."""
    return (
        f"{quoted(name)} cannot be the name of a file here, where names are written in "
        f"{sys.getfilesystemencoding()}: set PYTHONUTF8=1, or a locale with UTF-8."
    )


def dotted(path: tuple[str | int, ...]) -> str:
    """A document path as a person writes it, `items[3].parameters.seed`; harmless to print.

    A key is anything that somebody wrote into a file: it is cut, and what could steer a terminal
    or end a line is escaped.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = escaped(part[:LONGEST_KEY]) + ("…" if len(part) > LONGEST_KEY else "")
            text += f".{key}" if text else key
    return text


def duration(seconds: float) -> str:
    """A length of time: `40 s`, `9 min`, `9 min 5 s` or, without seconds, `1 h 5 min`."""
    whole = round(seconds)
    if whole >= AN_HOUR:
        whole = round(seconds / 60) * 60
    hours, rest = divmod(whole, AN_HOUR)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (left, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def usd(amount: Decimal | None) -> str:
    """An amount of money: `0.40 USD`, and as many digits more as it has, to a hundredth cent."""
    if amount is None:
        return "an unknown sum"
    digits = f"{amount:.4f}"
    return f"{digits[:-2]}{digits[-2:].rstrip('0')} USD"


def of_unknown_price(tasks: int) -> str:
    """What stands beside a sum of money that lacks some tasks: `2 tasks of unknown price`."""
    return f"{counted(tasks, 'task')} of unknown price"


def sentences(*parts: str) -> str:
    """What was found and what to do as one text; each part ends with a full stop."""
    return " ".join(
        part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part
    )


def _bare(name: str) -> str:
    return re.sub(r"[-_.\s]", "", name.casefold())


_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+(?=>)")


def without_addresses(text: str) -> str:
    """A message without the addresses that Python puts into it: equal failures are equal texts."""
    return _ADDRESS.sub("", text)


_BEHIND_SCHEME = re.compile(r"(?<=://)[^\s'\"]+")


def without_passwords(text: str) -> str:
    """A message without the names and passwords of URLs: a proxy's stand in the SDK's errors."""
    return _BEHIND_SCHEME.sub(_place, text)


def _place(url: re.Match[str]) -> str:
    _, named, place = url[0].rpartition("@")
    return f"***@{place}" if named else place
