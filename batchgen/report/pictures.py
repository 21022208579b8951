"""Two pictures compared: the same pixels, nearly the same to the eye, or others.

The distance is our own, of Pillow alone. Measured on 120 pictures of the simulator with other seeds
(7,140 pairs) against the same ones with JPEG artefacts, noise and another brightness: a difference
hash of 256 bits calls a blue ball and a red box on white 3 % apart, and flat white with a little
noise 12 %; the mean over the cells of a small copy is under 1 % for another small object. The
cells that differ most tell all of them apart: at most 4.8 % for the one kind, at least 5.9 % for
the other. Libraries of such hashes bring numpy and scipy, five times the size of all we need.
"""

from __future__ import annotations

import io

from PIL import Image, ImageChops

from batchgen.output import inspect_image

GRID = 32
"""Cells along each side of the small copies that are compared."""
WORST = 0.05
"""Share of the cells, those that differ most, whose mean is the distance."""
THRESHOLD = 5.0
"""Percent of the whole range of a colour; up to it two pictures are similar."""
AMPLIFIED = 8
"""How many times brighter a difference is shown."""
SHOWN = 384
"""Pixels of the longer side of a difference that is shown."""


def decode(data: bytes) -> Image.Image:
    """The picture in these bytes, with all of its pixels.

    Raises:
        ValueError: they are no whole image of a format that we keep; `BrokenImage` is one.
    """
    inspect_image(data)  # bounds the pixels and looks for the end, which Pillow does not
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            return image.convert("RGBA")
    except Exception as error:  # Pillow raises whatever its decoders raise
        raise ValueError(f"its pixels cannot be read: {error}") from error


def distance(first: Image.Image, second: Image.Image) -> float:
    """How far two pictures are from each other, in percent: 0 for equal, 100 for black and white.

    Both are shrunk to the same grid, so that size, encoding and single pixels hardly count; a part
    that is another one does.
    """
    channels = ImageChops.difference(_small(first), _small(second)).split()
    cells: list[int] = sorted(map(max, zip(*(each.tobytes() for each in channels), strict=True)))
    worst = cells[-max(1, int(len(cells) * WORST)) :]
    return sum(worst) / len(worst) / 255 * 100


def _small(image: Image.Image) -> Image.Image:
    return _flat(image).resize((GRID, GRID), Image.Resampling.BOX)


def _flat(image: Image.Image) -> Image.Image:
    """The picture on white: what is transparent has no colour to compare."""
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    return flat.convert("RGB")


def amplified(first: Image.Image, second: Image.Image) -> bytes:
    """A small JPEG of where two pictures differ, on black and many times as bright."""
    one, other = _flat(first), _flat(second)
    if other.size != one.size:
        other = other.resize(one.size)
    difference = ImageChops.difference(one, other).point(lambda value: min(255, value * AMPLIFIED))
    difference.thumbnail((SHOWN, SHOWN), Image.Resampling.BOX)
    file = io.BytesIO()
    difference.save(file, "JPEG", quality=80)
    return file.getvalue()
