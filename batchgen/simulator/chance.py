"""Chance that can be repeated: a draw depends only on what it is drawn for."""

from __future__ import annotations

import hashlib


def draw(*what: object) -> float:
    """A number in [0, 1) that is the same for the same arguments."""
    return _bits(what) / 2**64


def draw_integer(most: int, *what: object) -> int:
    """A whole number in [1, most] that is the same for the same arguments."""
    return _bits(what) % most + 1


def _bits(what: tuple[object, ...]) -> int:
    text = "\0".join(str(part) for part in what)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
