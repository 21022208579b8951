"""From a job file to its document: read, decoded, parsed; each failure a sentence."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as File
from typing import Any

from batchgen.errors import Complaint, JobError
from batchgen.job.complaints import Path, said_once
from batchgen.job.data_file import open_at_once
from batchgen.job.positions import Positions
from batchgen.job.yaml_builder import Builder
from batchgen.job.yaml_parser import SyntaxProblem, spot
from batchgen.text import closest, dotted, quoted

MAX_BYTES = 16 * 2**20
FOLDER_LOOKED_AT = 1_000
"""Files among which the nearest name is sought."""
LONGEST_PATH = 4_096
"""Characters of a suggested path: its end is what the user needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A job file as it was read, without its values."""

    file: str
    """As the user named it."""
    sha256: str
    """Of the bytes of the file."""
    positions: Positions = field(repr=False)
    complaints: tuple[Complaint, ...] = ()
    """What is wrong with the file although the job could be read without it."""
    mended: AbstractSet[Path] = frozenset()
    """Paths at which the job has something else than the file, which is wrong there."""
    renamed: Mapping[Path, Path] = field(default_factory=dict)
    """Where the job has a key -> where the file has it, misspelt."""
    included: tuple[Source, ...] = ()
    """The files below it, by whose values count where two have the same key."""
    warnings: tuple[str, ...] = ()
    """Sentences about texts that may be meant otherwise."""

    def error(self, complaints: Iterable[Complaint]) -> JobError:
        """The error that says all of this, with lines, from the top of the file down."""
        placed = [
            self._placed(each) if each.line is None and each.path and each.file is None else each
            for each in complaints
        ]
        placed.sort(key=_order)
        return JobError(self.file, said_once(placed))

    def _placed(self, complaint: Complaint) -> Complaint:
        """A complaint with the line of its path, in the file that has most of it."""
        path = as_written(complaint.path, self.renamed)
        holder = self._holder(path)
        file = None if holder is self else holder.file
        return replace(complaint, line=holder.positions.line(path), file=file)

    def folder_of(self, path: Path) -> str:
        """Folder of the file in which a value stands, from this file's own on; empty for that."""
        folders = (File(each.file).parent for each in (self._holder(path), self))
        relative = os.path.relpath(*folders)
        return "" if relative == "." else relative

    def _holder(self, path: Path) -> Source:
        """The file that has most of a path."""
        return max((self, *self.included), key=lambda it: it.positions.depth(path))


def _order(complaint: Complaint) -> tuple[bool, str, int]:
    """The job file comes first, and last of all what is about no place in particular."""
    is_nowhere = complaint.line is None and not complaint.path and complaint.file is None
    return (is_nowhere, complaint.file or "", complaint.line or 0)


def as_written(path: Path, renamed: Mapping[Path, Path]) -> Path:
    """A path with the keys that the file has."""
    for end in range(len(path), 0, -1):
        if path[:end] in renamed:
            return (*renamed[path[:end]], *path[end:])
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A job file that could be read, though perhaps not all of it is right."""

    source: Source
    value: Any
    """dict, list, str, int, float, bool or None, nested; a float keeps its source text."""
    complaints: tuple[Complaint, ...]
    """Duplicate keys and the like, each with its line: `value` is then the best guess."""


JOB_NEEDS = "a job needs at least name, model and items"
"""The end of the sentence about a file without a value."""


def read(path: File, *, needs: str = JOB_NEEDS) -> Document:
    """The document in a file; `needs` ends the sentence about one without a value.

    Raises:
        JobError: it cannot be read, or is not YAML; a sentence says what to do.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except (OSError, ValueError) as error:
        raise _refusal(str(path), _unreadable(path, error)) from error
    if not stat.S_ISREG(mode):
        raise _refusal(str(path), f"this is a {_kind(mode)}: name a job file, which is YAML")
    return parse(str(path), data, needs=needs)


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "special file"


def parse(file: str, data: bytes, *, needs: str = JOB_NEEDS) -> Document:
    """The document in these bytes; `file` is the name for complaints. As `read` otherwise.

    Raises:
        JobError: they are not one YAML document of bearable size in UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise _refusal(file, f"a job file may have {MAX_BYTES // 2**20} MB at most")
    utf8 = _checked(file, data)
    builder = Builder(utf8)
    try:
        value = builder.build()
    except SyntaxProblem as problem:
        found = Complaint(path=(), text=str(problem), **asdict(spot(utf8.decode(), problem.index)))
        raise JobError(file, (*builder.complaints.listed(), found)) from problem
    if value is None and not builder.complaints:
        raise _refusal(file, f"the file is empty: {needs}")
    sha256 = hashlib.sha256(data).hexdigest()
    return Document(
        source=Source(
            file=file,
            sha256=sha256,
            positions=builder.positions,
            warnings=tuple(_doubts(file, builder.doubtful)),
        ),
        value=value,
        complaints=builder.complaints.listed(),
    )


def _doubts(file: str, words: Iterable[tuple[Path, str, int]]) -> Iterator[str]:
    """What to say of words like `no` where a text is meant; elsewhere they are refused anyway."""
    meant = [each for each in words if not _TEXTS.isdisjoint(map(str, each[0]))]
    for path, word, line in meant[:MOST_DOUBTS]:
        text = f"{word} is the text {quoted(word)} here, no truth value"
        yield f"{file}:{line}: {dotted(path)}: {text}; put it in quotes to say so"
    if len(meant) > MOST_DOUBTS:
        yield f"{file}: ... and {len(meant) - MOST_DOUBTS:,} more words like this"


MOST_DOUBTS = 5
_TEXTS = frozenset(("vars", "matrix", "zip"))
"""Keys below which a plain word is a text."""
WIDE = "the file is in UTF-16 or UTF-32, not in UTF-8: save it as UTF-8"


def _checked(file: str, data: bytes) -> bytes:
    """The bytes of a text in UTF-8, without a mark that says so."""
    if is_wide(data[:64]):
        raise _refusal(file, WIDE)
    if 0 in data[:64]:
        raise _refusal(file, "this is no text: name a job file, which is YAML")
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        text = f"the byte 0x{data[error.start]:02X} is not UTF-8: save the file as UTF-8"
        raise JobError(file, (Complaint(path=(), text=text, line=line),)) from error
    return data.removeprefix(codecs.BOM_UTF8)


def is_wide(head: bytes) -> bool:
    """Whether a text is in UTF-16 or UTF-32.

    It says so itself, or all but one byte of each two or four are 0, as in Latin letters.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    for width in (2, 4):
        whole = head[: len(head) // width * width]
        rest = [set(whole[place::width]) for place in range(width)]
        if whole and rest.count({0}) == width - 1:
            return True
    return False


def _unreadable(path: File, error: OSError | ValueError) -> str:
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


def _suggestion(path: File) -> str:
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
