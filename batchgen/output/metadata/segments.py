"""The parts of an image file, by name and place; its coded pixels are passed over unread."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from batchgen.output.images import BrokenImage

LONGEST = 1 << 20
"""Bytes of one text or packet that is written, or read from a file of somebody else."""
MOST = 100_000
"""Parts of one file that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A chunk of a PNG or a WebP, a marker segment of a JPEG."""

    kind: bytes
    start: int
    """Offset of its header."""
    body: int
    """Offset of what it holds."""
    size: int
    """Bytes of what it holds."""
    end: int
    """Offset behind it, its checksum or padding included."""

    def read(self, file: BinaryIO, most: int = LONGEST) -> bytes:
        """What it holds.

        Raises:
            BrokenImage: it is longer than `most`, or the file ends in it.
        """
        if self.size > most:
            raise BrokenImage(f"a part of the file holds {self.size} bytes")
        file.seek(self.body)
        data = file.read(self.size)
        if len(data) < self.size:
            raise BrokenImage("the file ends in the middle of a part")
        return data


def bounded(found: Iterator[Segment]) -> Iterator[Segment]:
    """The same segments, as long as there are not absurdly many.

    Raises:
        BrokenImage: there are more than `MOST`.
    """
    for number, segment in enumerate(found):
        if number >= MOST:
            raise BrokenImage(f"the file has more than {MOST} parts")
        yield segment


def take(file: BinaryIO, at: int, size: int) -> bytes:
    """The bytes at an offset; none at the very end of the file.

    Raises:
        BrokenImage: the file ends in the middle of them.
    """
    file.seek(at)
    data = file.read(size)
    if data and len(data) < size:
        raise BrokenImage("the file ends in the middle of a part")
    return data
