"""The wire, model by model: a difference here changes what is sent or understood.

A changed request also changes task ids, so that finished images would be made and paid for again.
"""

import base64
import json
from decimal import Decimal
from pathlib import Path

import pytest

from batchgen.models import FAMILIES, MODELS, Artifact, Prompts, Reply, find

FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))
GOLDEN = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
REQUESTS = [(golden["model"], case) for golden in GOLDEN for case in golden["requests"]]
REPLIES = [(golden["model"], case) for golden in GOLDEN for case in golden["replies"]]


def test_every_model_has_golden_bodies():
    """A model without them could change its wire unseen; `write_golden.py` writes them."""
    assert sorted(MODELS) == sorted(golden["model"] for golden in GOLDEN)


@pytest.mark.parametrize(("model_id", "case"), REQUESTS)
def test_a_request_is_byte_for_byte_the_golden_one(model_id, case):
    """Texts, parameters and seed are no problem and make this body, of this format and price."""
    model = find(model_id)
    family = FAMILIES[model.family]
    prompts = Prompts(**case["prompts"])
    assert list(family.problems(model, prompts, case["parameters"])) == []
    body = family.build(model, prompts, case["parameters"], case["seed"])
    assert json.dumps(body, sort_keys=True) == json.dumps(case["request"], sort_keys=True)
    assert family.image_format(body) == case["image_format"]
    assert family.price(model, body) == Decimal(case["price_usd"])


@pytest.mark.parametrize(("model_id", "case"), REPLIES)
def test_a_reply_is_understood_as_the_golden_one(model_id, case):
    """This body gives these images, reasons and outcome."""
    golden = case["reply"]
    images = tuple(
        Artifact(
            data=base64.b64decode(image["base64"]),
            seed=image["seed"],
            finish_reason=image["finish_reason"],
        )
        for image in golden["images"]
    )
    expected = Reply(**{**golden, "images": images, "finish_reasons": (*golden["finish_reasons"],)})
    body = json.dumps(case["body"]).encode()
    assert FAMILIES[find(model_id).family].parse(body) == expected
