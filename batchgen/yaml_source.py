"""Job file bytes to plain values: the core meaning of YAML 1.2, bounded whatever the bytes are."""

from __future__ import annotations

import codecs
import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgen import yaml_events
from batchgen.errors import Complaint, JobError
from batchgen.text import closest, quoted
from batchgen.yaml_values import Values

MAX_BYTES = 16 * 2**20
FOLDER_LOOKED_AT = 1_000
"""Files among which the nearest name is sought."""
LONGEST_PATH = 4_096
"""Characters of a suggested path: its end is what the user needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A job file that could be read, though perhaps not all of it is right."""

    file: str
    """As the user named it."""
    text: str
    sha256: str
    """Of the bytes of the file."""
    value: Any
    """dict, list, str, int, float, bool or None, nested; a float keeps its source text."""
    complaints: tuple[Complaint, ...]
    """Duplicate keys and the like, each with its line: `value` is then the best guess."""


def read(path: Path) -> Document:
    """The document in a file.

    Raises:
        JobError: it cannot be read, or is not YAML; a sentence says what to do.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _refusal(str(path), _unreadable(path, error)) from error
    return parse(str(path), data)


def parse(file: str, data: bytes) -> Document:
    """The document in these bytes; `file` is the name for complaints.

    Raises:
        JobError: they are not one YAML document of bearable size in UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise _refusal(file, f"a job file may have {MAX_BYTES // 2**20} MB at most")
    text = _decoded(file, data)
    values = Values(text)
    try:
        value = values.build()
    except yaml_events.SyntaxProblem as problem:
        found = (*values.complaints, Complaint(path=(), text=str(problem), line=problem.line))
        raise JobError(file, found) from problem
    if value is None and not values.complaints:
        raise _refusal(file, "the file is empty: a job needs at least name, model and items")
    return Document(
        file=file,
        text=text,
        sha256=hashlib.sha256(data).hexdigest(),
        value=value,
        complaints=tuple(values.complaints),
    )


def _decoded(file: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _is_wide(data[:64]):
        raise _refusal(file, "the file is in UTF-16 or UTF-32, not in UTF-8: save it as UTF-8")
    if 0 in data[:64]:
        raise _refusal(file, "this is no text: name a job file, which is YAML")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = f"the byte 0x{data[error.start]:02X} is not UTF-8: save the file as UTF-8"
        raise JobError(file, (Complaint(path=(), text=text, line=line),)) from error


def _is_wide(head: bytes) -> bool:
    """Whether all but one byte of each two or four are 0: Latin letters in a wide encoding."""
    for width in (2, 4):
        whole = head[: len(head) // width * width]
        rest = [set(whole[place::width]) for place in range(width)]
        if whole and rest.count({0}) == width - 1:
            return True
    return False


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, IsADirectoryError):
        return "this is a folder: name the job file in it"
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"this is a link to {quoted(str(path.readlink()))}, which is not there"
    if isinstance(error, FileNotFoundError):
        return f"there is no such file{_suggestion(path)}"
    if isinstance(error, PermissionError):
        return "the file may not be read: check its permissions"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"the file cannot be read: {reason}"


def _suggestion(path: Path) -> str:
    if not path.parent.is_dir():
        return f": nor is there a folder {quoted(str(path.parent))}"
    try:
        names = [entry.name for entry in itertools.islice(path.parent.iterdir(), FOLDER_LOOKED_AT)]
    except OSError:
        return ""
    meant = closest(path.name, names)
    if not meant:
        return ""
    return f"; did you mean {quoted(str(path.with_name(meant)), LONGEST_PATH)}?"


def _refusal(file: str, text: str) -> JobError:
    return JobError(file, (Complaint(path=(), text=text),))
