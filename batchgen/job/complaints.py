"""Collects what is wrong with a job in a list that stays readable however much it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from batchgen.errors import Complaint, JobError
from batchgen.text import dotted

if TYPE_CHECKING:
    from batchgen.job.schema import Job

SHOWN_ALIKE = 20
"""Complaints about one key, counted over all items; the rest is a number."""
SHOWN = 100
"""Complaints in all."""

_LIST = re.compile(r"; allowed: (a mapping of )?((?:[^,;]+, ){3,}[^,;]+)(?=; did you mean |$)")
"""Of more than three names."""

Path = tuple[str | int, ...]


class Complaints:
    """Equal ones count once; the first ones are kept and the others counted."""

    def __init__(
        self, found: Iterable[Complaint] = (), *, mended: AbstractSet[Path] = frozenset()
    ) -> None:
        """Begin with what is known to be wrong.

        Args:
            found: the first complaints.
            mended: paths whose values stand in for wrong ones: what is wrong there, or with an item
                as a whole of which something is mended, only follows from that.
        """
        self._kept: dict[tuple[Path, str], Complaint] = {}
        self._alike: Counter[Path] = Counter()
        self._more: Counter[Path] = Counter()
        self._mended = mended
        for complaint in found:
            self.keep(complaint)

    @classmethod
    def of(cls, job: Job) -> Complaints:
        """Those that `load` deferred."""
        source = job.source
        return cls() if source is None else cls(source.complaints, mended=source.mended)

    def add(self, path: Path, text: str, line: int | None = None) -> None:
        """Take one more thing that is wrong at `path`, unless it follows from what was said."""
        if not (self._mended and self._follows(path)):
            self.keep(Complaint(path=path, text=text, line=line))

    def stands_in(self, at: Path) -> bool:
        """Whether there is nothing of the file in an item."""
        return at in self._mended

    def is_mended(self, at: Path) -> bool:
        """Whether an item is not as the file has it, so that another one like it says nothing."""
        return bool(self._mended) and at[0] == "items" and at[1] in self._mended_items

    @property
    def are_of_data(self) -> bool:
        """Whether something is wrong with a data file, so that not all rows are known."""
        return any(path[:1] == ("items_from",) for path, _ in self._kept)

    def is_any_mended(self, keys: Collection[str]) -> bool:
        """Whether the file is wrong below one of these keys of the job."""
        return any(path[:1] and path[0] in keys for path in self._mended)

    @cached_property
    def _mended_items(self) -> frozenset[str | int]:
        return frozenset(path[1] for path in self._mended if path[:1] == ("items",) and path[1:])

    def _follows(self, path: Path) -> bool:
        if path[:1] == ("routes",) and path[2:] in ((), ("name",)):  # one is like another one
            return any(mended[:1] == ("routes",) for mended in self._mended)
        if path[:1] == ("items",) and len(path) == 2:  # noqa: PLR2004  # an item as a whole
            return path[1] in self._mended_items
        return any(path[:end] in self._mended for end in range(1, len(path) + 1))

    def keep(self, complaint: Complaint) -> None:
        """Take a complaint as it is."""
        if (complaint.path, complaint.text) in self._kept:
            return
        key = tuple(part if isinstance(part, str) else 0 for part in complaint.path)
        if len(self._kept) >= SHOWN:
            self._more[()] += 1
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
        listed = tuple(map(_in_data_file, self.listed()))
        if job.source is None:
            return JobError(f"job {job.name}", said_once(listed))
        return job.source.error(listed)


def _in_data_file(complaint: Complaint) -> Complaint:
    """A complaint about a row as one about its file and line."""
    match complaint.path:
        case ("items_from", str(file), int(line), *rest):
            return replace(complaint, file=file, line=line, path=tuple(rest))
        case ("items_from", str(file), *rest):
            return replace(complaint, file=file, path=tuple(rest))
    return complaint


def said_once(complaints: Iterable[Complaint]) -> tuple[Complaint, ...]:
    """The same, with each long list of what is allowed at the first one alone."""
    told: set[str] = set()

    def shorter(complaint: Complaint) -> Complaint:
        listed = _LIST.search(complaint.text)
        if listed is None or listed[2] not in told:
            told.update(() if listed is None else (listed[2],))
            return complaint
        text = _LIST.sub("; allowed: a mapping" if listed[1] else "", complaint.text)
        return replace(complaint, text=text)

    return tuple(map(shorter, complaints))


def _rest(key: Path, count: int) -> Complaint:
    about = f" about {dotted(key).replace('[0]', '[]')}" if key else ""
    return Complaint(path=(), text=f"... and {count:,} more{about}")
