"""What is written on a picture: that it is simulated, its prompt, its seed and its model."""

from __future__ import annotations

import math
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from .palette import Colour, Palette, mix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.ImageFont import FreeTypeFont

MOST_CHARACTERS = 600
MOST_LINES = 4
_WHITE: Colour = (255, 255, 255)


def darken(picture: Image.Image, palette: Palette) -> None:
    """Let the lower part fall into the dark, so that white letters can be read on it."""
    top = round(picture.height * 0.5)
    fall = Image.linear_gradient("L").resize((picture.width, picture.height - top))
    night = mix(palette.near, (0, 0, 0), 0.45)
    picture.paste(night, (0, top), fall.point(_DUSK))


_DUSK = [round(235 * (1 - (1 - min(value / 225, 1) ** 2) ** 2)) for value in range(256)]
"""Starts and ends without an edge that the eye could find."""


def letter(picture: Image.Image, palette: Palette, prompt: str, caption: str) -> None:
    """Write the prompt and the caption at the foot and `SIMULATED` at the head of a picture."""
    unit = math.sqrt(picture.width * picture.height) / 1024
    margin = round(44 * unit)
    draw = ImageDraw.Draw(picture)
    small, large = _font(round(21 * unit)), _font(round(35 * unit))
    y = picture.height - margin - _height(small)
    draw.text((margin, y), caption, font=small, fill=mix(_WHITE, palette.near, 0.22))
    lines = list(_lines(legible(prompt), large, picture.width - 2 * margin))
    y -= round(12 * unit) + len(lines) * _pitch(large)
    for line in lines:
        draw.text((margin, y), line, font=large, fill=_WHITE)
        y += _pitch(large)
    _badge(draw, margin, unit, palette)


def legible(prompt: str) -> str:
    """A prompt as the font can show it: without accents, controls, surrogates and line breaks.

    What the font lacks altogether, such as another script, shows as boxes.
    """
    return " ".join("".join(map(_shown, prompt[:MOST_CHARACTERS])).split())


def _shown(character: str) -> str:
    if unicodedata.category(character)[0] in "CZ":
        return " "
    plain = unicodedata.normalize("NFKD", _PLAIN.get(character, character))
    return "".join(filter(str.isascii, plain)) or character


_PLAIN = {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "ł": "l", "Ł": "L"} | {
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{LEFT SINGLE QUOTATION MARK}": "'",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}
"""Letters and signs that the font lacks and that do not fall apart into a letter and an accent."""


def _badge(draw: ImageDraw.ImageDraw, margin: int, unit: float, palette: Palette) -> None:
    font = _font(round(19 * unit))
    text = " ".join("SIMULATED")
    pad = round(14 * unit)
    width, height = round(font.getlength(text)) + 2 * pad, _height(font) + pad
    box = (margin, margin, margin + width, margin + height)
    draw.rounded_rectangle(box, radius=height // 2, fill=mix(palette.near, _WHITE, 0.04))
    draw.text((margin + pad, margin + pad // 2), text, font=font, fill=_WHITE)


def _lines(text: str, font: FreeTypeFont, width: int) -> Iterator[str]:
    rest = text
    for number in range(1, MOST_LINES + 1):
        if not rest:
            return
        line = _fitting(rest, font, width)
        rest = rest[len(line) :].lstrip()
        if number == MOST_LINES and rest:
            line = _fitting(line, font, width - round(font.getlength("…"))).rstrip() + "…"
        yield line


def _fitting(text: str, font: FreeTypeFont, width: int) -> str:
    """The longest beginning that fits, up to a blank where there is one; at least a character."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    if low == len(text) or text[low] == " ":
        return text[:low]
    return text[: text.rfind(" ", 0, low) + 1] or text[:low]


@lru_cache(maxsize=64)
def _font(size: int) -> FreeTypeFont:
    font = ImageFont.load_default(max(size, 6))
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("the simulator needs a Pillow that was built with FreeType")
    # The basic layout is the same on every machine; the other one is an optional library.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _height(font: FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent


def _pitch(font: FreeTypeFont) -> int:
    return round(_height(font) * 1.08)
