"""Collects what is wrong with a job in a list that stays readable however much it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from batchgen.errors import Complaint, JobError
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

    def add(self, path: Path, text: str, line: int | None = None) -> None:
        """Take one more thing that is wrong at `path`."""
        self._take(Complaint(path=path, text=text, line=line))

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
        """The error that says all of this, with lines where the job has a file."""
        if job.source is None:
            return JobError(f"job {job.name}", self.listed())
        return job.source.error(self.listed())


def _rest(key: str, count: int) -> Complaint:
    about = f" about {key}" if key else ""
    return Complaint(path=(), text=f"... and {count:,} more{about}")
