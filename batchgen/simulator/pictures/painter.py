"""From a request to the bytes of its picture: the same request gives the same bytes.

A plain picture is one for all requests of a size: quick, and as large as real ones if asked.
"""

from __future__ import annotations

import hashlib
import io
import random

from PIL import Image, ImageDraw, ImageFilter

from .edits import EDITS
from .lettering import darken, letter
from .palette import Palette, choose
from .png import png
from .request import Edit, PictureRequest
from .scenes import SCENES

_SHRINK = 384 / 1024
"""Size of the painting over the size of the picture: measured, what looks good and is quick."""
_SMALLEST = 128
_SAVE: dict[str, dict[str, int]] = {
    "jpeg": {"quality": 90},
    "png": {"compress_level": 1},
    "webp": {"quality": 85, "method": 1},
}
_SLATE = (46, 56, 72)
_WHITE = (255, 255, 255)
_UNPAINTED = frozenset({Edit.ENLARGE, Edit.CUT_OUT})
"""Edits that show nothing but what was sent."""
_HEAD = 60
"""Rows that the words take."""


def paint(request: PictureRequest) -> bytes:
    """The picture, encoded."""
    picture, palette = _painted(request)
    if request.edit is not None:
        picture = EDITS[request.edit](request, picture)
    seed = f"   ·   seed {request.seed}" if request.seed else ""
    letter(picture, palette, request.prompt, f"{request.model}{seed}")
    return encode(picture, request.format)


def _painted(request: PictureRequest) -> tuple[Image.Image, Palette]:
    """What the model makes up, and its colours."""
    key = f"{request.model}\0{request.request}\0{request.seed}"
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    dice = random.Random(digest)  # noqa: S311  # no secret: they must fall the same way each time
    palette = choose(request.prompt, dice)
    if request.edit in _UNPAINTED:
        return Image.new("RGB", (1, 1)), palette
    scene = dice.choice(SCENES)
    width, height = request.size
    small = (max(round(width * _SHRINK), _SMALLEST), max(round(height * _SHRINK), _SMALLEST))
    painting = _over(request, scene(small, palette, dice))
    if request.blurred:
        painting = painting.filter(ImageFilter.GaussianBlur(20))
    darken(painting, palette)
    return painting.resize(request.size, Image.Resampling.BICUBIC), palette


def encode(picture: Image.Image, image_format: str) -> bytes:
    """A picture as a PNG, JPEG or WebP file."""
    if image_format == "png" and picture.mode == "RGB":
        return png(picture)
    if image_format == "jpeg" and picture.mode == "RGBA":  # which it cannot be
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture)
        picture = picture.convert("RGB")
    file = io.BytesIO()
    picture.save(file, image_format, **_SAVE[image_format])
    return file.getvalue()


def _over(request: PictureRequest, painting: Image.Image) -> Image.Image:
    if request.source is None or request.edit is not None:
        return painting
    with Image.open(io.BytesIO(request.source)) as source:
        given = source.convert("RGB").resize(painting.size)
    return Image.blend(given, painting, request.strength)


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
