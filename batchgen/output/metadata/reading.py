"""What a file says of itself: read within bounds, from whoever may have written it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from batchgen.output.images import BrokenImage, Inspected, hash_pixels, inspect_image
from batchgen.output.manifest import parse_object
from batchgen.output.metadata import jpeg, png, webp, xmp
from batchgen.output.metadata.label import Embedded, Provenance
from batchgen.output.metadata.segments import Segment
from batchgen.output.paths import open_regular

SHA256 = re.compile("[0-9a-f]{64}")


def embedded(path: Path) -> Embedded | None:
    """What an image file says of itself; None if that is nothing, or it is no PNG, JPEG or WebP.

    Reads the headers of its parts and at most a megabyte of each text, never the pixels.

    Raises:
        OSError: it cannot be opened or read, or is a link, a pipe or a device.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        return read_embedded(file)


def read_embedded(file: BinaryIO) -> Embedded | None:
    """As `embedded`, from a file that is open and can be sought in."""
    found: dict[str, Any] = {}
    with suppress(BrokenImage):  # it ends too early: what stands before that is read
        for part in _parts(file):
            for name, value in part.items():
                found.setdefault(name, value)
    return Embedded(**found) if found else None


def inspect_stored(data: bytes) -> Inspected:
    """As `inspect_image`, of a file that a run stored: with what its label says it was made of.

    Raises:
        BrokenImage: the bytes are not a whole image.
    """
    inspected = inspect_image(data)
    found = read_embedded(io.BytesIO(data))
    received = None if found is None else found.received_sha256
    if received is None or not SHA256.fullmatch(received):
        return inspected
    pixels = hash_pixels(data) if inspected.is_decoded else None
    return replace(inspected, received_sha256=received, pixels_sha256=pixels)


def _parts(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """What each part of a file says, as fields of `Embedded`."""
    read: Callable[[BinaryIO, Segment], dict[str, Any]]
    file.seek(0)
    match file.read(4):
        case b"\x89PNG":
            parts, read = png.segments(file), _of_png
        case b"RIFF":
            parts, read = webp.segments(file), _of_webp
        case head if head.startswith(jpeg.START):
            parts, read = jpeg.segments(file), _of_jpeg
        case _:
            return
    for part in parts:
        try:
            yield read(file, part)
        except (BrokenImage, xmp.BadPacket) as error:
            yield {"problem": str(error)}


def _of_png(file: BinaryIO, chunk: Segment) -> dict[str, Any]:
    if chunk.kind == png.CREDENTIALS:
        return {"has_credentials": True}
    if (packet := png.xmp_of(file, chunk)) is not None:
        return _of_packet(packet)
    text = png.text_of(file, chunk)
    return {} if text is None else {"parameters": text}


def _of_jpeg(file: BinaryIO, segment: Segment) -> dict[str, Any]:
    if jpeg.is_credentials(file, segment):
        return {"has_credentials": True}
    packet = jpeg.xmp_of(file, segment)
    return {} if packet is None else _of_packet(packet)


def _of_webp(file: BinaryIO, chunk: Segment) -> dict[str, Any]:
    if chunk.kind == webp.CREDENTIALS:
        return {"has_credentials": True}
    packet = webp.xmp_of(file, chunk)
    return {} if packet is None else _of_packet(packet)


def _of_packet(packet: bytes) -> dict[str, Any]:
    """What a packet says.

    Raises:
        BadPacket: it cannot be read.
    """
    fields: dict[str, Any] = dict(xmp.properties_of(packet))
    told = fields.pop("provenance", None)
    if told is not None:
        try:
            fields["provenance"] = Provenance.model_validate(parse_object(told.encode()))
        except ValidationError:
            fields["problem"] = "how it was made is told in a way that cannot be read"
    return fields
