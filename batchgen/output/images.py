"""What the bytes of an image are: one whole PNG, JPEG or WebP, with its size and hash."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from batchgen.output.pixels import BrokenImage, decode
from batchgen.output.png import plain_size

__all__ = [
    "BrokenImage",
    "Inspected",
    "decode_image",
    "hash_pixels",
    "inspect_image",
    "read_shape",
    "read_structure",
]

MAX_PIXELS = 64_000_000
"""Four times the largest picture that any Bedrock model makes; more is a decompression bomb."""

END_MARKERS = {"png": b"\0\0\0\0IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What the bytes of an image are."""

    sha256: str
    format: str
    width: int
    height: int
    is_decoded: bool
    """Whether all its pixels could be decoded."""
    received_sha256: str | None = None
    """Of the bytes that the service sent, where these say more than they did."""
    pixels_sha256: str | None = None
    """As `hash_pixels` makes it; told with `received_sha256`."""


def inspect_image(data: bytes) -> Inspected:
    """Check that the bytes are one whole PNG, JPEG or WebP, and look whether all pixels are there.

    The end marker is looked for because Pillow accepts files that were cut. An image whose pixels
    end early is kept: it was paid for, and most of it can be seen. Takes 5 to 15 ms for 1.5 MB.
    Pillow's warnings are left alone, for filters of warnings belong to all threads at once: what it
    warns of, a bomb, our own limit refuses.

    Raises:
        BrokenImage: they are no whole file of these formats.
    """
    kind, width, height = read_structure(data)
    digest = hashlib.sha256(data).hexdigest()
    try:
        decode(kind, data)
        is_decoded = True
    except BrokenImage:
        is_decoded = False
    return Inspected(sha256=digest, format=kind, width=width, height=height, is_decoded=is_decoded)


def decode_image(data: bytes) -> tuple[str, int, int]:
    """Decode one whole PNG, JPEG or WebP; its format, width and height.

    Raises:
        BrokenImage: the bytes are none, or pixels are missing.
    """
    shape = read_structure(data)
    decode(shape[0], data)
    return shape


def read_shape(data: bytes) -> tuple[str, int, int]:
    """Format, width and height as the head of an image says.

    Raises:
        BrokenImage: the bytes are none.
    """
    from PIL import Image  # noqa: PLC0415  # as below

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            return (image.format or "").lower(), image.width, image.height
    except Exception as error:  # Pillow raises whatever its parsers raise
        raise BrokenImage(f"the bytes are no readable PNG, JPEG or WebP: {error}") from error


def read_structure(data: bytes) -> tuple[str, int, int]:
    """Format, width and height of a whole image; as `inspect_image`, without its hash.

    Raises:
        BrokenImage: the bytes are none.
    """
    size = plain_size(data)
    if size is not None:
        _require_bounded(*size)
        return "png", *size
    from PIL import Image  # noqa: PLC0415  # Pillow costs 50 ms that `--help` must not pay

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            kind = (image.format or "").lower()
            width, height = image.size
            if width * height <= MAX_PIXELS:
                image.verify()
        if width * height <= MAX_PIXELS and not _ends_with_marker(kind, data):
            _require_whole(kind, data)
    except (BrokenImage, ImportError):
        raise
    except Exception as error:  # Pillow raises whatever its parsers raise
        raise BrokenImage(f"the bytes are no readable PNG, JPEG or WebP: {error}") from error
    _require_bounded(width, height)
    return kind, width, height


def _require_bounded(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BrokenImage(f"the image claims {width}x{height} pixels")


def _ends_with_marker(kind: str, data: bytes) -> bool:
    if kind in END_MARKERS:
        return data.rstrip(b"\0").endswith(END_MARKERS[kind])  # some encoders pad
    return len(data) >= int.from_bytes(data[4:8], "little") + 8


def _require_whole(kind: str, data: bytes) -> None:
    """Decode a picture behind whose end marker there is more: it was paid for if it is whole."""
    from PIL import Image  # noqa: PLC0415  # as above

    if kind not in END_MARKERS or END_MARKERS[kind] not in data:
        raise BrokenImage(f"the {kind} ends before its end marker")
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def hash_pixels(data: bytes) -> str:
    """The sha256 of an image's decoded pixels: equal for files that show the same picture.

    Of the width and the height in decimals with an `x` between and a space after them, then of the
    pixels in rows as red, green, blue and alpha of 8 bits each; of a picture with more bits a
    channel as Pillow has them, after the name that it gives their mode. Takes about 60 ms for
    1.5 MB.

    Raises:
        BrokenImage: they cannot be decoded.
    """
    from PIL import Image  # noqa: PLC0415  # as above

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            width, height = image.size
            _require_bounded(width, height)
            is_deep = image.mode.startswith(("I", "F"))
            pixels = image if is_deep else image.convert("RGBA")
            digest = hashlib.sha256(f"{width}x{height} ".encode())
            digest.update(image.mode.encode() if is_deep else b"")
            digest.update(pixels.tobytes())
    except BrokenImage:
        raise
    except Exception as error:  # Pillow raises whatever its decoders raise
        raise BrokenImage(f"the pixels cannot be decoded: {error}") from error
    return digest.hexdigest()
