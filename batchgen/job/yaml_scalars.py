"""What a plain scalar means, by the core schema of YAML 1.2."""

from __future__ import annotations

import math
import re
from typing import Any, Final, Self

from batchgen.text import quoted

LONGEST_NUMBER = 100
"""Characters."""
_CONSTANTS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
NO_TRUTH: Final = frozenset(
    form for word in ("yes", "no", "on", "off") for form in (word, word.title(), word.upper())
)
"""Truth values of YAML 1.1, which are texts in YAML 1.2."""
LONGEST_WORD: Final = max(map(len, (*_CONSTANTS, *NO_TRUTH)))
"""Characters; a longer text that begins with none of `NUMERIC` is the text that it is."""
NUMERIC: Final = "-.0123456789"
"""What a number can begin with."""
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
    if text[0] not in NUMERIC:
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
