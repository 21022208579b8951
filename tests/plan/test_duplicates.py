"""Texts that come twice are found, all of them and no others, in fixed memory."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.job import Item, Row
from batchgen.plan import duplicates
from batchgen.plan.duplicates import Group, Hashes, Repeats, TaskRef, Twice

TEXTS = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=5), max_size=12)


def row_of(index):
    return Row(index, Item(id=f"i{index}"), ("items", index))


def groups_of(items, key):
    return [
        Group(
            key(texts),
            row_of(index),
            range(1, len(texts) + 1),
            lambda n, t=texts: str(t[n - 1]),
        )
        for index, texts in enumerate(items)
    ]


@given(TEXTS, st.sampled_from([lambda _: 7, lambda texts: len(texts) and 1]))
def test_every_text_that_came_before_is_found_with_its_first_place(items, key):
    """Whatever else shares its key; nothing that comes once is named."""
    items = [texts for texts in items if texts]
    groups, repeats = groups_of(items, key), Repeats()
    first, expected = {}, []
    for index, texts in enumerate(items):
        for variant, text in enumerate(texts, 1):
            place = TaskRef(row_of(index), variant)
            if first.setdefault(text, place) is not place:
                expected.append(Twice(first=first[text], again=place, text=str(text)))

    for group in groups:
        repeats.note(group.key)

    assert list(repeats.found(lambda: groups)) == expected


def test_without_a_suspicion_there_is_no_second_pass():
    """The usual job is looked at once."""
    repeats = Repeats()
    for group in groups_of([[1], [2]], key=lambda texts: texts[0]):
        repeats.note(group.key)

    assert list(repeats.found(lambda: pytest.fail("looked again"))) == []


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), max_size=200))
def test_the_hashes_that_came_twice_are_those_and_no_others(keys):
    """Negative ones as well, which come back without their sign."""
    hashes = Hashes()
    for key in keys:
        hashes.add(key)

    twice = {key % 2**64 for key, times in Counter(keys).items() if times > 1}
    assert hashes.take_repeated() == twice


def test_suspects_are_bounded(monkeypatch):
    """More than anybody reads are not kept."""
    monkeypatch.setattr(duplicates, "MOST_SUSPECTS", 5)
    hashes = Hashes()
    for number in (*range(100), *range(100)):
        hashes.add(number * 2**57 + number)

    assert len(hashes.take_repeated()) == 5
