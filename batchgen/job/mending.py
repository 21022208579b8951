"""A job file without its mistakes, so that one mistake hides no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from batchgen.errors import Complaint
from batchgen.job.complaints import Path
from batchgen.job.fields import RESERVED
from batchgen.job.sections import Item
from batchgen.job.validation_errors import Wrong, wrongs
from batchgen.job.yaml_document import as_written

_STAND_INS: Mapping[str, object] = {
    "allow_retired": True,
    "endpoint": "simulator",
    "certificate": "x",
    "key": "x",
    "name": "job",
    "negative_prompt": "x",
    "prompt": "x",
}
"""Values that bring no complaint of their own, in place of wrong ones; other keys are left out."""


EXPANDING = ("matrix", "zip", "exclude", "override", "sample")
"""Keys that only make sense as a whole."""
_PLACEHOLDER = re.compile(r"\{([^\W\d][\w-]{0,99})\}")


class Mending:
    """Takes what is wrong out of the values of a document, in place."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self.mended: set[Path] = set()
        """What was wrong there was said; what follows from it is no complaint."""
        self.renamed: dict[Path, Path] = {}
        """Where a key should stand -> where it stands, misspelt."""
        self.is_hopeless = False
        """Without what is wrong there is no job to judge."""
        self._names: dict[str, str] | None = None

    def mend(self, error: ValidationError) -> Iterator[Complaint]:
        """Mend all of this; gives what is to be said of it."""
        # All sentences first: they repeat the values that are mended then.
        for wrong in list(wrongs(error)):
            path = wrong.complaint.path
            yield Complaint(path=self._as_written(path), text=wrong.complaint.text)
            self.is_hopeless = self.is_hopeless or wrong.affects_plan
            self.mended.add(path)
            if not wrong.affects_plan:
                self._mend(path, wrong)

    def _mend(self, path: Path, wrong: Wrong) -> None:
        if "derive" in (path[0], *path[2:3]) and path[0] in ("derive", "steps"):
            holder = self._holder(path[: path.index("derive")]) or {}
            holder.pop("derive", None)  # a half of an entry would be wrong, too
            return
        if path[0] in EXPANDING:
            path, wrong = path[:1], replace(wrong, meant=None)
        *above, key = path
        if isinstance(key, int) and above != ["items"]:
            self._mend(path[:-1], wrong)
            return
        holder = self._holder(above)
        if holder is None:
            return
        if above == ["items"]:
            holder[key] = {"id": f"items[{key}]", "prompt": "x"}
        elif wrong.meant is not None and wrong.meant not in holder:
            holder[wrong.meant] = holder.pop(key)
            self.renamed[*above, wrong.meant] = self._as_written(path)
        elif key == "id" and above[:1] in (["items"], ["steps"]):
            holder[key] = f"{above[0]}-{above[1]}"
        elif key in ("vars", "matrix", "zip"):
            holder.pop(key, None)
            own = holder.get("vars")
            holder["vars"] = {**self._placeholders(), **(own if isinstance(own, dict) else {})}
        elif above[-1:] == ["vars"] or key in _STAND_INS:
            holder[key] = _STAND_INS.get(str(key), "x")
        else:
            holder.pop(key, None)

    def _placeholders(self) -> dict[str, str]:
        """A value for whatever stands in braces anywhere, so that no text lacks one."""
        if self._names is None:
            names = {name for text in _texts(self._value) for name in _PLACEHOLDER.findall(text)}
            self._names = dict.fromkeys(names - set(RESERVED), "x")
        return self._names

    def _holder(self, path: Iterable[str | int]) -> Any:
        """What stands at a path; None if that was left out already."""
        holder = self._value
        try:
            for part in path:
                holder = holder[part]
        except (LookupError, TypeError):
            return None
        return holder

    def _as_written(self, path: Path) -> Path:
        return as_written(path, self.renamed)


def _texts(value: Any) -> Iterator[str]:
    """Every text in nested values; what an alias shares is looked into once."""
    todo, seen = [value], set[int]()
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict | list) and id(each) not in seen:
            seen.add(id(each))
            todo.extend(each.values() if isinstance(each, dict) else each)
        elif isinstance(each, Item):
            todo += (each.prompt, each.negative_prompt, each.parameters, each.vars)
