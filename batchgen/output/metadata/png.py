"""Texts in the chunks of a PNG (PNG specification, third edition, chapters 5 and 11.3)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from batchgen.output.images import BrokenImage
from batchgen.output.metadata.segments import LONGEST, Segment, bounded, take

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
"""Of the iTXt chunk that holds XMP, as the XMP specification, part 3, names it."""
TEXT_KEYWORD = b"parameters"
"""Of the text that viewers of generated images read."""
TEXT_KINDS = (b"tEXt", b"iTXt")
CREDENTIALS = b"caBX"
"""The chunk of Content Credentials (C2PA)."""
LARGEST = 2**31 - 1
"""Bytes of one chunk."""


def segments(file: BinaryIO) -> Iterator[Segment]:
    """Its chunks, to the end of the picture.

    Raises:
        BrokenImage: it is no PNG, or ends too early.
    """
    return bounded(_chunks(file))


def _chunks(file: BinaryIO) -> Iterator[Segment]:
    at = len(SIGNATURE)
    if take(file, 0, at) != SIGNATURE:
        raise BrokenImage("it is no PNG")
    while header := take(file, at, 8):
        size, kind = int.from_bytes(header[:4]), header[4:]
        if size > LARGEST:
            raise BrokenImage("a chunk of the PNG is larger than a chunk can be")
        segment = Segment(kind=kind, start=at, body=at + 8, size=size, end=at + 12 + size)
        yield segment
        if kind == b"IEND":
            return
        at = segment.end


def written(data: bytes, xmp: bytes, text: str | None) -> bytes:
    """The same file with this XMP and this text before its pixels, in place of older ones.

    Raises:
        BrokenImage: the bytes are no whole PNG.
    """
    file = io.BytesIO(data)
    older = {XMP_KEYWORD} if text is None else {XMP_KEYWORD, TEXT_KEYWORD}
    parts, is_before, end = [SIGNATURE], True, len(SIGNATURE)
    found = list(segments(file))
    for chunk in found:
        if chunk.kind == b"IDAT" and is_before:
            parts.append(_international(XMP_KEYWORD, xmp))
            parts += () if text is None else (_text(text),)
            is_before = False
        if chunk.kind not in TEXT_KINDS or _keyword(file, chunk) not in older:
            parts.append(data[chunk.start : chunk.end])
        end = chunk.end
    if is_before or end > len(data) or found[-1].kind != b"IEND":
        raise BrokenImage("the PNG has no pixels, or no end")
    return b"".join((*parts, data[end:]))


def xmp_of(file: BinaryIO, chunk: Segment) -> bytes | None:
    """The XMP packet that a chunk holds; None for another chunk.

    Raises:
        BrokenImage: it is too long.
    """
    return _international_of(file, chunk, XMP_KEYWORD)


def text_of(file: BinaryIO, chunk: Segment) -> str | None:
    """The text about the generation that a chunk holds; None for another chunk.

    Raises:
        BrokenImage: it is too long.
    """
    if chunk.kind == b"tEXt" and _keyword(file, chunk) == TEXT_KEYWORD:
        return chunk.read(file)[len(TEXT_KEYWORD) + 1 :].decode("latin-1")
    found = _international_of(file, chunk, TEXT_KEYWORD)
    return None if found is None else found.decode(errors="replace")


def _keyword(file: BinaryIO, chunk: Segment) -> bytes:
    file.seek(chunk.body)
    return file.read(min(chunk.size, 80)).partition(b"\0")[0]


def _international_of(file: BinaryIO, chunk: Segment, keyword: bytes) -> bytes | None:
    if chunk.kind != b"iTXt" or _keyword(file, chunk) != keyword:
        return None
    data = chunk.read(file)[len(keyword) + 1 :]
    is_compressed = data[:1] == b"\1"
    text = data[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflated(text) if is_compressed else text


def _inflated(data: bytes) -> bytes:
    """What a compressed text holds, as far as that is bounded."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, LONGEST)
    except zlib.error as error:
        raise BrokenImage(f"a text in the PNG cannot be unpacked: {error}") from error
    if inflater.unconsumed_tail:
        raise BrokenImage(f"a text in the PNG has more than {LONGEST} bytes")
    return text


def _text(text: str) -> bytes:
    """As viewers of this field read it: tEXt where Latin-1 has all the characters, else iTXt."""
    try:
        return _chunk(b"tEXt", TEXT_KEYWORD + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _international(TEXT_KEYWORD, text.encode())


def _international(keyword: bytes, text: bytes) -> bytes:
    return _chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text)  # no compression, language, translation


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(data, zlib.crc32(kind))
    return len(data).to_bytes(4) + kind + data + check.to_bytes(4)
