"""Seeds are chosen by us when the plan is made: the same every time, and never 0."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.plan import seeds

CORE_MOST = 4_294_967_295
NAMES = st.lists(st.text(max_size=8), max_size=4)


@pytest.mark.parametrize(
    ("names", "seed_max", "expected"),
    [
        (("catalog", "mug"), CORE_MOST, [2485936607, 2293423022, 2100909437, 1908395852]),
        (("catalog", "mug"), CORE_MOST - 1, [2485936607, 2293423022, 2100909437, 1908395852]),
        (("catalog", "lamp"), CORE_MOST, [2523252709, 4048030666, 1277841329, 2802619286]),
        (("cat", "alogmug"), CORE_MOST, [1916119806, 2710732391, 3505344976, 4990267]),
        (("é", "漢"), CORE_MOST, [2772296967, 2940185962, 3108074957, 3275963952]),
        (("catalog", "mug"), 10, [9, 6, 3, 10]),
        (("catalog", "mug"), 2, [1, 2, 1, 2]),
        (("catalog", "mug"), 1, [1, 1, 1, 1]),
    ],
)
def test_derived_seeds_never_change(names, seed_max, expected):
    """Golden values: other ones would make every image of every job again."""
    made = seeds.derived(*names, seed_max=seed_max)

    assert seeds.DERIVATION_VERSION == "1"
    assert list(made.all_of(range(1, 5))) == expected
    assert [made.of(variant) for variant in range(1, 5)] == expected


@given(NAMES, st.integers(1, CORE_MOST), st.integers(1, 10_000_000))
def test_a_derived_seed_is_in_the_range_of_its_model(names, seed_max, variant):
    """From 1 to the largest, whatever the names."""
    assert 1 <= seeds.derived(*names, seed_max=seed_max).of(variant) <= seed_max


@given(NAMES, st.integers(1, 300))
def test_no_two_variants_have_one_seed_while_there_are_enough(names, seed_max):
    """As many variants as there are seeds take each of them once."""
    made = seeds.derived(*names, seed_max=seed_max)

    assert {made.of(variant) for variant in range(1, seed_max + 1)} == set(range(1, seed_max + 1))


@given(NAMES, NAMES)
def test_other_names_have_other_seeds(names, others):
    """Where one name ends and the next begins counts as well."""
    one, other = (seeds.derived(*each, seed_max=CORE_MOST) for each in (names, others))

    assert (one == other) == (names == others)


@pytest.mark.parametrize("first", [1, 7, CORE_MOST - 2])
def test_fixed_seeds_count_on_from_the_given_one(first):
    """Variant 1 has the seed itself, and the last seed there is can be reached."""
    made = seeds.fixed(first, seed_max=CORE_MOST)

    assert [made.of(variant) for variant in (1, 2, 3)] == [first, first + 1, first + 2]
