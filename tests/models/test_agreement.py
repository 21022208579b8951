"""batchgen's table of a model and the simulator's, which share no code, allow the same."""

import base64
import io
import json
from functools import cache

from documented import CAT, NO_PROMPTS, completed, every_model, minimal, right
from PIL import Image

from batchgen.models import FAMILIES, InputImage
from batchgen.simulator import families as simulated
from batchgen.simulator.errors import Refused
from batchgen.simulator.models import MODELS
from batchgen.simulator.rules import parse


def on_the_wire(value):
    """A value of a request as it is sent."""
    if not isinstance(value, dict) or value.keys() != {"path", "sha256"}:
        return value
    return picture(getattr(value, "size", (1024, 1024)))


@cache
def picture(size):
    """A flat picture of this size in base64."""
    file = io.BytesIO()
    Image.new("1", size).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def is_accepted(model, parameters):
    """Whether the simulator takes what batchgen builds."""
    family, known = FAMILIES[model.family], MODELS[model.id]
    prompts = CAT if model.prompt is not None and model.prompt.required else NO_PROMPTS
    body = family.build(model, prompts, parameters, 7)
    sent = {name: on_the_wire(value) for name, value in body.items()}
    other = simulated.FAMILIES[known.family]
    try:
        parsed = parse(json.dumps(sent).encode(), other.SCHEMAS[known.schema])
        other.picture_request(known, parsed, 7)
    except Refused:
        return False
    return True


def beyond(parameter):
    """Values just beyond what is allowed."""
    check = parameter.check
    match parameter.kind:
        case "number" | "whole number" if check.span is not None:
            return [check.span[0] - 1, check.span[1] + 1]
        case "choice":
            return ["nothing-like-it"]
        case "text":
            return ["x" * (check.longest + 1)]
        case _:
            return []


@every_model
def test_the_shortest_request_is_taken(model):
    """With nothing but what a model needs; a further field is unknown to both."""
    assert is_accepted(model, minimal(model)[1])
    assert not is_accepted(model, {**minimal(model)[1], "qwerty": 1})


@every_model
def test_both_know_the_same_edges(model):
    """Each parameter at its lowest, highest and every named value, and beyond them."""
    for name, parameter in model.parameters.items():
        values = right(parameter)
        for value in values:
            assert is_accepted(model, completed(model, {name: value})), (name, value)
        for value in beyond(parameter):
            given = {**completed(model, {name: values[0]}), name: value}
            assert parameter((name,), value)
            assert not is_accepted(model, given), (name, value)


@every_model
def test_both_need_the_same(model):
    """Without any of what is required both refuse."""
    least = minimal(model)[1]
    for name in [name for name, each in model.parameters.items() if each.required]:
        without = {key: value for key, value in least.items() if key != name}
        assert not is_accepted(model, without)


SIZES = [(32, 32), (31, 40), (63, 64), (64, 64), (64, 160), (64, 161), (1025, 1024), (1024, 1024)]
SIZES += [(1537, 600), (3072, 3072), (3073, 3072), (640, 640), (1536, 1536)]


@every_model
def test_both_take_the_same_images(model):
    """Of every size around a limit; SD3's old 640 to 1536 pixels a side are batchgen's alone."""
    name = next((name for name, each in model.parameters.items() if each.kind == "image"), None)
    if name is None or "sd3-large" in model.id:
        return
    for size in SIZES:
        image = InputImage("a.png", "00" * 32, size=size, file_format="png", file_bytes=100)
        given = {**completed(model, {name: image}), name: image}
        taken = not model.parameters[name]((name,), image)
        if model.family != "sdxl" or taken:
            assert is_accepted(model, given) == taken, size


@every_model
def test_price_and_quota_are_the_same(model):
    """And so are Regions and titles."""
    known = MODELS[model.id]
    assert (known.price, known.rpm, known.title) == (
        model.price_usd,
        model.requests_per_minute,
        model.title,
    )
    assert known.regions == model.regions
    assert known.quota_title in (None, model.quota_title)


def test_both_know_the_same_models():
    """None is on one side alone."""
    mine = {model_id for family in FAMILIES.values() for model_id in family.MODELS}
    assert mine == set(MODELS)
