"""No two tasks of a plan write one file, and no two make one and the same image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from batchgen import naming
from batchgen.blueprint import FOLDER, Blueprint, Still
from batchgen.task import SeededId
from batchgen.text import quoted
from batchgen.uniqueness import Group, Place, Repeats, Twice


@dataclass(frozen=True, slots=True)
class Clash:
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

    def note(self, blueprint: Blueprint) -> None:
        """The first look."""
        for group in _name_groups(blueprint):
            self._names.note(group)
        for group in _request_groups(blueprint):
            self._requests.note(group)

    def clashes(self, blueprints: Callable[[], Iterable[Blueprint]]) -> Iterator[Clash]:
        """Every task that clashes with an earlier one; `blueprints` gives all of them again."""

        def again(groups: Callable[[Blueprint], Iterator[Group]]) -> Iterator[Group]:
            for blueprint in blueprints():
                yield from groups(blueprint)

        for twice in self._names.found(lambda: again(_name_groups)):
            file = f"{FOLDER}{twice.text} (upper and lower case are one)"
            yield from _clash(twice, "write the same file as", f": {file}; rename one")
        for twice in self._requests.found(lambda: again(_request_groups)):
            advice = ": model, texts, parameters and seed are the same; change or remove one"
            yield from _clash(twice, "make the same image as", advice)


def _clash(twice: Twice, what: str, advice: str) -> Iterator[Clash]:
    first, again = twice.first, twice.again
    if first.index == again.index or first.item_id != again.item_id:
        yield Clash(again.index, f"{_label(again)} would {what} {_label(first)}{advice}")


def _label(place: Place) -> str:
    return f"{quoted(place.item_id)} variant {place.variant}"


def _name_groups(blueprint: Blueprint) -> Iterator[Group]:
    """The file names of an item, in the form in which file systems compare them.

    Where the name is a text, then the number of the variant or the seed, then a text that is the
    same for every item, that first text tells all names of the item from those of another.
    """
    name = blueprint.name
    variants = range(1, blueprint.variants + 1)

    def text(variant: int) -> str:
        return naming.comparable(blueprint.file_name(variant))

    if not name.names or blueprint.head_tells:
        key = hash(naming.comparable(name.literals[0]))
        yield _group(blueprint, key, variants, text)
        return
    for variant in variants:
        yield _group(blueprint, hash(text(variant)), (variant,), text)


def _request_groups(blueprint: Blueprint) -> Iterator[Group]:
    """The requests of an item, by their ids; what stands around the seed tells items apart."""
    requests = blueprint.requests
    if isinstance(requests, Still):
        key = hash((requests.ids.before, requests.ids.after))
        yield _group(blueprint, key, range(1, blueprint.variants + 1), blueprint.id)
        return
    for variant in range(1, blueprint.variants + 1):
        yield _group(blueprint, _live_key(blueprint, variant), (variant,), blueprint.id)


def _group(
    blueprint: Blueprint, key: int, variants: Iterable[int], text: Callable[[int], str]
) -> Group:
    return Group(key, blueprint.index, blueprint.item_id, variants, text)


def _live_key(blueprint: Blueprint, variant: int) -> int:
    request = blueprint.request(variant)
    if request.get("seed") != blueprint.seeds.of(variant):
        return hash(blueprint.id(variant))
    ids = SeededId(blueprint.model_id, request)
    return hash((ids.before, ids.after))
