"""How option values are written: text to value, or a sentence that says why not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A range of seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Step:
    """A change of quota while the simulator runs."""

    after: float
    """Seconds after the start."""
    model: str | None
    """Model id; None for all models."""
    rpm: int


def whole(text: str) -> int:
    """A whole number of at least 0."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def number(text: str) -> float:
    """A number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def positive(text: str) -> float:
    """A number of at least 0."""
    value = number(text)
    if value < 0:
        raise ValueError(f"{text!r} is not a number of 0 or more")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not a number from 0 to 1")
    return value


def span(text: str) -> Span:
    """`3` or `2-5`: seconds."""
    match = _SPAN.fullmatch(text)
    low = float(match["low"]) if match else 0.0
    high = float(match["high"] or low) if match else -1.0
    if not low <= high < math.inf:
        raise ValueError(f"{text!r} is no number of seconds and no range of them, as in 3 or 2-5")
    return Span(low, high)


_SECONDS = r"(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
_SPAN = re.compile(rf"(?P<low>{_SECONDS})(-(?P<high>{_SECONDS}))?")


def pair(text: str) -> tuple[str, str]:
    """`NAME=VALUE`."""
    name, sign, value = text.rpartition("=")
    if not (name and sign and value):
        raise ValueError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def count(text: str) -> tuple[str, int]:
    """`NAME=N`."""
    name, value = pair(text)
    return name, whole(value)


def step(text: str) -> Step:
    """`SECONDS:N` or `SECONDS:MODEL=N`: requests a minute."""
    match = _STEP.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not of the form SECONDS:N or SECONDS:MODEL=N")
    return Step(float(match["after"]), match["model"], int(match["rpm"]))


_STEP = re.compile(r"(?P<after>\d+(\.\d+)?):((?P<model>.+)=)?(?P<rpm>\d+)")
