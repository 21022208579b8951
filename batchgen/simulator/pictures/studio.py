"""From a request to the bytes of its picture: the same request gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass

from PIL import Image, ImageFilter

from .lettering import darken, letter
from .palette import choose
from .png import png
from .scenes import SCENES

_SHRINK = 384 / 1024
"""Size of the painting over the size of the picture: measured, what looks good and is quick."""
_SMALLEST = 128
_SAVE: dict[str, dict[str, int]] = {
    "jpeg": {"quality": 90},
    "webp": {"quality": 85, "method": 1},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commission:
    """All that a picture depends on."""

    model: str
    """Its title, as the caption writes it."""
    request: str
    """The request in one canonical form; decides, with model and seed, what is painted."""
    prompt: str
    seed: int
    size: tuple[int, int]
    """Width and height."""
    format: str
    """`png`, `jpeg` or `webp`."""
    source: bytes | None = None
    """Picture to start from, for image-to-image."""
    strength: float = 1.0
    """1 ignores the source, 0 keeps it."""
    blurred: bool = False
    """As a refused picture is shown."""


def paint(commission: Commission) -> bytes:
    """The picture, encoded."""
    key = f"{commission.model}\0{commission.request}\0{commission.seed}"
    # Not for secrets: the dice only have to fall the same way each time.
    dice = random.Random(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())  # noqa: S311
    palette = choose(commission.prompt, dice)
    scene = dice.choice(SCENES)
    width, height = commission.size
    small = (max(round(width * _SHRINK), _SMALLEST), max(round(height * _SHRINK), _SMALLEST))
    painting = _over(commission, scene(small, palette, dice))
    if commission.blurred:
        painting = painting.filter(ImageFilter.GaussianBlur(20))
    darken(painting, palette)
    picture = painting.resize(commission.size, Image.Resampling.BICUBIC)
    caption = f"{commission.model}   ·   seed {commission.seed}"
    letter(picture, palette, commission.prompt, caption)
    return encode(picture, commission.format)


def encode(picture: Image.Image, image_format: str) -> bytes:
    """A picture as a PNG, JPEG or WebP file."""
    if image_format == "png":
        return png(picture)
    file = io.BytesIO()
    picture.save(file, image_format, **_SAVE[image_format])
    return file.getvalue()


def _over(commission: Commission, painting: Image.Image) -> Image.Image:
    if commission.source is None:
        return painting
    with Image.open(io.BytesIO(commission.source)) as source:
        given = source.convert("RGB").resize(painting.size)
    return Image.blend(given, painting, commission.strength)
