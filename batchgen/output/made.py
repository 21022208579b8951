"""The images that a record names, and when it was written: little enough to look at a million."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder

from batchgen.output.manifest import parse_part


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
    """What the line of a record says of its images, as `parse_part`; None if it names none."""
    return parse_part(line, _decoder)
