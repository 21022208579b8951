"""What becomes of a picture that was sent: each edit keeps what it is told to keep."""

from __future__ import annotations

import io
from types import MappingProxyType
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from .request import Edit, PictureRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_APART = 24
"""How much a pixel differs from the corners, of 255, before it counts as the thing in front."""
_MARGIN = 0.2
"""Share of each side that lies around the middle, for a picture that is all background."""


def _enlarge(request: PictureRequest, painting: Image.Image) -> Image.Image:  # noqa: ARG001 - one shape for every edit
    return _source(request).convert("RGB").resize(request.size, Image.Resampling.BICUBIC)


def _cut_out(request: PictureRequest, painting: Image.Image) -> Image.Image:  # noqa: ARG001 - one shape for every edit
    """The source, transparent where it looks like its corners."""
    picture = _source(request).convert("RGB")
    width, height = picture.size
    backdrop = Image.new("RGB", picture.size)
    corners = Image.new("RGB", (2, 2))
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        corners.putpixel((x, y), _pixel(picture, x * (width - 1), y * (height - 1)))
    backdrop.paste(corners.resize(picture.size, Image.Resampling.BILINEAR))
    apart = ImageChops.difference(picture, backdrop).convert("L")
    alpha = apart.point([0 if value < _APART else 255 for value in range(256)])
    if alpha.getextrema() in ((0, 0), (255, 255)):
        alpha = _middle(picture.size)
    picture.putalpha(alpha.filter(ImageFilter.MedianFilter(3)))
    return picture


def _fill(request: PictureRequest, painting: Image.Image) -> Image.Image:
    """The painting where the mask is white, or the source transparent; else the source."""
    source = _source(request)
    if request.mask is not None:
        with Image.open(io.BytesIO(request.mask)) as given:
            where = given.convert("L").resize(source.size)
    elif "A" in source.getbands():
        where = ImageChops.invert(source.getchannel("A"))
    else:
        where = _middle(source.size)
    return Image.composite(painting, source.convert("RGB"), where)


def _extend(request: PictureRequest, painting: Image.Image) -> Image.Image:
    painting.paste(_source(request).convert("RGB"), request.offset)
    return painting


def _source(request: PictureRequest) -> Image.Image:
    with Image.open(io.BytesIO(request.source or b"")) as source:
        return source.convert("RGBA" if source.mode in {"P", "PA", "LA", "RGBA"} else "RGB")


def _pixel(picture: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    found = picture.getpixel((x, y))
    return found if isinstance(found, tuple) and len(found) == 3 else (0, 0, 0)  # noqa: PLR2004 - red, green, blue


def _middle(size: tuple[int, int]) -> Image.Image:
    width, height = size
    mask = Image.new("L", size)
    box = (width * _MARGIN, height * _MARGIN, width * (1 - _MARGIN), height * (1 - _MARGIN))
    ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


EDITS: Mapping[Edit, Callable[[PictureRequest, Image.Image], Image.Image]] = MappingProxyType(
    {
        Edit.ENLARGE: _enlarge,
        Edit.CUT_OUT: _cut_out,
        Edit.FILL: _fill,
        Edit.EXTEND: _extend,
    }
)
