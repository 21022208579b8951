"""File names that every file system takes, and that stay inside the folder they are meant for.

Values of placeholders are made portable; the whole name is then checked, and refused with a
sentence rather than changed, for a changed name could be another task's. A name never begins with
a dot (hidden) or a dash (an option to most commands).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from batchgen.text import quoted

LONGEST_PART = 200
"""Bytes of one folder or file name in UTF-8; file systems take 255, with room for an extension."""
LONGEST = 1_000
"""Bytes of the whole path below the output."""

# Written out, not asked of `unicodedata`: a name must not depend on the version of Python.
_INVISIBLE = (
    "\x00-\x1f\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff0-\uffff"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\ufdd0-\ufdef\ud800-\udfff"
)
"""Controls, formats and directions, blanks of every width, half characters, non-characters."""
_FORBIDDEN = '<>:"\\\\|?*'
"""What a file system refuses or reads as something else (Windows: "Naming files, paths")."""

_IN_VALUES = re.compile(f"[{_INVISIBLE}{_FORBIDDEN} /~]")
_IN_NAMES = re.compile(f"[{_INVISIBLE}{_FORBIDDEN}]")
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\s*\..*)?",
    re.IGNORECASE | re.DOTALL,
)
_NUMBERED = re.compile(r"(?:^|/)(?:com|lpt)", re.IGNORECASE)
_EASY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-]")
_IMAGE_FOLDER = re.compile(r"\.(?:png|jpe?g|webp)$", re.IGNORECASE)


def portable(value: str) -> str:
    """A placeholder's value as a file name has it: what is not portable becomes a dash."""
    return _IN_VALUES.sub("-", value)


def normalised(name: str) -> str:
    """The form in which a name is stored (NFC): one for all ways to write an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def comparable(name: str) -> str:
    """Equal for names that some file system takes for one: by case or by Unicode form."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def may_be_reserved(name: str) -> bool:
    """Whether a digit more could make a part of the name a device of Windows, such as COM1."""
    return _NUMBERED.search(name) is not None


def problem(name: str) -> str | None:
    """What is wrong with a name below the output, `/` between folders; None if it is safe."""
    if _EASY.fullmatch(name) and not _RESERVED.fullmatch(name):
        return None
    reason = next(_reasons(name), None)
    return reason and f"the file name {quoted(name)} {reason}"


def _reasons(name: str) -> Iterator[str]:
    if name.startswith("/"):
        yield "begins with /: it must stay inside the output"
    forbidden = _IN_NAMES.search(name)
    if forbidden:
        yield f"has {quoted(forbidden[0])}, which not every file system takes"
        return
    length = len(name.encode())
    if length > LONGEST:
        yield f"has {length:,} bytes; at most {LONGEST:,} fit"
    *folders, last = name.split("/")
    for folder in folders:
        yield from _part_reasons(folder)
        if _IMAGE_FOLDER.search(folder):
            yield f"has the folder {quoted(folder)}, which looks like an image"
    yield from _part_reasons(last)


def _part_reasons(part: str) -> Iterator[str]:
    if part in ("", ".", ".."):
        yield f"has {quoted(part)} where the name of a folder or a file must stand"
        return
    if part[0] in ".-~ ":
        yield f"has a part that begins with {quoted(part[0])}: put something before it"
    if part[-1] in ". ":
        yield f"has a part that ends with {quoted(part[-1])}: put something after it"
    if _RESERVED.fullmatch(part):
        yield f"has the part {quoted(part)}, which is a device on Windows"
    length = len(part.encode())
    if length > LONGEST_PART:
        yield f"has a part of {length:,} bytes; at most {LONGEST_PART:,} fit"
