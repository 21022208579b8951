"""How option values are written: text to value, or a sentence that says why not."""

from __future__ import annotations

import math
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
    if not text.isdecimal():
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
    first, dash, last = text.partition("-")
    low, high = number(first), number(last if dash else first)
    if not 0 <= low <= high:
        raise ValueError(f"{text!r} is no time and no range of seconds, as in 3 or 2-5")
    return Span(low, high)


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
    """`SECONDS:RPM` or `SECONDS:MODEL=RPM`."""
    after, colon, what = text.partition(":")
    if not (after and colon and what):
        raise ValueError(f"{text!r} is not of the form SECONDS:RPM or SECONDS:MODEL=RPM")
    model, sign, rpm = what.rpartition("=")
    return Step(number(after), model if sign else None, whole(rpm))
