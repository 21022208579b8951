"""The SDK, used as AWS's own examples use it."""

import base64
import io
import json

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from PIL import Image

from batchgen.simulator.errors import ERRORS

CORE = "stability.stable-image-core-v1:1"


def test_the_documented_example_of_stable_image_core_works_unchanged(bench):
    """invoke_model, read the body, decode the first of `images`."""
    bedrock = bench.client()
    response = bedrock.invoke_model(
        modelId=CORE, body=json.dumps({"prompt": "A car made out of vegetables."})
    )
    output_body = json.loads(response["body"].read().decode("utf-8"))
    image = Image.open(io.BytesIO(base64.b64decode(output_body["images"][0])))
    image.load()

    assert (image.format, image.size) == ("PNG", (1024, 1024))
    assert output_body["finish_reasons"] == [None]
    assert output_body["seeds"][0] > 0


def test_the_documented_example_of_sdxl_works_unchanged(bench):
    """text_prompts in, `artifacts` out."""
    response = bench.client().invoke_model(
        modelId="stability.stable-diffusion-xl-v1",
        body=json.dumps(
            {
                "text_prompts": [
                    {"text": "a poplar tree", "weight": 1},
                    {"text": "bad", "weight": -1},
                ],
                "cfg_scale": 10,
                "seed": 5,
                "steps": 30,
                "samples": 1,
                "style_preset": "photographic",
                "width": 1152,
                "height": 896,
            }
        ),
        accept="application/json",
        contentType="application/json",
    )
    answer = json.loads(response["body"].read())
    artifact = answer["artifacts"][0]

    assert answer["result"] == "success"
    assert (artifact["seed"], artifact["finishReason"]) == (5, "SUCCESS")
    assert Image.open(io.BytesIO(base64.b64decode(artifact["base64"]))).size == (1152, 896)


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_reaches_the_sdk_as_its_own_exception(bench, name):
    """Name, HTTP status and message are those of the table, and nothing is charged."""
    bench.script({"action": name})

    with pytest.raises(ClientError) as caught:
        bench.client().invoke_model(modelId=CORE, body=json.dumps({"prompt": "a"}))

    answer = caught.value.response
    assert answer["Error"] == {"Code": name, "Message": ERRORS[name].message}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == ERRORS[name].status
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    assert [entry["charged_usd"] for entry in bench.ledger()] == ["0"]


def test_every_error_that_the_sdk_knows_of_invoke_model_is_in_the_table(bench):
    """A new SDK that models another error makes this fail."""
    operation = bench.client().meta.service_model.operation_model("InvokeModel")

    modelled = {
        shape.name: shape.metadata["error"]["httpStatusCode"] for shape in operation.error_shapes
    }

    assert {name: ERRORS[name].status for name in modelled} == modelled


def test_an_arn_with_a_slash_reaches_its_model(bench):
    """The SDK sends the slash as %2F."""
    arn = f"arn:aws:bedrock:us-west-2:111122223333:inference-profile/us.{CORE}"

    bench.client().invoke_model(modelId=arn, body=json.dumps({"prompt": "a"}))

    assert [(entry["model"], entry["model_id"]) for entry in bench.ledger()] == [(CORE, arn)]


def test_the_wrong_region_is_an_invalid_identifier(bench):
    """As the service has it, without a word of Regions."""
    with pytest.raises(ClientError, match="The provided model identifier is invalid"):
        bench.client(region_name="us-east-1").invoke_model(modelId=CORE, body=b'{"prompt": "a"}')


def test_the_attempts_of_one_sdk_call_share_an_invocation_id(bench, monkeypatch):
    """So the ledger shows what was one call to the user."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    bench.script({"action": "InternalServerException", "times": 1})
    retries = Config(retries={"total_max_attempts": 2, "mode": "standard"})

    bench.client(config=retries).invoke_model(modelId=CORE, body=b'{"prompt": "a"}')

    first, second = bench.ledger()
    assert first["invocation_id"] == second["invocation_id"] is not None
    assert [first["attempt"], second["attempt"]] == [1, 2]


def test_a_bearer_token_is_accepted_in_place_of_a_signature(bench, monkeypatch):
    """As Bedrock API keys are sent."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-abc")

    bench.client().invoke_model(modelId=CORE, body=b'{"prompt": "a"}')

    assert bench.ledger()[0]["key_id"].startswith("bearer-")
