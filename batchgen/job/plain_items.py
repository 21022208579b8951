"""Items of a job file that are plainly right, made without the schema: most of a long file.

An item with a value of any other kind stays the mapping that it is, for the schema to judge. What
is made here replaces its mapping, so that a file of 100,000 items is never in memory twice.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from batchgen.job import fields
from batchgen.job.rows import item_of
from batchgen.job.sections import Item

_KEYS = frozenset(("id", "prompt", "negative_prompt", "parameters", "vars"))
"""Those of an item whose values are texts or mappings of them."""
MOST_NAMES = 1_000
"""Sets of variables that are remembered."""


def make_plain(document: Any) -> None:
    """Put items in the place of the mappings in a document's `items` that are plainly right."""
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        return
    for index, value in enumerate(items):
        item = plain_item(value) if type(value) is dict else None
        if item is not None:
            items[index] = item


def plain_item(value: dict[str, Any]) -> Item | None:
    """The item that a mapping of a document stands for; None if only the schema can tell."""
    if not _KEYS.issuperset(value) or "id" not in value:
        return None
    made = dict(value)
    try:
        made["id"] = fields.item_id(value["id"])
        if "parameters" in value:
            made["parameters"] = _parameters(value["parameters"])
    except ValueError:
        return None
    texts = (value.get("prompt", ""), value.get("negative_prompt", ""))
    is_plain = all(map(_is_plain, texts)) and _are_variables(value.get("vars", {}))
    return item_of(**made) if is_plain else None


def _is_plain(value: Any) -> bool:
    """Whether it is a text that can be nothing else, and written as UTF-8."""
    return type(value) is str and value.isascii()


def _parameters(given: Any) -> dict[str, Any]:
    """As the schema has them.

    Raises:
        ValueError: the schema may have complaints.
    """
    if type(given) is not dict or not all(map(_is_plain, given)):
        raise ValueError
    return {name: fields.json_value(each) for name, each in given.items()}


def _are_variables(given: Any) -> bool:
    """Whether they are right as they stand; they are then shared, and never changed."""
    if type(given) is not dict or not _are_names(tuple(given)):
        return False
    return all(map(_is_plain, given.values()))


@lru_cache(MOST_NAMES)
def _are_names(names: tuple[str, ...]) -> bool:
    try:
        _variables().validate_python(dict.fromkeys(names, ""))
    except ValidationError:
        return False
    return True


@cache
def _variables() -> TypeAdapter[dict[str, str]]:
    return TypeAdapter(fields.Variables)
