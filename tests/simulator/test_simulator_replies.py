"""What each fault does to the answer of the call that meets it."""

import base64
import io
import json

import pytest
from clocks import ManualClock
from PIL import Image
from wire import CORE, PROMPT, SDXL, wired

from batchgen.simulator.faults.directives import read

SDXL_BODY = {"text_prompts": [{"text": "a blue mug"}], "seed": 7}


def script(wire, *faults):
    """Put directives in force."""
    wire.service.script.add(read(list(faults)))


async def answered(action, body=PROMPT, model=CORE, **more):
    """The answer to one call that meets an action, and its ledger entry."""
    async with wired() as wire:
        script(wire, {"action": action, **more})
        heard = await wire.post(body, model=model)
        return heard, wire.service.ledger.lines()[0]


def decoded(heard):
    """The bytes of the first image."""
    document = heard.json
    text = document["images"][0] if "images" in document else document["artifacts"][0]["base64"]
    return base64.b64decode(text, validate=True)


REASONS = {
    "filter-prompt": ("Filter reason: prompt", "0"),
    "filter-output": ("Filter reason: output image", "0.04"),
    "filter-input": ("Filter reason: input image", "0"),
    "inference-error": ("Inference error", "0"),
    "finish-reason": ("Filter reason: unheard of", "0.04"),
}


@pytest.mark.parametrize("action", REASONS)
async def test_a_stable_image_reply_that_was_filtered_has_a_finish_reason_alone(action):
    """No image, and charged only if one was made."""
    heard, entry = await answered(action)

    assert heard.status == 200
    assert heard.json["finish_reasons"] == [REASONS[action][0]]
    assert "images" not in heard.json
    assert entry["charged_usd"] == REASONS[action][1]
    assert entry["outcome"] == ("inference-error" if action == "inference-error" else "filtered")
    assert entry["fault"] == action


async def test_a_finish_reason_can_be_any():
    """The next one that the service invents."""
    heard, _ = await answered("finish-reason", reason="Filter reason: tomorrow's")

    assert heard.json["finish_reasons"] == ["Filter reason: tomorrow's"]


async def test_sdxl_sends_a_filtered_picture_blurred():
    """CONTENT_FILTERED comes with an image that is another than the one without."""
    clear, _ = await answered("seeds-as-strings", SDXL_BODY, SDXL)
    blurred, entry = await answered("filter-output", SDXL_BODY, SDXL)

    assert blurred.json["artifacts"][0]["finishReason"] == "CONTENT_FILTERED"
    assert decoded(blurred) != decoded(clear)
    assert (entry["outcome"], entry["charged_usd"]) == ("filtered", "0.04")


async def test_sdxl_refuses_a_prompt_with_an_error():
    """As HTTP 400 that speaks of filtered words."""
    heard, entry = await answered("filter-prompt", SDXL_BODY, SDXL)

    assert heard.status == 400
    assert "'One or more prompts contains filtered words.'" in heard.message
    assert entry["charged_usd"] == "0"


async def test_sdxl_tells_a_failed_generation_as_an_error_artifact():
    """Without an image."""
    heard, _ = await answered("inference-error", SDXL_BODY, SDXL)

    assert heard.json["artifacts"] == [{"seed": 7, "finishReason": "ERROR"}]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("filter-400", "adjust your text prompt"),
        ("filter-400-image", "adjust your input image"),
        ("filter-400-words", "filtered words"),
    ],
)
async def test_moderation_can_be_an_error(action, words):
    """In each of its wordings."""
    heard, _ = await answered(action)

    assert heard.status == 400
    assert heard.headers["x-amzn-errortype"].startswith("ValidationException:")
    assert words in heard.message


@pytest.mark.parametrize(("body", "model"), [(PROMPT, CORE), (SDXL_BODY, SDXL)])
async def test_seeds_can_be_anything(body, model):
    """Strings, absent, another, zero."""

    async def seed(action):
        heard, _ = await answered(action, body, model)
        shown = heard.json if model == CORE else heard.json["artifacts"][0]
        return shown.get("seeds", [None])[0] if model == CORE else shown.get("seed")

    assert await seed("seeds-as-strings") == "7"
    assert await seed("seeds-absent") is None
    assert await seed("seeds-different") == 6
    assert await seed("seeds-zero") == 0


