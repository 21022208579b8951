import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen import job
from batchgen.errors import JobError
from batchgen.job import Job
from batchgen.job.validation_errors import KEYS

HEAD = "name: a\nmodel: m\nitems: [{id: a}]\n"
ENGLISH = ("Input should", "Field required", "Extra inputs", "pydantic")


def wrong(text):
    """(path, line, text) of each complaint."""
    with pytest.raises(JobError) as caught:
        job.parse("j.yaml", text.encode())
    return [(each.path, each.line, each.text) for each in caught.value.complaints]


def test_all_complaints_come_at_once_from_the_top_down():
    """The value of a misspelt key is judged as that of the key that was meant."""
    found = wrong(HEAD + "seed: 0\nvariants: x\nregoin: a\nlimits: {concurrency: 0}\n")
    assert [(path, line) for path, line, _ in found] == [
        (("seed",), 4),
        (("variants",), 5),
        (("regoin",), 6),
        (("regoin",), 6),
        (("limits", "concurrency"), 7),
    ]
    assert 'did you mean "region"?' in found[2][2]


@pytest.mark.parametrize(
    ("rest", "path", "near"),
    [
        ("limits: {concurency: 1}", ("limits", "concurency"), "concurrency"),
        ("retry: {attemps: 1}", ("retry", "attemps"), "attempts"),
        ("endpoint: simulator\nsimulator: {latancy: 1}", ("simulator", "latancy"), "latency"),
        ("vras: {}", ("vras",), "vars"),
    ],
)
def test_an_unknown_key_names_the_nearest(rest, path, near):
    ((found, _, text),) = wrong(HEAD + rest)
    assert found == path
    assert text.endswith(f'did you mean "{near}"?')


def test_an_unknown_key_of_an_item_names_the_nearest():
    ((path, line, text),) = wrong("name: a\nmodel: m\nitems:\n  - id: a\n    sede: 1\n")
    assert (path, line) == (("items", 0, "sede"), 5)
    assert 'did you mean "seed"?' in text


@pytest.mark.parametrize("key", ["image", "mask"])
def test_keys_of_later_versions_are_not_supported_yet(key):
    assert wrong(HEAD + f"{key}: x") == [((key,), 4, "is not supported yet")]


def test_an_id_stands_once():
    found = wrong("name: a\nmodel: m\nitems:\n- id: a\n- id: a\n")
    text = '"a" is the id of items[0] already: every id stands once'
    assert found == [(("items", 1, "id"), 5, text)]


def test_a_missing_model_names_the_items():
    ((path, _, text),) = wrong("name: a\nitems: [{id: a}, {id: b}]")
    assert path == ("model",)
    assert text.endswith("the pictures of items[0] and 1 more")


def test_options_of_the_simulator_count_only_with_it():
    ((path, line, _),) = wrong(HEAD + "simulator: {latency: 1}")
    assert (path, line) == (("simulator",), 4)


def test_defaults():
    made = job.parse("j.yaml", HEAD.encode())
    assert (made.endpoint, made.region, made.output) == ("aws", "us-west-2", "out/a")
    assert (made.seed, made.variants, made.file_name) == ("derived", 1, "{id}-{variant}")
    assert (made.limits.concurrency, made.retry.attempts, made.retry.ambiguous) == (8, 3, "retry")


def test_long_values_are_cut():
    ((_, _, text),) = wrong(HEAD + "region: " + "x" * 5_000)
    assert len(text) < 200


def test_control_characters_of_a_value_are_escaped():
    ((_, _, text),) = wrong(HEAD + 'region: "\\e[31m\\n"')
    assert text.isprintable()


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["aws", "a", "06:00", "1%", "90s"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([k for keys in KEYS.values() for k in keys]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*KEYS[""], "matrix", "x"]), _VALUES, max_size=8) | _VALUES)
@settings(max_examples=400)
def test_any_structure_is_a_job_or_a_job_error_in_our_words(value):
    try:
        assert isinstance(job.parse("j.yaml", json.dumps(value).encode()), Job)
    except JobError as error:
        complaints = error.complaints
    else:
        return
    assert complaints
    assert not any(word in each.text for each in complaints for word in ENGLISH)
