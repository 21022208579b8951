"""Finds texts that come twice in streams too long to keep: exactly, in eight bytes for each.

A first pass keeps hashes, which name suspects: all that come twice, and perhaps one in a million
million that does not. Only if there are suspects, further passes look at these alone.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from batchgen.job import Row
from batchgen.plan import file_names
from batchgen.plan.item import FOLDER, FixedRequest, PlannedItem
from batchgen.task import SeededId, is_input_image
from batchgen.text import quoted

MOST_SUSPECTS = 200_000
"""More than anybody reads; bounds the memory of the later passes."""
ALL_64_BITS = 2**64 - 1


class Hashes:
    """Hashes of 64 bits, in 256 arrays by their first byte, each small enough to be searched."""

    def __init__(self) -> None:
        self._arrays = [array("Q") for _ in range(256)]
        self._append_to = [each.append for each in self._arrays]

    def add(self, key: int) -> None:
        """One more, signed or not."""
        key &= ALL_64_BITS
        self._append_to[key >> 56](key)

    def take_repeated(self) -> frozenset[int]:
        """Those that came more than once, as far as there is room for them; forgets all others."""
        found: set[int] = set()
        self._append_to.clear()
        while self._arrays and len(found) < MOST_SUSPECTS:
            keys = self._arrays.pop()
            if len(set(keys)) < len(keys):
                found.update(key for key, times in Counter(keys).items() if times > 1)
        return frozenset(islice(found, MOST_SUSPECTS))


@dataclass(frozen=True, slots=True)
class TaskRef:
    """One task of the plan."""

    row: Row
    variant: int
    planned: PlannedItem | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks of one item, of which no two have the same text."""

    key: int
    """Differs from another group's wherever the two have no text in common."""
    row: Row
    variants: Iterable[int]
    text: Callable[[int], str]
    """From a variant to what must be unique."""
    planned: PlannedItem | None = None


@dataclass(frozen=True, slots=True)
class Twice:
    """Two tasks with one text."""

    first: TaskRef
    again: TaskRef
    text: str


class Repeats:
    """Finds the tasks with the same text: `note` every group once, then ask for `found`."""

    def __init__(self) -> None:
        self._keys = Hashes()
        self.note = self._keys.add
        """The first look at a group, of which the key tells enough."""

    def found(self, groups: Callable[[], Iterable[Group]]) -> Iterator[Twice]:
        """Every task whose text an earlier one has; `groups` gives the noted ones once more."""
        suspects = self._keys.take_repeated()
        if not suspects:
            return

        def suspected() -> Iterator[Group]:
            return (group for group in groups() if group.key & ALL_64_BITS in suspects)

        texts = Hashes()
        for group in suspected():
            for variant in group.variants:
                texts.add(hash(group.text(variant)))
        repeated = texts.take_repeated()
        if repeated:
            yield from _exactly(suspected(), repeated)