async def test_an_image_can_stand_beside_a_filter_reason():
    """It was made, so it was paid for."""
    heard, entry = await answered("filter-with-image")

    assert heard.json["finish_reasons"] == ["Filter reason: output image"]
    assert Image.open(io.BytesIO(decoded(heard))).size == (1024, 1024)
    assert (entry["outcome"], entry["charged_usd"]) == ("filtered", "0.04")


async def test_a_reply_can_be_partly_filtered():
    """Two seeds, two reasons, one image."""
    heard, _ = await answered("partly-filtered")

    assert heard.json["finish_reasons"] == [None, "Filter reason: output image"]
    assert len(heard.json["seeds"]) == 2
    assert len(heard.json["images"]) == 1


async def test_fields_can_come_that_nobody_knows():
    """Beside the usual ones."""
    heard, _ = await answered("extra-fields")

    assert {"seeds", "finish_reasons", "images", "model_revision", "usage"} == set(heard.json)


@pytest.mark.parametrize(("body", "model"), [(PROMPT, CORE), (SDXL_BODY, SDXL)])
async def test_images_can_be_missing_or_broken(body, model):
    """Each in its own way, on HTTP 200, and charged."""

    async def got(action):
        heard, entry = await answered(action, body, model)
        assert (heard.status, entry["charged_usd"]) == (200, "0.04")
        return heard

    empty = await got("empty-images")
    assert not empty.json.get("images", []) if model == CORE else "base64" not in str(empty.json)
    with pytest.raises(ValueError, match="base64"):
        decoded(await got("broken-base64"))
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(decoded(await got("not-an-image"))))
    torn = decoded(await got("torn-image"))
    assert torn.startswith(b"\x89PNG")
    assert b"IEND" not in torn
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(decoded(await got("corrupt-image")))).load()
    assert Image.open(io.BytesIO(decoded(await got("other-format")))).format == "JPEG"


async def test_a_jpeg_that_was_asked_for_can_come_as_png():
    """Another format than the one asked for, whichever that is."""
    heard, _ = await answered("other-format", {**PROMPT, "output_format": "jpeg"})

    assert Image.open(io.BytesIO(decoded(heard))).format == "PNG"


async def test_a_proxy_can_answer_in_the_services_place():
    """With a page, on 200 or 502."""
    page, _ = await answered("html")
    gateway, entry = await answered("html-502")

    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert page.body.startswith(b"<html>")
    assert gateway.status == entry["status"] == 502
    assert "x-amzn-errortype" not in gateway.headers


async def test_json_can_end_too_early_and_a_body_can_be_empty():
    """In answers that are whole as far as HTTP can tell."""
    half, _ = await answered("cut-json")
    short, _ = await answered("cut-json", bytes=20)
    empty, entry = await answered("empty-body")

    for heard in (half, short, empty):
        assert int(heard.headers["content-length"]) == len(heard.body)
        with pytest.raises(json.JSONDecodeError):
            json.loads(heard.body)
    assert (len(short.body), empty.body, entry["image_sha256"]) == (20, b"", None)


async def test_the_date_can_be_wrong():
    """On success and on errors."""
    clock = ManualClock(wall=0.0)
    async with wired(clock=clock) as wire:
        script(wire, {"action": "date-skew", "seconds": -60}, {"action": "throttle", "times": 1})
        throttled, good = await wire.post(PROMPT), await wire.post(PROMPT)

    assert (throttled.status, good.status) == (429, 200)
    for heard in (throttled, good):
        assert heard.headers["date"] == "Wed, 31 Dec 1969 23:59:00 GMT"


async def test_any_error_can_be_made_up():
    """Name, status and message; charged if the directive says so."""
    heard, entry = await answered(
        "error", type="FutureException", status=599, message="Not yet.", charged=True
    )

    assert (heard.status, heard.message) == (599, "Not yet.")
    assert heard.headers["x-amzn-errortype"].startswith("FutureException:")
    assert entry["charged_usd"] == "0.04"


async def test_an_error_can_take_its_time():
    """It comes after the given seconds."""
    clock = ManualClock()
    async with wired(clock=clock) as wire:
        script(wire, {"action": "InternalServerException", "seconds": 30})
        reader, writer = await wire.send(PROMPT)
        await clock.sleeping(1)
        clock.advance(30)

        assert b" 500 " in await reader.readline()
        writer.close()
