"""Where a job was read from, so that a complaint can name the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from batchgen.complaints import by_line
from batchgen.errors import Complaint, JobError
from batchgen.yaml_lines import lines

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A job file as it was read."""

    file: str
    """As the user named it."""
    sha256: str
    """Of the bytes of the file."""
    text: str = field(repr=False)
    complaints: tuple[Complaint, ...] = ()
    """What is wrong with the file although the job could be read without it."""

    def locate(self, path: Path) -> int | None:
        """The 1-based line where a path stands, or the nearest thing around it; None for none."""
        return lines(self.text, [path])[path] if path else None

    def error(self, complaints: Iterable[Complaint]) -> JobError:
        """The error that says all of this, with lines, from the top of the file down."""
        found = tuple(complaints)
        paths = {each.path for each in found if each.path and each.line is None}
        places = lines(self.text, paths) if paths else {}
        return JobError(self.file, by_line(found, places))
