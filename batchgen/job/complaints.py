"""Collects what is wrong with a job in a list that stays readable however much it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from batchgen.errors import Complaint, JobError
from batchgen.job.yaml_positions import lines
from batchgen.text import dotted

if TYPE_CHECKING:
    from batchgen.job.schema import Job

SHOWN_ALIKE = 20
"""Complaints about one key, counted over all items; the rest is a number."""
SHOWN = 100
"""Complaints in all."""

Path = tuple[str | int, ...]


class Complaints:
    """Equal ones count once; the first ones are kept and the others counted."""

    def __init__(self, found: Iterable[Complaint] = ()) -> None:
        self._kept: dict[tuple[Path, str], Complaint] = {}
        self._alike: Counter[str] = Counter()
        self._more: Counter[str] = Counter()
        for complaint in found:
            self._take(complaint)

    def add(self, path: Path, text: str) -> None:
        """One more thing that is wrong at `path`."""
        self._take(Complaint(path=path, text=text))

    def _take(self, complaint: Complaint) -> None:
        if (complaint.path, complaint.text) in self._kept:
            return
        key = re.sub(r"\[\d+\]", "[]", dotted(complaint.path))
        if len(self._kept) >= SHOWN:
            self._more[""] += 1
        elif self._alike[key] >= SHOWN_ALIKE:
            self._more[key] += 1
        else:
            self._alike[key] += 1
            self._kept[complaint.path, complaint.text] = complaint

    def __bool__(self) -> bool:
        return bool(self._kept)

    def listed(self) -> tuple[Complaint, ...]:
        """The complaints that were kept, then how many more there were of what."""
        return (*self._kept.values(), *(_rest(key, n) for key, n in self._more.items()))

    def error(self, job: Job) -> JobError:
        """The error that says all of them, with lines where the job has a file."""
        if job.source is None:
            return JobError(f"job {job.name}", self.listed())
        return job.source.error(self.listed())


def _rest(key: str, count: int) -> Complaint:
    about = f" about {key}" if key else ""
    return Complaint(path=(), text=f"... and {count:,} more{about}")


def by_line(complaints: Iterable[Complaint], lines: dict[Path, int]) -> tuple[Complaint, ...]:
    """The same complaints with their lines, from the top of the file down."""
    placed = [
        complaint
        if complaint.line is not None
        else replace(complaint, line=lines.get(complaint.path))
        for complaint in complaints
    ]
    return tuple(sorted(placed, key=lambda it: (it.line is None and not it.path, it.line or 0)))


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
