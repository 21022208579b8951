"""Colours that go together; the prompt's colour words choose among them before the seed does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """Five colours of one picture, from the light of its sky to the dark of its foreground."""

    words: str
    """What a prompt may call it, separated by blanks."""
    light: Colour
    warm: Colour
    """A neighbour of `light`; the two make the background."""
    far: Colour
    near: Colour
    """`far` fades into `near` as things come closer."""
    accent: Colour


def _palette(words: str, *colours: str) -> Palette:
    light, warm, far, near, accent = (_colour(text) for text in colours)
    return Palette(words, light, warm, far, near, accent)


def _colour(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


PALETTES = (
    _palette("orange amber sunset", "ffe3b3", "f7a072", "d9675b", "4a2545", "ff6b4a"),
    _palette("blue navy ocean sea", "d6ecf5", "8fc1e3", "4a7fb5", "14284b", "f6c667"),
    _palette("green forest leaf olive", "e9f2d8", "b5d6a7", "5f9a78", "1b3d36", "f0a868"),
    _palette("pink rose blush", "ffe9ec", "f8b9c4", "d9789b", "5b2350", "ffd166"),
    _palette("purple violet lavender", "eee4ff", "c3aef0", "8266c4", "2a1a58", "ff9f80"),
    _palette("red crimson scarlet ruby", "ffe4d6", "f29c85", "c4473f", "4a1020", "f9d57a"),
    _palette("yellow gold golden mustard brass", "fff6d0", "f9d976", "e0a03a", "5a3512", "3f8f8c"),
    _palette("teal turquoise mint aqua", "ddf6ee", "95dcc9", "3a9d98", "0f3b46", "ff8f6b"),
    _palette("brown wood wooden leather oak tan", "f4e6d4", "dcb98f", "a8754a", "3b2416", "7fb0a0"),
    _palette("white cream ivory linen", "fbf8f2", "e9ded0", "c2b2a2", "4d4a52", "e4906a"),
    _palette("black charcoal night dark", "8891b0", "545d80", "343a58", "12142a", "f2b872"),
    _palette("grey gray silver steel stone", "edf0f3", "c3ccd6", "8794a4", "2b3440", "f4a259"),
    _palette("coral peach apricot", "fff0e0", "ffc3a0", "f08a78", "473052", "58b4ae"),
    _palette("indigo dusk twilight", "f7c9c0", "b58ab8", "6a5a9e", "1d1f48", "ffd98e"),
)

_BY_WORD = {word: palette for palette in PALETTES for word in palette.words.split()}


def choose(prompt: str, dice: random.Random) -> Palette:
    """The palette of the first colour that the prompt names, else one that the seed draws."""
    drawn = dice.choice(PALETTES)
    named = (_BY_WORD.get(word) for word in re.findall(r"[a-z]+", prompt.lower()))
    return next((palette for palette in named if palette), drawn)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: `first` at a share of 0, `second` at 1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
