"""Are all pixels of an image there? Decoders fill what is missing with grey and say nothing.

Pillow takes a PNG whose pixel data have fewer rows than its header says, and a JPEG whose data end
early before a proper end marker; so a PNG is inflated and counted here, and a JPEG is decoded with
more data before its end marker: what changes the picture was wanted. Every image that comes passes
here, so it is ISA-L that inflates, which takes a fifth to a half of zlib's time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

PIECE = 1 << 20
"""Bytes that are inflated at a time: a small PNG may hold gigabytes."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG colour type -> samples of a pixel."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
"""The passes of an interlaced PNG but for the last: first column and row, and the steps of both."""
LAST_PASS = (0, 1, 1, 2)
MORE = bytes((index * 37 + 11) % 254 for index in range(4096))
"""Coded data that no JPEG ends with; without 0xFF, which would be a marker."""
END_OF_JPEG = b"\xff\xd9"
REDUCED = 8
"""A JPEG decodes fast at an eighth of its size, from data that are read to their end all the same.
Not a progressive one, of which only the first pass would be looked at."""


class BrokenImage(ValueError):
    """The bytes are not a whole image of a format that we keep; its text says why."""


def decode(kind: str, data: bytes) -> None:
    """Decode all pixels of a PNG, JPEG or WebP whose structure is whole.

    Raises:
        BrokenImage: pixels are missing, or cannot be decoded.
    """
    try:
        match kind:
            case "png":
                _inflate(data)
            case "jpeg":
                _decode_jpeg(data)
            case _:
                _decoded(data)
    except (BrokenImage, ImportError):  # a library that is missing says nothing of the image
        raise
    except Exception as error:  # of inflating, and whatever Pillow's decoders raise
        raise BrokenImage(f"the pixels of the {kind} cannot be decoded: {error}") from error


def _inflate(data: bytes) -> None:
    from isal import isal_zlib  # noqa: PLC0415  # `--help` needs it not

    wanted = _png_bytes(data)
    inflater, found = isal_zlib.decompressobj(), 0
    for chunk in _pixel_chunks(data):
        rest: bytes | memoryview = chunk
        while rest and not inflater.eof and found <= wanted:
            found += len(inflater.decompress(rest, PIECE))
            rest = inflater.unconsumed_tail
    while not inflater.eof and found <= wanted and (more := inflater.decompress(b"", PIECE)):
        found += len(more)
    if found < wanted or not inflater.eof:
        raise BrokenImage(f"the pixels of the png end early, after {found} of {wanted} bytes")


def _png_bytes(data: bytes) -> int:
    """How many bytes the pixels of a PNG have when they are inflated."""
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    depth, colour, interlaced = data[24], data[25], data[28]
    bits = depth * CHANNELS.get(colour, 1)
    passes = (*ADAM7, LAST_PASS) if interlaced else ((0, 0, 1, 1),)
    total = 0
    for column, row, step, row_step in passes:
        columns, rows = -(-(width - column) // step), -(-(height - row) // row_step)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _pixel_chunks(data: bytes) -> Iterator[memoryview]:
    view, at = memoryview(data), 8
    while at + 8 <= len(data):
        size = int.from_bytes(view[at : at + 4])
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            yield view[at + 8 : at + 8 + size]
        at += 12 + size


def _decode_jpeg(data: bytes) -> None:
    end = data.rindex(END_OF_JPEG)
    longer = b"".join((data[:end], MORE, data[end:]))
    if _decoded(data) != _decoded(longer):
        raise BrokenImage("the pixels of the jpeg end early")


def _decoded(data: bytes) -> bytes:
    """The pixels, of a JPEG reduced where that looks at all of its data."""
    from PIL import Image  # noqa: PLC0415  # Pillow costs 50 ms that `--help` must not pay

    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
        if not image.info.get("progressive"):
            image.draft("L", (-(-image.width // REDUCED), -(-image.height // REDUCED)))
        image.load()
        return image.tobytes()
