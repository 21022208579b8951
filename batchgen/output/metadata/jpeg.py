"""XMP in a segment of a JPEG (XMP specification, part 3, section 1.1.3)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import takewhile
from typing import BinaryIO

from batchgen.output.images import BrokenImage
from batchgen.output.metadata.segments import Segment, bounded, take

START = b"\xff\xd8"
APP0, APP1, APP11 = b"\xe0", b"\xe1", b"\xeb"
SCAN = b"\xda"
"""What follows it are coded pixels."""
NAMESPACE = b"http://ns.adobe.com/xap/1.0/\0"
EXIF = b"Exif\0"
LONGEST_XMP = 0xFFFF - 2 - len(NAMESPACE)
"""Bytes: a segment counts its own length in 16 bits. The extension of the format that spreads a
packet over several is left alone: Pillow and many others do not read it."""


def segments(file: BinaryIO) -> Iterator[Segment]:
    """Its marker segments before the pixels; the kind is the marker's second byte.

    Raises:
        BrokenImage: it is no JPEG, or ends too early.
    """
    return bounded(_segments(file))


def _segments(file: BinaryIO) -> Iterator[Segment]:
    if take(file, 0, len(START)) != START:
        raise BrokenImage("it is no JPEG")
    at = len(START)
    while True:
        header = take(file, at, 4)
        if header[:1] != b"\xff":
            raise BrokenImage("a segment of the JPEG has no marker")
        kind, size = header[1:2], int.from_bytes(header[2:])
        if kind == SCAN:
            return
        if kind == b"\xff":  # a fill byte
            segment = Segment(kind=kind, start=at, body=at + 1, size=0, end=at + 1)
        elif size < 2:  # noqa: PLR2004  # its own two bytes count
            raise BrokenImage("a segment of the JPEG is shorter than a segment can be")
        else:
            segment = Segment(kind=kind, start=at, body=at + 4, size=size - 2, end=at + 2 + size)
        yield segment
        at = segment.end


def written(data: bytes, xmp: bytes) -> bytes:
    """The same file with this XMP in place of older one, behind the segments that must be first.

    Raises:
        BrokenImage: the bytes are no JPEG.
        ValueError: the packet is longer than `LONGEST_XMP`.
    """
    if len(xmp) > LONGEST_XMP:
        raise ValueError(f"{len(xmp)} bytes of XMP do not fit into one segment")
    file = io.BytesIO(data)
    found = list(segments(file))
    first = [*takewhile(lambda each: _stands_first(file, each), found)]
    place = first[-1].end if first else len(START)
    size = len(NAMESPACE) + len(xmp) + 2
    packet = b"\xff" + APP1 + size.to_bytes(2) + NAMESPACE + xmp
    parts, at = [data[:place], packet], place
    for segment in found:
        if xmp_of(file, segment) is not None:
            parts.append(data[at : segment.start])
            at = segment.end
    return b"".join((*parts, data[at:]))


def xmp_of(file: BinaryIO, segment: Segment) -> bytes | None:
    """The XMP packet that a segment holds; None for another segment.

    Raises:
        BrokenImage: the file ends in it.
    """
    if segment.kind != APP1:
        return None
    data = segment.read(file)
    return data.removeprefix(NAMESPACE) if data.startswith(NAMESPACE) else None


def is_credentials(file: BinaryIO, segment: Segment) -> bool:
    """Whether a segment holds Content Credentials (C2PA): JUMBF in APP11."""
    return segment.kind == APP11 and b"jumb" in segment.read(file)[:32]


def _stands_first(file: BinaryIO, segment: Segment) -> bool:
    """JFIF's segment and Exif's have their place right behind the start."""
    if segment.kind == APP0:
        return True
    return segment.kind == APP1 and segment.read(file).startswith(EXIF)
