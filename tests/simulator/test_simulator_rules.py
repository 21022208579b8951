"""What each model's body may hold, and what the service says of a body that is wrong."""

import json

import pytest
from body_cases import ACCEPTED, REFUSED
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import made

from batchgen.simulator.errors import Refused
from batchgen.simulator.families import FAMILIES
from batchgen.simulator.models import MODELS
from batchgen.simulator.rules import parse


def checked(model_id, body):
    """The message that refuses this body, or None."""
    model = MODELS[model_id]
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        family = FAMILIES[model.family]
        family.picture_request(model, parse(data, family.SCHEMAS[model.schema]), 1)
    except Refused as refused:
        return refused.message if refused.name == "ValidationException" else refused.name
    return None


@pytest.mark.parametrize(("model_id", "body"), ACCEPTED)
def test_what_the_documentation_allows_is_accepted(model_id, body):
    """Bounds included."""
    assert checked(model_id, body) is None


@pytest.mark.parametrize(("model_id", "body", "message"), REFUSED)
def test_what_is_wrong_is_said_in_the_words_of_the_service(model_id, body, message):
    """One violation is named, several are counted."""
    assert checked(model_id, body) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = sorted(
    {
        name
        for family in FAMILIES.values()
        for schema in family.SCHEMAS.values()
        for name in schema.rules
    }
)


@settings(max_examples=60)
@given(st.sampled_from(sorted(MODELS)), st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON)
def test_no_body_whatever_breaks_the_check(model_id, body):
    """Any JSON value is accepted or refused with a message."""
    message = checked(model_id, body)

    assert message is None or message


def test_every_model_has_a_schema_and_a_family():
    """The tables agree with each other."""
    for model in MODELS.values():
        assert model.schema in FAMILIES[model.family].SCHEMAS
        assert model.family in FAMILIES
    assert made().requests_per_minute is None
