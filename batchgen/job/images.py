"""The image files that a job sends: what they are, and their bytes when a task runs.

A path counts from the folder of the job file. Each file is looked at once for all walks through a
plan, so that every walk finds the same tasks; its bytes are read again for each call, and are not
sent if they are others by then.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchgen.job.data_file import open_at_once
from batchgen.models import InputImage, UnusableImage
from batchgen.text import escaped, quoted, system_reason, without_addresses

MOST_BYTES = 18_750_000
"""Of one file: in base64 it fills the 25,000,000 bytes of a request by itself."""
MOST_PIXELS = 64_000_000
"""Far more than any model takes; larger pictures are refused by their size, and not opened."""
LONGEST_PATH = 200
"""Characters of a path that a complaint repeats."""


class InputGone(ValueError):
    """An input image is not there any more, or is not the one that the plan was made with."""


class InputImages:
    """The image files of one job."""

    def __init__(self, folder: Path) -> None:
        """No file is looked at yet; relative paths count from this folder."""
        self._folder = folder
        self._known: dict[str, InputImage | UnusableImage] = {}

    def find(self, path: str) -> InputImage | UnusableImage:
        """What a file is, or why it cannot be used; found out once, whatever becomes of it."""
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._look_at(path)
        return known

    def read(self, named: Mapping[str, Any]) -> bytes:
        """The bytes of the file that a request names by `path` and `sha256`.

        Raises:
            InputGone: they cannot be read, or have another hash.
        """
        path = str(named["path"])
        again = "run the job again to plan with what is there now"
        try:
            data = self._bytes(path)
        except (OSError, ValueError) as error:
            text = f"{_shown(path)} was there when the job was planned and cannot be read now"
            raise InputGone(f"{text} ({_reason(error)}): {again}") from error
        if hashlib.sha256(data).hexdigest() != named["sha256"]:
            text = f"{_shown(path)} has changed since the job was planned and was not sent"
            raise InputGone(f"{text}: {again}")
        return data

    def _look_at(self, path: str) -> InputImage | UnusableImage:
        try:
            data = self._bytes(path)
            file_format, size = _inspect(data)
        except FileNotFoundError:
            where = self._folder.absolute()
            hint = ": the parameters of a step alone name a step" if path.startswith("@") else ""
            text = f"there is no file {_shown(path)} in {quoted(str(where), 300)}{hint}"
            return UnusableImage(text)
        except (OSError, ValueError) as error:
            return UnusableImage(f"{_shown(path)} cannot be used: {_reason(error)}")
        sha256 = hashlib.sha256(data).hexdigest()
        return InputImage(path, sha256, size=size, file_format=file_format, file_bytes=len(data))

    def _bytes(self, path: str) -> bytes:
        """The bytes of a regular file of a size that can be sent.

        Raises:
            OSError, ValueError: there is none.
        """
        with open(self._folder / path, "rb", opener=open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("it is no regular file")
            if status.st_size > MOST_BYTES:
                raise ValueError(f"it has {status.st_size:,} bytes; at most {MOST_BYTES:,} fit")
            data = file.read(MOST_BYTES + 1)
        if not data:
            raise ValueError("it is empty")
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return data


def _inspect(data: bytes) -> tuple[str, tuple[int, int]]:
    """Format and size of an image that is whole, without decoding its pixels.

    Unlike what the service sends, a photograph may have a tail: cameras append notes and further
    images, which no model minds.

    Raises:
        ValueError: the bytes are no whole PNG, JPEG or WebP.
    """
    from PIL import Image  # noqa: PLC0415  # Pillow costs 50 ms that `--help` must not pay

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            file_format, size = (image.format or "").lower().replace("mpo", "jpeg"), image.size
            if size[0] * size[1] <= MOST_PIXELS:
                image.verify()
    except Exception as error:  # Pillow raises whatever its parsers raise
        raise ValueError(f"it is no readable PNG, JPEG or WebP{_said(error)}") from error
    if not _has_end(file_format, data):
        raise ValueError(f"the {file_format} ends before its end marker")
    return file_format, size


def _has_end(file_format: str, data: bytes) -> bool:
    """Whether the image's end marker is there, whatever follows it."""
    if file_format == "png":
        return b"\0\0\0\0IEND\xaeB`\x82" in data
    if file_format == "jpeg":
        return data.find(b"\xff\xd9", _start_of_scan(data)) > 0
    return len(data) >= int.from_bytes(data[4:8], "little") + 8


def _start_of_scan(data: bytes) -> int:
    """Where the pixels of a JPEG begin: behind all segments, which may hold whole thumbnails."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return at


def _shown(path: str) -> str:
    return quoted(path, LONGEST_PATH)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return system_reason(error)
    return escaped(without_addresses(str(error)))


def _said(error: Exception) -> str:
    """What Pillow says of it, unless that is only that it knows no such format."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415  # as above

    return "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
