"""Items that are made without the schema are those that the schema makes."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batchgen.errors import JobError
from batchgen.job import Item, parse, plain_items
from batchgen.job.plain_items import plain_item
from batchgen.job.yaml_scalars import WrittenFloat

SCHEMA = TypeAdapter(Item)
names = st.sampled_from(["a", "product", "_x", "é", "id", "seed", "", "1a", "a b", "x" * 101])
texts = st.sampled_from(["", "a mug", "{a}", "Ä", "a\ud800", "a\nb", "no"])
scalars = texts | st.sampled_from([None, True, 0, 1, -7, 2**520, WrittenFloat("1.10"), 1e400])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2)
)
items = st.fixed_dictionaries(
    {"id": texts | st.sampled_from(["mug", 3, "x" * 201]) | scalars},
    optional={
        "prompt": texts | values,
        "negative_prompt": texts | values,
        "vars": st.dictionaries(names, scalars, max_size=3) | values,
        "parameters": st.dictionaries(names, values, max_size=3) | values,
        "seed": st.just(3),
        "promt": st.just("a"),
    },
)


def told(item):
    """Every value with its type, so that 1, 1.0 and true are three."""
    return repr(dataclasses.asdict(item))


@given(items)
def test_what_is_made_without_the_schema_is_what_the_schema_makes(value):
    """Whatever stands in the mapping: another value than the schema's is never made."""
    before = repr(value)
    made = plain_item(value)
    assert repr(value) == before
    if made is not None:
        assert told(made) == told(SCHEMA.validate_python(value, context={"source": None}))


def test_the_usual_item_needs_no_schema():
    """Ids, prompts, variables and parameters of plain values are most of a long file."""
    value = {
        "id": 1_001,
        "prompt": "a {what}",
        "vars": {"what": "mug"},
        "parameters": {"aspect_ratio": "1:1", "steps": 30},
    }
    item = plain_item(value)
    assert item is not None
    assert item.id == "1001"
    assert item.vars is value["vars"]


def complaints(data):
    """All that is said of a job file, each with its line."""
    try:
        return parse("j.yaml", data, defer=True).source.complaints
    except JobError as error:
        return error.complaints


def test_what_is_wrong_is_said_as_by_the_schema_alone(monkeypatch):
    """A wrong item among right ones, and a wrong key of the job that hides placeholders."""
    data = b"""\
name: j
endpoint: simulator
model: stability.stable-image-core-v1:1
prompt: "{a} {b}"
vars: {a: [1]}
matrix: 3
items:
  - {id: x, vars: {b: y}, prompt: "{c}"}
  - {id: x, vars: {b: null}}
  - {id: z, promt: w}
  - {id: [], vars: {1: 2}}
"""
    found = complaints(data)
    monkeypatch.setattr(plain_items, "_KEYS", frozenset())
    assert len(found) > 4
    assert complaints(data) == found
