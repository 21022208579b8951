"""pydantic's errors as complaints in our words, through one table from error type to sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchgen.errors import Complaint
from batchgen.job.allowed import REFUSED, cannot_be
from batchgen.job.complaints import Path
from batchgen.text import closest, did_you_mean, quoted

KEYS: dict[str, tuple[str, ...]] = {}
"""The keys of each mapping of fixed keys, by `named`; `schema` fills it."""
NOT_YET: Mapping[str, tuple[str, ...]] = {
    "": ("image", "mask"),
    "items": ("image", "mask"),
}
"""Keys that a later version gives a meaning, as for `KEYS`."""

PLAN_KEYS: frozenset[Path] = frozenset(((), ("items",), ("items_from",), ("include",)))
"""Paths without whose value there is no plan to judge."""
MOST_MISSPELT = 1_000
"""Unknown keys for which the nearest one is sought: a comparison takes a fifth of a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One error of pydantic in our words."""

    complaint: Complaint
    affects_plan: bool
    """Without it there is no plan to judge."""
    meant: str | None = None
    """Of a key that nobody knows: the one that was meant."""


def wrongs(error: ValidationError, within: Path = ()) -> Iterator[Wrong]:
    """Everything that pydantic found, except what only follows from something else it found.

    Args:
        error: of a whole job, or of a part of one.
        within: where the part stands in a job, for the keys that are allowed there.
    """
    found = error.errors(include_url=False)
    for details in found:
        details["loc"] = (*within, *details["loc"])
    if not within:
        yield from _wrongs(found)
        return
    for wrong in _wrongs(found):
        path = wrong.complaint.path[len(within) :]
        yield replace(wrong, complaint=replace(wrong.complaint, path=path))


def _wrongs(found: Sequence[ErrorDetails]) -> Iterator[Wrong]:
    unknown = {_path(it) for it in islice(_unknown_keys(found), MOST_MISSPELT)}
    misspelt = {(*path[:-1], _meant(str(path[-1]), _mapping(path))) for path in unknown}
    for details in found:
        path = _path(details)
        if _follows(details) or (details["type"] == "missing" and path in misspelt):
            continue
        if details["type"] in _UNKNOWN:
            yield _unknown(path, is_looked_up=path in unknown)
            continue
        text = SENTENCES.get(details["type"], _cannot_be)(details)
        yield Wrong(complaint=Complaint(path=path, text=text), affects_plan=path in PLAN_KEYS)


def _unknown_keys(found: Iterable[ErrorDetails]) -> Iterator[ErrorDetails]:
    return (details for details in found if details["type"] in _UNKNOWN)


def _unknown(path: Path, *, is_looked_up: bool) -> Wrong:
    key, mapping = str(path[-1]), _mapping(path)
    if key in NOT_YET.get(mapping, ()):
        return Wrong(
            complaint=Complaint(path=path, text="is not supported yet"), affects_plan=False
        )
    near = _meant(key, mapping) if is_looked_up else None
    allowed = f"allowed: {', '.join(KEYS[mapping])}"
    text = f"{quoted(key)} is not a key here; {allowed}{did_you_mean(near)}"
    return Wrong(complaint=Complaint(path=path, text=text), affects_plan=False, meant=near)


def _path(details: ErrorDetails) -> Path:
    return tuple(part for part in details["loc"] if part != "[key]")


def _follows(details: ErrorDetails) -> bool:
    """Items that are all wrong are too few for pydantic, and a wrong name makes no output."""
    empty = details["type"] == "too_short" and not details["input"]
    return details["type"] in ("too_short", "default_factory_not_called") and not empty


@lru_cache(maxsize=MOST_MISSPELT)
def _meant(key: str, mapping: str) -> str | None:
    return closest(key, KEYS[mapping])


def named(place: Path) -> str:
    """The name in `KEYS` of the mapping at a place: its keys, without the numbers in lists."""
    return ".".join(part for part in place if isinstance(part, str))


def _mapping(path: Path) -> str:
    """The name in `KEYS` of the mapping that a key stands in."""
    name = named(path[:-1])
    if name == "steps.derive":
        return "derive"
    return name if name in KEYS else str(path[0])


def _missing(details: ErrorDetails) -> str:
    key = str(details["loc"][-1])
    what = "step" if details["loc"][0] == "steps" else "item"
    return {
        "id": f"is missing: every {what} needs an id of its own",
        "name": "is missing: give the job a name",
    }.get(key, "is missing")


def _cannot_be(details: ErrorDetails) -> str:
    return f"cannot be {quoted(details['input'])}"


def _wants(allowed: str) -> Callable[[ErrorDetails], str]:
    def say(details: ErrorDetails) -> str:
        return f"{cannot_be(details['input'])}; allowed: {allowed}"

    return say


def _mapping_wanted(details: ErrorDetails) -> str:
    path = details["loc"]
    if not path:
        return "a job file is a mapping of keys such as name, model and items"
    keys = KEYS.get(_mapping((*path, "")), ())
    return _wants(f"a mapping of {', '.join(keys)}" if keys else "a mapping")(details)


def _listed(path: Path) -> str:
    """What stands in a list at this place."""
    path = path[-1:] if path[-1] == "derive" else path
    return {"derive": "mappings", "exclude": "mappings", "matrix": "values", "zip": "values"}.get(
        str(path[0]), "overrides" if path[0] == "override" else str(path[0])
    )


_LEAST = {
    "exclude": "name what to leave out, or leave the key out",
    "items": "a job needs at least one item",
    "matrix": "an axis needs at least one value",
    "override": "name at least one value",
    "routes": "name at least one, or leave the key out",
    "steps": "name at least one, or leave the key out",
    "zip": "an axis needs at least one value",
}

SENTENCES: Mapping[str, Callable[[ErrorDetails], str]] = {
    REFUSED: lambda details: details["msg"],
    "dataclass_type": _mapping_wanted,
    "dict_type": _wants("a mapping of names to values"),
    "missing": _missing,
    "model_type": _mapping_wanted,
    "too_short": lambda details: f"is empty: {_LEAST[str(details['loc'][0])]}",
    "tuple_type": lambda details: _wants(f"a list of {_listed(details['loc'])}")(details),
}
"""Every error type that the schema of a job can raise."""
_UNKNOWN = frozenset(("extra_forbidden", "unexpected_keyword_argument"))
