"""XMP in a chunk of a WebP (RFC 9649, section 2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from batchgen.output.images import BrokenImage
from batchgen.output.metadata.segments import Segment, bounded, take

EXTENDED, LOSSY, LOSSLESS, XMP = b"VP8X", b"VP8 ", b"VP8L", b"XMP "
CREDENTIALS = b"C2PA"
"""The chunk of Content Credentials."""
HAS_XMP, HAS_ALPHA = 0x04, 0x10
"""Flags of an extended file."""
HEADER = 12
"""Bytes of RIFF, the size and WEBP."""
LARGEST = 2**32 - 10
"""Bytes behind the size."""


def segments(file: BinaryIO) -> Iterator[Segment]:
    """Its chunks.

    Raises:
        BrokenImage: it is no WebP, or ends too early.
    """
    return bounded(_chunks(file))


def _chunks(file: BinaryIO) -> Iterator[Segment]:
    head = take(file, 0, HEADER)
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        raise BrokenImage("it is no WebP")
    at, end = HEADER, 8 + int.from_bytes(head[4:8], "little")
    while at < end and (header := take(file, at, 8)):
        size = int.from_bytes(header[4:], "little")
        after = at + 8 + size + size % 2
        yield Segment(kind=header[:4], start=at, body=at + 8, size=size, end=after)
        at = after


def written(data: bytes, xmp: bytes) -> bytes:
    """The same file with this XMP in place of older one, made an extended one if it is none.

    Raises:
        BrokenImage: the bytes are no WebP.
    """
    file = io.BytesIO(data)
    found = list(segments(file))
    if not found or found[-1].end > len(data) + found[-1].size % 2:
        raise BrokenImage("the WebP ends too early")
    others = [each for each in found if each.kind not in (EXTENDED, XMP)]
    inner = [_extended(file, found[0]), *(_as_it_is(data, each) for each in others)]
    inner.append(_chunk(XMP, xmp))
    body = b"WEBP" + b"".join(inner)
    if len(body) > LARGEST:
        raise BrokenImage("the WebP is too large for another chunk")
    return b"RIFF" + len(body).to_bytes(4, "little") + body + data[found[-1].end :]


def xmp_of(file: BinaryIO, chunk: Segment) -> bytes | None:
    """The XMP packet that a chunk holds; None for another chunk.

    Raises:
        BrokenImage: it is too long.
    """
    return chunk.read(file) if chunk.kind == XMP else None


def _extended(file: BinaryIO, first: Segment) -> bytes:
    """The chunk that an extended file begins with, with the flag for XMP."""
    if first.kind == EXTENDED:
        body = bytearray(first.read(file))
        if len(body) < 10:  # noqa: PLR2004  # flags and size
            raise BrokenImage("the WebP's header is too short")
        body[0] |= HAS_XMP
        return _chunk(EXTENDED, bytes(body))
    flags, width, height = _simple(file, first)
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _chunk(EXTENDED, bytes((flags | HAS_XMP, 0, 0, 0)) + sizes)


def _simple(file: BinaryIO, first: Segment) -> tuple[int, int, int]:
    """Flags, width and height, as the coded pixels of a simple file say them."""
    head = take(file, first.body, 10)
    if first.kind == LOSSY and head[3:6] == b"\x9d\x01\x2a":  # RFC 6386, section 9.1
        width, height = (int.from_bytes(head[at : at + 2], "little") for at in (6, 8))
        return 0, width & 0x3FFF, height & 0x3FFF
    if first.kind == LOSSLESS and head[:1] == b"\x2f":  # RFC 9649, section 3.4
        bits = int.from_bytes(head[1:5], "little")
        alpha = HAS_ALPHA if bits >> 28 & 1 else 0
        return alpha, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise BrokenImage("the WebP begins with no picture")


def _as_it_is(data: bytes, chunk: Segment) -> bytes:
    """A chunk with its padding, which the last one of a file may lack."""
    return data[chunk.start : chunk.end].ljust(chunk.end - chunk.start, b"\0")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
