"""A label in the file of an image, beside its coded pixels.

The containers are written by code of our own: Pillow and imageio encode the pixels anew, piexif
knows Exif alone, pyexiv2 and python-xmp-toolkit bring a C++ library each, the second has to be
installed by the system, and neither writes a PNG's texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from batchgen.output.images import Inspected
from batchgen.output.metadata import jpeg, png, webp, xmp
from batchgen.output.metadata.label import Label
from batchgen.output.metadata.text_form import text_form

LONGEST_WRITTEN = 256_000
"""Bytes of a packet: room for two texts of 10,000 characters of any language, told twice."""
CUTS = (8_000, 4_000, 2_000, 1_000, 500, 100)
"""Characters that each text is cut to, one after the other, until the whole fits."""
CUT_OFF = "…"


def labelled(data: bytes, inspected: Inspected, label: Label) -> bytes:
    """The same image with a label; its coded pixels are copied as they are.

    A PNG and a WebP take a packet of 256 kB, a JPEG one of 64 kB. Of a larger one goes first the
    exact request, which repeats the texts, then the ends of the texts; `truncated` says so.

    Args:
        inspected: what the bytes are.

    Raises:
        BrokenImage: the bytes are no such image.
    """
    most = jpeg.LONGEST_XMP if inspected.format == "jpeg" else LONGEST_WRITTEN
    chosen, packet = _fitting(label, most)
    match inspected.format:
        case "png":
            return png.written(data, packet, _text(chosen, inspected))
        case "jpeg":
            return jpeg.written(data, packet)
        case _:
            return webp.written(data, packet)


def _text(label: Label, inspected: Inspected) -> str | None:
    if label.provenance is None:
        return None
    size = (inspected.width, inspected.height)
    return text_form(label.provenance, size, label.creator_tool)


def _fitting(label: Label, most: int) -> tuple[Label, bytes]:
    """The fullest form of a label whose packet has `most` bytes at most, and that packet."""
    for each in _forms(label):
        packet = xmp.packet(each)
        if len(packet) <= most:
            return each, packet
    raise AssertionError("a label without a provenance has a few hundred bytes")


def _forms(label: Label) -> Iterator[Label]:
    yield label
    told = label.provenance
    if told is not None:
        rest = {**told, "request": None, "asked": None}
        yield replace(label, provenance=rest)
        for longest in CUTS:
            yield replace(label, provenance={**_cut(rest, longest), "truncated": True})
    yield replace(label, provenance=None)


def _cut(value: Any, longest: int) -> Any:
    match value:
        case str() if len(value) > longest:
            return value[: longest - 1] + CUT_OFF
        case Mapping():
            return {key: _cut(each, longest) for key, each in value.items()}
        case list() | tuple():
            return [_cut(each, longest) for each in value]
        case _:
            return value
