"""A task's id is a pure function of its model and its exact request."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.task import ID_VERSION, SeededId, compact, task_id

CORE = "stability.stable-image-core-v1:1"
KEYS = st.sampled_from(["seed", "prompt", "a", "z", 'x"seed":1', "é", "extras"])
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.just('"seed":1'), KEYS
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
REQUESTS = st.dictionaries(KEYS, VALUES, max_size=5)


@pytest.mark.parametrize(
    ("model", "request_", "expected"),
    [
        ("m", {}, "1-0d89239864716dad6d636af62d7ba790"),
        ("m", {"a": 1, "prompt": "é", "seed": 7}, "1-0d4d57648f53fc0d56b25c4ea8559039"),
        ("m", {"a": [1.5, None, True, {"b": "x"}]}, "1-e027753b4b50a4b4148c833a661fe5de"),
        (
            CORE,
            {"prompt": "a blue mug", "mode": "text-to-image", "seed": 1234},
            "1-8d6414a8d925ec52d1c690f7bdd7c999",
        ),
    ],
)
def test_ids_never_change(model, request_, expected):
    """Golden values: with other ones no manifest would be known again."""
    assert ID_VERSION == "1"
    assert task_id(model, request_) == expected


@given(REQUESTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_an_id(request_, random):
    """The layout of a file is no part of the request."""
    keys = list(request_)
    random.shuffle(keys)

    assert task_id("m", {key: request_[key] for key in keys}) == task_id("m", request_)


@given(REQUESTS, REQUESTS)
def test_another_request_or_model_has_another_id(one, other):
    """Compared by what would be sent: true and 1 are two values."""
    assert (task_id("m", one) == task_id("m", other)) == (repr_of(one) == repr_of(other))
    assert task_id("m", one) != task_id("n", one)


def repr_of(value):
    """Equal for equal JSON, written without `json`."""
    if isinstance(value, dict):
        return "mapping", sorted((key, repr_of(each)) for key, each in value.items())
    return [repr_of(each) for each in value] if isinstance(value, list) else repr(value)


@given(
    st.sampled_from([CORE, 'odd","seed":1', "é"]),
    REQUESTS,
    st.integers(1, 4_294_967_295),
    st.integers(1, 4_294_967_295),
)
@example(CORE, {"style": "50 %d %"}, 1, 2)
def test_the_quick_id_is_the_id(model, request_, first, seed):
    """`SeededId` equals `task_id` whatever texts and deeper keys look like."""
    ids = SeededId(model, {**request_, "seed": first})

    assert ids.of(seed) == task_id(model, {**request_, "seed": seed})
    assert ids.of(first) == task_id(model, {**request_, "seed": first})
    assert list(ids.compact((seed, first))) == [compact(ids.of(seed)), compact(ids.of(first))]


@given(REQUESTS, st.integers(1, 99), st.integers(1, 99))
def test_what_stands_around_the_seed_does_not_depend_on_it(request_, first, seed):
    """So it tells whether two items ask for one image."""
    one, other = (SeededId("m", {**request_, "seed": each}) for each in (first, seed))

    assert (one.before, one.after) == (other.before, other.after)
