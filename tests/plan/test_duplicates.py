"""Texts that come twice are found, all of them and no others, in fixed memory."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.plan import duplicates
from batchgen.plan.duplicates import Group, Repeats, Sieve, TaskRef, Twice

TEXTS = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=5), max_size=12)


def groups_of(items, key):
    return [
        Group(
            key(texts),
            index,
            f"i{index}",
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
            place = TaskRef(index, f"i{index}", variant)
            if first.setdefault(text, place) is not place:
                expected.append(Twice(first=first[text], again=place, text=str(text)))

    for group in groups:
        repeats.note(group)

    assert list(repeats.found(lambda: groups)) == expected


def test_without_a_suspicion_there_is_no_second_pass():
    """The usual job is looked at once."""
    repeats = Repeats()
    for group in groups_of([[1], [2]], key=lambda texts: texts[0]):
        repeats.note(group)

    assert list(repeats.found(lambda: pytest.fail("looked again"))) == []


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200))
def test_a_sieve_suspects_every_hash_that_came_twice(keys):
    """Negative ones as well."""
    sieve = Sieve()
    for key in keys:
        sieve.add(key)

    assert sieve.suspects >= {key for key, times in Counter(keys).items() if times > 1}


def test_a_sieve_that_grew_remembers_what_it_saw_before():
    """And suspects next to nothing that came once."""
    sieve, keys = Sieve(), [hash(f"text {number}") for number in range(20_000)]
    for key in keys:
        sieve.add(key)
    assert len(sieve._full) == 1
    assert len(sieve.suspects) <= 1

    for key in keys[::1_000]:
        sieve.add(key)

    assert sieve.suspects >= set(keys[::1_000])


def test_a_sieve_stops_growing(monkeypatch):
    """However many hashes come, the last table is the largest, and still works."""
    monkeypatch.setattr(duplicates, "LARGEST", duplicates.SMALLEST * 2)
    sieve = Sieve()
    for number in range(30_000):
        sieve.add(hash(f"{number}"))

    assert len(sieve._table) * 8 == duplicates.LARGEST
    sieve.add(hash("1"))
    assert hash("1") in sieve.suspects


def test_suspects_are_bounded(monkeypatch):
    """More than anybody reads are not kept."""
    monkeypatch.setattr(duplicates, "MOST_SUSPECTS", 5)
    sieve = Sieve()
    for number in (*range(100), *range(100)):
        sieve.add(number * 2**33 + number)

    assert len(sieve.suspects) == 5
