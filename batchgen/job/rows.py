"""A row: one item of a job as the plan takes it, with what the matrix and overrides gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from batchgen.job.complaints import Path
from batchgen.job.sections import Item, Step
from batchgen.text import dotted, escaped, quoted

_FIELDS = cast("Any", Item).__pydantic_fields__
_PARTS = tuple(
    (name, Item.__dict__[name].__set__, each.get_default(call_default_factory=True))
    for name, each in _FIELDS.items()
)
"""Name and slot of each key of an item, and what it is in one that brings nothing, which is shared
and never changed."""


@dataclass(slots=True)  # not frozen: a job may have a million
class Row:
    """One item of the plan."""

    number: int
    """Of the item or line that it comes from; rows that the matrix made of one item share it."""
    item: Item
    at: Path
    """Where the item stands: `("items", 3)`, or `("items_from", 0, 17)` for line 17 of a file."""
    axes: tuple[tuple[str, str], ...] = ()
    """Axis and name of the value, of every axis, by the names of the axes."""
    label: str = ""
    """The item's id, and the name of each value in the order of the job file, with `/`."""
    places: Mapping[Path, Path] | None = None
    """Key of the item -> where it stands, if the item itself does not bring it."""
    step: Step | None = None
    """The step of the chain that it is; None for a job without steps."""
    step_at: Path = ()
    """Where that stands."""
    chain: Sequence[Row] = ()
    """The rows of all steps, this one among them, parents first."""

    def task_label(self, variant: int) -> str:
        """The label of one of its tasks."""
        return f"{self.label}/{variant}{self.suffix}"

    @property
    def step_id(self) -> str | None:
        """Of its step; None for a job without steps."""
        return None if self.step is None else self.step.id

    @property
    def suffix(self) -> str:
        """What the label of a task ends with."""
        return "" if self.step is None else f"/{self.step.id}"

    def __str__(self) -> str:
        """Which it is, within a sentence."""
        return f"{self.where}, {quoted(self.label)}" if self.axes else self.where

    @property
    def where(self) -> str:
        """Where its item is, within a sentence."""
        match self.at:
            case ("items_from", str(file), int(line)):
                return f"line {line:,} of {escaped(file)}"
            case ("items_from", str(file)):
                return escaped(file)
            case _:
                return dotted(self.at)

    def path(self, *key: str | int) -> Path:
        """Where a key of the item stands in the job file or the data file."""
        for end in range(len(key), 0, -1) if self.places else ():
            place = (self.places or {}).get(key[:end])
            if place is not None:
                return (*place, *key[end:])
        return (*self.at, *key)


def item_of(**values: Any) -> Item:
    """An item of values that are known to be right, ten times as fast as with a look at them."""
    item = object.__new__(Item)
    for name, set_slot, default in _PARTS:
        set_slot(item, values.get(name, default))
    return item


def changed(item: Item, **values: Any) -> Item:
    """The same item with these values, which are known to be right."""
    return item_of(**{**{name: getattr(item, name) for name, *_ in _PARTS}, **values})