def _exactly(groups: Iterable[Group], suspects: frozenset[int]) -> Iterator[Twice]:
    first: dict[str, TaskRef] = {}
    for group in groups:
        for variant in group.variants:
            text = group.text(variant)
            if hash(text) & ALL_64_BITS in suspects:
                place = TaskRef(group.row, variant, group.planned)
                earlier = first.setdefault(text, place)
                if earlier is not place:
                    yield Twice(first=earlier, again=place, text=text)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A task that must change, for an earlier one does the same."""

    row: Row
    """Whose task it is."""
    text: str
    """What both would do, and what to do about it."""
    key: str | None = None
    """Of the item; None: the item as a whole."""


class Unique:
    """Looks at every planned item once, and again only if two may be alike."""

    def __init__(
        self, *, check_ids: bool = False, suffixes: Mapping[str | None, Sequence[str]]
    ) -> None:
        """Nothing is known yet.

        Args:
            check_ids: whether two rows may have one id, which nobody has looked at before.
            suffixes: of the files that are derived of the images of each step, which have names,
                too.
        """
        self._names = Repeats()
        self._suffixes = suffixes if any(suffixes.values()) else {}
        self._requests = Repeats()
        self._ids = Repeats() if check_ids else None
        self._last = -1
        """Number of the row that was noted last."""

    def note(self, planned: PlannedItem) -> None:
        """The first look."""
        if self._ids is not None and planned.row.number != self._last:
            self._last = planned.row.number
            self._ids.note(hash(planned.item_id))
        if self._suffixes:
            for group in self._named(planned):
                self._names.note(group.key)
        else:
            for key in _name_keys(planned):
                self._names.note(key)
        for key in _request_keys(planned):
            self._requests.note(key)

    def _named(self, planned: PlannedItem) -> Iterator[Group]:
        """The names of all files of an item."""
        if not self._suffixes:
            yield from _name_groups(planned)
            return
        for suffix in ("", *self._suffixes[planned.row.step_id]):
            text = partial(_comparable_derived, planned, suffix)
            for variant in _variants(planned):
                yield Group(hash(text(variant)), planned.row, (variant,), text)

    def clashes(self, items: Callable[[], Iterable[PlannedItem]]) -> Iterator[Duplicate]:
        """Every task that clashes with an earlier one; `items` gives all of them again."""

        def again(groups: Callable[[PlannedItem], Iterator[Group]]) -> Iterator[Group]:
            for planned in items():
                yield from groups(planned)

        if self._ids is not None:
            for twice in self._ids.found(lambda: _id_groups(items())):
                text = f"{quoted(twice.text)} is the id of {twice.first.row.where} already"
                yield Duplicate(twice.again.row, f"{text}: every id stands once", key="id")
        advice = "; rename one, or change a suffix of derive" if self._suffixes else "; rename one"
        for twice in self._names.found(lambda: again(self._named)):
            file = f"{FOLDER}{twice.text} (upper and lower case are one)"
            yield from _clash(twice, "write the same file as", f": {file}{advice}")
        for twice in self._requests.found(lambda: again(_request_groups)):
            yield from _clash(twice, "make the same image as", _why_same(twice))


def _clash(twice: Twice, what: str, advice: str) -> Iterator[Duplicate]:
    first, again = twice.first, twice.again
    is_one_item = first.row.number == again.row.number
    if is_one_item or first.row.item.id != again.row.item.id:  # else the ids are complained of
        yield Duplicate(again.row, f"{_label(again)} would {what} {_label(first)}{advice}")


def _why_same(twice: Twice) -> str:
    """Why two requests are one, and what to do, as the end of a sentence."""
    planned = twice.again.planned
    images = ""
    if planned is not None and any(map(is_input_image, planned.request(1).values())):
        images = ", input images (by their bytes)"
    if planned is None or planned.model.takes_seed:
        return f": model, texts, parameters{images} and seed are the same; change or remove one"
    title = planned.model.title
    if twice.first.row is twice.again.row:
        return f": {title} takes no seed, so all variants of an item are one: leave variants out"
    return f": {title} takes no seed; model, texts, parameters{images} are the same; remove one"


def _label(place: TaskRef) -> str:
    step = "" if place.row.step is None else f" step {place.row.step.id}"
    return f"{quoted(place.row.label)} variant {place.variant}{step}"


Keys = tuple[int] | Iterator[int]
"""One key for all variants of an item, or one for each."""


def _name_keys(planned: PlannedItem) -> Keys:
    """Of the file names of an item, in the form in which file systems compare them.

    Where the name is a text, then the number of the variant or the seed, then a text that is the
    same for every item, that first text tells all names of the item from those of another.
    """
    if not planned.name.names or planned.prefix_is_unique:
        return (hash(file_names.comparable(planned.name.literals[0])),)
    return (hash(_comparable_name(planned, variant)) for variant in _variants(planned))


def _comparable_name(planned: PlannedItem, variant: int) -> str:
    return file_names.comparable(planned.file_name(variant))


def _comparable_derived(planned: PlannedItem, suffix: str, variant: int) -> str:
    return file_names.comparable(planned.file_name(variant) + suffix)


def _request_keys(planned: PlannedItem) -> Keys:
    """Of the requests of an item: what stands around the seed tells items apart."""
    if isinstance(planned.requests, FixedRequest):
        return (_key(planned.model_id, planned.requests.request),)
    return (_key_of_variant(planned, variant) for variant in _variants(planned))


def _key_of_variant(planned: PlannedItem, variant: int) -> int:
    request = planned.request(variant)
    if request.get("seed") != planned.seeds.of(variant):
        return hash(planned.id(variant))
    return _key(planned.model_id, {**request, "seed": 1})


def _key(model_id: str, request: Mapping[str, Any]) -> int:
    """Equal for equal requests to one model, and mostly found without writing JSON."""
    try:
        return hash((model_id, frozenset(request.items())))
    except TypeError:  # lists and mappings inside
        ids = SeededId(model_id, request)
        return hash((ids.before, ids.after))


def _id_groups(items: Iterable[PlannedItem]) -> Iterator[Group]:
    """The ids of the items; rows that the matrix made of one item count once."""
    last = -1
    for planned in items:
        if planned.row.number != last:
            last = planned.row.number
            name = planned.item_id
            yield Group(hash(name), planned.row, (1,), partial(_same, name))


def _same(text: str, _: int) -> str:
    return text


def _variants(planned: PlannedItem) -> range:
    return range(1, planned.variants + 1)


def _name_groups(planned: PlannedItem) -> Iterator[Group]:
    return _groups(planned, _name_keys(planned), partial(_comparable_name, planned))


def _request_groups(planned: PlannedItem) -> Iterator[Group]:
    for group in _groups(planned, _request_keys(planned), planned.id):
        yield replace(group, planned=planned)


def _groups(planned: PlannedItem, keys: Keys, text: Callable[[int], str]) -> Iterator[Group]:
    variants = _variants(planned)
    each = (variants,) if isinstance(keys, tuple) else ((variant,) for variant in variants)
    for key, alike in zip(keys, each, strict=True):
        yield Group(key, planned.row, alike, text)
