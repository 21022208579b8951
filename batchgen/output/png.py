"""The chunks of a PNG: whether they are whole, each with its checksum.

Every image that comes passes here, and most are plain PNGs: for these a walk over the chunks is all
that is needed. ISA-L sums them up, which takes a tenth of zlib's time; Pillow looks at every byte
of a megabyte of small ones through Python.
"""

from __future__ import annotations

from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
"""Colour type -> bits of a sample. Colours of a palette are not plain: they need one."""
SIZES = {b"sRGB": 1, b"gAMA": 4, b"pHYs": 9}
"""Chunks beside the pixels, of the one size that they may have."""
ANY_SIZE = (b"tEXt", b"caBX")
"""The same of any size: a text, and Content Credentials."""


def plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG of which every checksum is right and nothing is odd.

    Returns:
        None where anything is not as in most files, right or wrong: others have to look at it.
    """
    if data[:16] != SIGNATURE + b"\0\0\0\x0dIHDR" or len(data) < len(SIGNATURE):
        return None
    kinds = []
    for kind, size in _sound_chunks(data):
        if kind not in (b"IHDR", b"IDAT", b"IEND", *ANY_SIZE) and SIZES.get(kind) != size:
            return None
        kinds.append(kind)
    return _head(data) if _is_in_order(kinds) else None


def _sound_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk up to the first that is not whole; IEND only as the very end."""
    from isal import isal_zlib  # noqa: PLC0415  # `--help` needs it not

    view, at = memoryview(data), len(SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(view[at : at + 4])
        end = at + 8 + size
        if end + 4 > len(data):
            return
        if isal_zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4]):
            return
        kind = data[at + 4 : at + 8]
        at = end + 4
        if kind == b"IEND" and (size or at != len(data)):
            return
        yield kind, size


def _is_in_order(kinds: list[bytes]) -> bool:
    """One head, pixels in one run, one end."""
    if kinds.count(b"IHDR") != 1 or kinds.count(b"IEND") != 1 or kinds[-1] != b"IEND":
        return False
    if b"IDAT" not in kinds:
        return False
    first = kinds.index(b"IDAT")
    run = kinds.count(b"IDAT")
    return kinds[first : first + run] == [b"IDAT"] * run


def _head(data: bytes) -> tuple[int, int] | None:
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    depth, colour, compression, filters, interlace = data[24:29]
    if depth not in DEPTHS.get(colour, ()) or (compression, filters) != (0, 0) or interlace > 1:
        return None
    return (width, height) if width and height else None
