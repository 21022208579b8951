"""Which model an identifier means, and in which Regions."""

import pytest
from wire import CORE, SDXL, made

from batchgen.simulator.errors import END_OF_LIFE, INVALID_MODEL, Refused
from batchgen.simulator.models import MODELS, resolve

ARN = "arn:aws:bedrock:us-west-2:111122223333:"


def resolved(identifier, region="us-west-2", **settings):
    """The id of the model that is meant, or the error."""
    try:
        return resolve(identifier, region, made(**settings)).id
    except Refused as refused:
        return refused.name, refused.message


INVALID = ("ValidationException", INVALID_MODEL)


@pytest.mark.parametrize("model_id", MODELS)
def test_every_model_is_there_in_its_first_region(model_id):
    """Retired ones as well."""
    assert resolved(model_id) == model_id


@pytest.mark.parametrize(
    "tail",
    [
        f"inference-profile/us.{CORE}",
        f"application-inference-profile/{CORE}",
        f"provisioned-model/{CORE}",
        f"foundation-model/{CORE}",
    ],
)
def test_an_arn_whose_tail_names_a_model_means_it(tail):
    """With or without the geography of an inference profile."""
    assert resolved(ARN + tail) == CORE


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "no.such-model-v1:0",
        f"us.{CORE}",
        f"{ARN}application-inference-profile/ab12cd34",
        f"{ARN}guardrail/{CORE}",
        f"arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.{CORE}",
    ],
)
def test_what_names_no_model_is_invalid(identifier):
    """An ARN of another Region too."""
    assert resolved(identifier) == INVALID


@pytest.mark.parametrize(
    "identifier", [f"{ARN}application-inference-profile/ab12cd34", f"us.{CORE}"]
)
def test_an_opaque_identifier_can_be_given_a_model(identifier):
    """By an option."""
    assert resolved(identifier, arn=[f"{identifier}={CORE}"]) == CORE


def test_a_model_is_invalid_where_it_is_not_offered():
    """Unless every Region offers all; an inference profile goes where it likes."""
    assert resolved(CORE, "us-east-1") == INVALID
    assert resolved(CORE, "eu-west-1", any_region=True) == CORE
    assert resolved(f"arn:aws:bedrock:us-east-1:1:inference-profile/us.{CORE}", "us-east-1") == CORE


def test_a_retired_model_can_be_past_its_end_of_life():
    """As it is at the real service, with its 404."""
    assert resolved(SDXL, "eu-west-1") == SDXL
    assert resolved(SDXL, end_of_life=True) == ("ResourceNotFoundException", END_OF_LIFE)
    assert resolved(CORE, end_of_life=True) == CORE
