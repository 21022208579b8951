"""The image services: what comes back is made of what was sent."""

import base64
import io
import json
from functools import cache

import pytest
from body_cases import malformed
from PIL import Image, ImageChops, ImageDraw
from wire import made

from batchgen.simulator.errors import Refused
from batchgen.simulator.families import FAMILIES
from batchgen.simulator.models import MODELS, resolve
from batchgen.simulator.pictures.painter import paint
from batchgen.simulator.rules import parse

SERVICES = {model.schema: model for model in MODELS.values() if model.by_profile}
TEXTS = {"prompt": "a mug", "search_prompt": "a cup", "select_prompt": "a cup"}
RED, TEAL = (200, 40, 30), (0, 128, 128)


def encoded(picture):
    """A picture as a request carries it."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@cache
def mug(size=(160, 120)):
    """A red thing on teal."""
    picture = Image.new("RGB", size, TEAL)
    width, height = size
    ImageDraw.Draw(picture).ellipse((width // 4, height // 4, width // 2, height // 2), fill=RED)
    return encoded(picture)


def body_of(service, **more):
    """The shortest body of a service."""
    rules = FAMILIES["image-services"].SCHEMAS[service].rules
    body = {name: mug() for name, rule in rules.items() if rule.required and "image" in name}
    body |= {name: TEXTS[name] for name in TEXTS if name in rules and rules[name].required}
    return body | ({"left": 40} if service == "outpaint" else {}) | more


def asked(service, body, seed=7):
    """What a body asks to paint."""
    family, model = FAMILIES["image-services"], SERVICES[service]
    parsed = parse(json.dumps(body).encode(), family.SCHEMAS[service])
    return family.picture_request(model, parsed, seed)


def answered(service, seed=7, **more):
    """The picture that a service answers with."""
    return Image.open(io.BytesIO(paint(asked(service, body_of(service, **more), seed))))


def refused(service, **more):
    """The message that refuses a body."""
    with pytest.raises(Refused) as error:
        asked(service, body_of(service, **more))
    return error.value.message


def test_each_is_called_by_its_profile():
    """In three Regions; there were thirteen in November 2026."""
    assert len(SERVICES) >= 13
    for model in SERVICES.values():
        for region in ("us-east-1", "us-east-2", "us-west-2"):
            assert resolve(model.id, region, made()) is model
        arn = f"arn:aws:bedrock:us-west-2:1:inference-profile/{model.id}"
        assert resolve(arn, "us-west-2", made()) is model


def test_the_model_behind_a_profile_cannot_be_called():
    """In the words of the service."""
    for identifier in (
        "stability.stable-outpaint-v1:0",
        "arn:aws:bedrock:us-west-2:1:foundation-model/stability.stable-outpaint-v1:0",
    ):
        with pytest.raises(
            Refused, match="on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t"
        ):
            resolve(identifier, "us-west-2", made())
    with pytest.raises(Refused, match="model identifier is invalid"):
        resolve("us.stability.stable-outpaint-v1:0", "eu-west-1", made())


@pytest.mark.parametrize("service", SERVICES)
def test_an_answer_depends_on_the_request_alone(service):
    """The same request and seed: the same bytes; a service without a seed never varies."""
    first, again = (paint(asked(service, body_of(service))) for _ in "12")
    other = paint(asked(service, body_of(service), seed=8))

    takes_seed = "seed" in FAMILIES["image-services"].SCHEMAS[service].rules
    assert first == again
    assert (first == other) is not takes_seed


@pytest.mark.parametrize(
    ("service", "more", "size"),
    [
        ("fast-upscale", {}, (640, 480)),
        ("creative-upscale", {}, (3840, 2880)),
        ("conservative-upscale", {}, (3840, 2880)),
        ("outpaint", {"right": 30, "down": 20}, (160 + 40 + 30, 140)),
        ("style-guide", {"aspect_ratio": "16:9"}, (1344, 768)),
        ("inpaint", {}, (160, 120)),
        ("style-transfer", {}, (160, 120)),
        ("remove-background", {}, (160, 120)),
    ],
)
def test_each_answer_has_its_size(service, more, size):
    """Four times as many pixels a side, 4K, what was added around it, or that of the image."""
    assert answered(service, **more).size == size


def test_a_background_becomes_transparent():
    """In PNG and WebP; JPEG has no such thing. What stands in front stays as it is."""
    for file_format in ("png", "webp"):
        cut = answered("remove-background", output_format=file_format)
        assert cut.mode == "RGBA"
        assert cut.getpixel((159, 60))[3] == 0
        assert cut.getpixel((60, 45))[3] == 255
    assert answered("remove-background", output_format="jpeg").mode == "RGB"


def test_an_upscale_shows_what_was_sent():
    """Not what the prompt says: the middle of the thing is as red as before."""
    for service in ("fast-upscale", "creative-upscale", "conservative-upscale"):
        large = answered(service).convert("RGB")
        width, height = large.size
        assert large.getpixel((width * 3 // 8, height * 3 // 8)) == pytest.approx(RED, abs=8)


def test_only_what_the_mask_shows_is_painted_anew():
    """White changes, black stays; without a mask the alpha of the image says it."""
    mask = Image.new("L", (160, 120))
    mask.paste(255, (0, 0, 80, 60))
    clear = Image.new("RGBA", (160, 120), (*TEAL, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 80, 60))
    for more in ({"mask": encoded(mask), "image": mug()}, {"image": encoded(clear)}):
        made_anew = answered("inpaint", **more).convert("RGB")
        before = Image.open(io.BytesIO(base64.b64decode(more["image"]))).convert("RGB")
        box = (81, 61, 160, 80)  # right of and below it, above the caption
        assert not ImageChops.difference(made_anew.crop(box), before.crop(box)).getbbox()
        assert made_anew.getpixel((40, 40)) != before.getpixel((40, 40))


def test_an_unknown_field_is_named_with_those_of_the_service():
    """As the service was seen to answer."""
    assert json.loads(refused("control-sketch", text_prompts=[])) == {
        "detail": "Invalid field 'text_prompts' in request. Available fields for control-sketch "
        "are: image, prompt, control_strength, negative_prompt, seed, output_format, style_preset"
    }


@pytest.mark.parametrize(
    ("service", "more", "message"),
    [
        ("fast-upscale", {"prompt": "a"}, "Available fields for fast-upscale are: image, output"),
        ("remove-background", {"seed": 1}, "Invalid field 'seed' in request."),
        (
            "creative-upscale",
            {"creativity": 0.6},
            malformed("#/creativity: 0.6 is not less or equal to 0.5"),
        ),
        ("outpaint", {"left": 0}, "one of left, right, up and down must not be 0"),
        ("inpaint", {"image": encoded(Image.new("RGB", (63, 80)))}, "Invalid image: a side"),
        ("inpaint", {"image": encoded(Image.new("RGB", (64, 161)))}, "aspect ratio"),
        ("inpaint", {"mask": "AAAA"}, "Invalid mask: not a PNG, JPEG or WebP picture in base64"),
        ("fast-upscale", {"image": encoded(Image.new("1", (1025, 1024)))}, "total pixels must be"),
    ],
)
def test_what_is_wrong_is_refused(service, more, message):
    """An unknown field, a value beyond its limits, an image of a wrong size."""
    assert message in refused(service, **more)
