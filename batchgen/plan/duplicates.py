"""Finds texts that come twice in streams too long to keep: in fixed memory, and exactly.

A first pass puts hashes into a Bloom filter, which names suspects: all that come twice, and now and
then one that does not. Only if there are suspects, further passes look at these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from batchgen.plan import file_names
from batchgen.plan.item import FOLDER, FixedRequest, PlannedItem
from batchgen.task import SeededId
from batchgen.text import quoted

BITS_EACH = 128
"""Of the table for one hash: with four probes one false suspect in a million, or fewer."""
SMALLEST = 2**20
"""Bits of the first table; each further one has `GROWTH` times as many."""
GROWTH = 8
LARGEST = 2**28
"""Bits of the last table: 32 MB, however many hashes come."""
MOST_SUSPECTS = 200_000
"""More than anybody reads; bounds the memory of the later passes."""


class Sieve:
    """A Bloom filter that grows, and keeps the hashes that it may have seen before."""

    def __init__(self) -> None:
        self._table = bytearray(SMALLEST >> 3)
        self._full: list[bytearray] = []
        self._room = SMALLEST // BITS_EACH
        self.suspects: set[int] = set()

    def add(self, key: int) -> None:
        """One more hash of 64 bits, signed or not."""
        if self._room == 0:
            self._grow()
        self._room -= 1
        seen = _put(self._table, key)
        if not seen:
            for table in self._full:
                seen = seen or _has(table, key)
        if seen and len(self.suspects) < MOST_SUSPECTS:
            self.suspects.add(key)

    def _grow(self) -> None:
        bits = len(self._table) << 3
        if bits == LARGEST:
            return
        bits = min(bits * GROWTH, LARGEST)
        self._full.append(self._table)
        self._table = bytearray(bits >> 3)
        self._room = bits // BITS_EACH if bits < LARGEST else -1


def _put(table: bytearray, key: int) -> bool:
    """Put a hash in; whether all its bits were there already."""
    mask, step, seen = (len(table) << 3) - 1, (key >> 32) | 1, True
    for _ in range(4):
        place = key & mask
        bit = 1 << (place & 7)
        if not table[place >> 3] & bit:
            table[place >> 3] |= bit
            seen = False
        key += step
    return seen


def _has(table: bytearray, key: int) -> bool:
    mask, step = (len(table) << 3) - 1, (key >> 32) | 1
    for _ in range(4):
        place = key & mask
        if not table[place >> 3] & 1 << (place & 7):
            return False
        key += step
    return True


@dataclass(frozen=True, slots=True)
class TaskRef:
    """One task of the plan."""

    index: int
    """Of the item in the job."""
    item_id: str
    variant: int


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks of one item, of which no two have the same text."""

    key: int
    """Differs from another group's wherever the two have no text in common."""
    index: int
    item_id: str
    variants: Iterable[int]
    text: Callable[[int], str]
    """From a variant to what must be unique."""


@dataclass(frozen=True, slots=True)
class Twice:
    """Two tasks with one text."""

    first: TaskRef
    again: TaskRef
    text: str


class Repeats:
    """Finds the tasks with the same text: `note` every group once, then ask for `found`."""

    def __init__(self) -> None:
        self._groups = Sieve()

    def note(self, group: Group) -> None:
        """The first look at a group."""
        self._groups.add(group.key)

    def found(self, groups: Callable[[], Iterable[Group]]) -> Iterator[Twice]:
        """Every task whose text an earlier one has; `groups` gives the noted ones once more."""
        suspects = self._groups.suspects
        if not suspects:
            return
        texts = Sieve()
        for group in groups():
            if group.key in suspects:
                for variant in group.variants:
                    texts.add(hash(group.text(variant)))
        if texts.suspects:
            again = (group for group in groups() if group.key in suspects)
            yield from _exactly(again, texts.suspects)


def _exactly(groups: Iterable[Group], suspects: set[int]) -> Iterator[Twice]:
    first: dict[str, TaskRef] = {}
    for group in groups:
        for variant in group.variants:
            text = group.text(variant)
            if hash(text) in suspects:
                place = TaskRef(group.index, group.item_id, variant)
                earlier = first.setdefault(text, place)
                if earlier is not place:
                    yield Twice(first=earlier, again=place, text=text)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A task that must change, for an earlier one does the same."""

    index: int
    """Of its item in the job."""
    text: str
    """What both would do, and what to do about it."""


class Unique:
    """Looks at every blueprint once, and at all of them again only if there is a suspicion."""

    def __init__(self) -> None:
        self._names = Repeats()
        self._requests = Repeats()

    def note(self, blueprint: PlannedItem) -> None:
        """The first look."""
        for group in _name_groups(blueprint):
            self._names.note(group)
        for group in _request_groups(blueprint):
            self._requests.note(group)

    def clashes(self, blueprints: Callable[[], Iterable[PlannedItem]]) -> Iterator[Duplicate]:
        """Every task that clashes with an earlier one; `blueprints` gives all of them again."""

        def again(groups: Callable[[PlannedItem], Iterator[Group]]) -> Iterator[Group]:
            for blueprint in blueprints():
                yield from groups(blueprint)

        for twice in self._names.found(lambda: again(_name_groups)):
            file = f"{FOLDER}{twice.text} (upper and lower case are one)"
            yield from _clash(twice, "write the same file as", f": {file}; rename one")
        for twice in self._requests.found(lambda: again(_request_groups)):
            advice = ": model, texts, parameters and seed are the same; change or remove one"
            yield from _clash(twice, "make the same image as", advice)


def _clash(twice: Twice, what: str, advice: str) -> Iterator[Duplicate]:
    first, again = twice.first, twice.again
    if first.index == again.index or first.item_id != again.item_id:
        yield Duplicate(again.index, f"{_label(again)} would {what} {_label(first)}{advice}")


def _label(place: TaskRef) -> str:
    return f"{quoted(place.item_id)} variant {place.variant}"


def _name_groups(blueprint: PlannedItem) -> Iterator[Group]:
    """The file names of an item, in the form in which file systems compare them.

    Where the name is a text, then the number of the variant or the seed, then a text that is the
    same for every item, that first text tells all names of the item from those of another.
    """
    name = blueprint.name
    variants = range(1, blueprint.variants + 1)

    def text(variant: int) -> str:
        return file_names.comparable(blueprint.file_name(variant))

    if not name.names or blueprint.head_tells:
        key = hash(file_names.comparable(name.literals[0]))
        yield _group(blueprint, key, variants, text)
        return
    for variant in variants:
        yield _group(blueprint, hash(text(variant)), (variant,), text)


def _request_groups(blueprint: PlannedItem) -> Iterator[Group]:
    """The requests of an item, by their ids; what stands around the seed tells items apart."""
    requests = blueprint.requests
    if isinstance(requests, FixedRequest):
        key = hash((requests.ids.before, requests.ids.after))
        yield _group(blueprint, key, range(1, blueprint.variants + 1), blueprint.id)
        return
    for variant in range(1, blueprint.variants + 1):
        yield _group(blueprint, _live_key(blueprint, variant), (variant,), blueprint.id)


def _group(
    blueprint: PlannedItem, key: int, variants: Iterable[int], text: Callable[[int], str]
) -> Group:
    return Group(key, blueprint.index, blueprint.item_id, variants, text)


def _live_key(blueprint: PlannedItem, variant: int) -> int:
    request = blueprint.request(variant)
    if request.get("seed") != blueprint.seeds.of(variant):
        return hash(blueprint.id(variant))
    ids = SeededId(blueprint.model_id, request)
    return hash((ids.before, ids.after))
