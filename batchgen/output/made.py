"""The images that a record names, and when it was written: little enough to look at a million."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, MsgspecError, Struct, convert
from msgspec.json import Decoder

from batchgen.output.manifest import parse_object


class MadeImage(Struct, gc=False):
    """One image, as far as its file can be looked at."""

    path: str
    sha256: str
    bytes: int
    format: str
    derived: Any = None


class Made(Struct, gc=False):
    """What a record says of its images."""

    images: Annotated[list[MadeImage], Meta(min_length=1)]
    finished_at: Annotated[datetime, Meta(tz=True)]


_decoder = Decoder(Made)


def read_made(line: bytes) -> Made | None:
    """What the line of a record says of its images, in a seventh of the time of all that it says.

    None if it names none, or if any of the line cannot be read.
    """
    try:
        if line.isascii():  # as we write it; the decoder skips texts without a look at their UTF-8
            return _decoder.decode(line)
    except MsgspecError:
        pass
    try:
        return convert(parse_object(line), Made)  # also what the decoder refuses, as half a letter
    except MsgspecError:
        return None
