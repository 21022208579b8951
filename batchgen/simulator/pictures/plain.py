"""One picture for all requests of a size: quick, and as large as real ones if need be."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from .studio import encode

_SLATE = (46, 56, 72)
_WHITE = (255, 255, 255)
_HEAD = 60
"""Rows that the words take."""


def plain(size: tuple[int, int], image_format: str, about: int | None) -> bytes:
    """A flat picture that says what it is; noise at its foot makes it about so many bytes large."""
    if about is None:
        return _draw(size, image_format, 0)
    room = max(size[1] - _HEAD, 1)
    empty, full = (len(_draw(size, image_format, rows)) for rows in (0, room))
    share = (about - empty) / (full - empty)
    return _draw(size, image_format, round(room * min(max(share, 0), 1)))


def _draw(size: tuple[int, int], image_format: str, noisy_rows: int) -> bytes:
    width, height = size
    picture = Image.new("RGB", size, _SLATE)
    noise = random.Random(0).randbytes(width * noisy_rows * 3)  # noqa: S311 - filling, no secret
    if noisy_rows:
        picture.paste(Image.frombytes("RGB", (width, noisy_rows), noise), (0, height - noisy_rows))
    draw = ImageDraw.Draw(picture)
    draw.text((24, 20), "S I M U L A T E D   (plain)", fill=_WHITE)
    return encode(picture, image_format)
