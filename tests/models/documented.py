"""What the service's pages say of each family's requests and replies, stated anew for the tests.

Nothing here comes from the code under test. A new family adds itself to `DOCUMENTED`.
"""

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from batchgen.models import (
    FAMILIES,
    MODELS,
    Family,
    InputImage,
    Model,
    Parameter,
    Problem,
    Prompts,
)

RATIOS = ["16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"]
SIZES = [(1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640)]
SIZES += [(height, width) for width, height in SIZES[1:]]
NO_PROMPTS = Prompts(prompt=None, negative_prompt=None)
CAT = Prompts(prompt="a cat", negative_prompt=None)


def image(width: int, height: int, file_format: str = "png", file_bytes: int = 1_500_000):
    """An image file, as a plan finds it."""
    size = (width, height)
    path, sha256 = f"photos/mug.{file_format}", "ab" * 32
    return InputImage(path, sha256, size=size, file_format=file_format, file_bytes=file_bytes)


IMAGE = image(1024, 1024)
"""An image that every model takes which takes any."""

texts = st.text(max_size=30)
said = texts.filter(lambda text: text.strip() != "")
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
junk = st.one_of(
    json_values,
    st.floats(),
    st.binary(max_size=3),
    st.text(st.characters(), max_size=70),
    st.sampled_from([10**5000, -(10**400), 2**63]),
    st.dictionaries(st.integers(), st.integers(), max_size=2),
)


@dataclass(frozen=True)
class Documented:
    """The limits of one family, from the service's pages and not from the code under test."""

    parameters: Mapping[str, st.SearchStrategy[Any]]
    within_limits: Callable[[Model, dict[str, Any]], bool]
    complete: Callable[[Model, dict[str, Any]], dict[str, Any]]
    """Parameters, right one by one, with what they need beside them and without what they bar."""
    reply: Callable[[bytes, int, str | None], dict[str, Any]]
    """The body of a reply with one image, seed and finish reason."""
    filter_reason: str


def stable_image_within_limits(model: Model, body: dict[str, Any]) -> bool:
    """Whether a body is what AWS's pages on Stable Image allow."""
    rules = {
        "prompt": lambda value: 1 <= len(value) <= 10_000,
        "negative_prompt": lambda value: 1 <= len(value) <= 10_000,
        "aspect_ratio": lambda value: value in RATIOS and "image" not in body,
        "image": lambda value: value == IMAGE and "core" not in model.id,
        "mode": lambda value: value == f"{'image' if 'image' in body else 'text'}-to-image",
        "strength": lambda value: 0 <= value <= 1 and "image" in body,
        "output_format": lambda value: value in model.output_formats,
        "seed": lambda value: type(value) is int and 1 <= value <= model.seed_max,
    }
    required = {"prompt", "output_format", "seed"} <= body.keys()
    if "sd3" in model.id and "image" in body:
        required = required and {"strength", "mode"} <= body.keys()
    return required and all(name in rules and rules[name](body[name]) for name in body)


def complete_stable_image(model: Model, parameters: dict[str, Any]) -> dict[str, Any]:
    """As AWS's pages on image to image say."""
    if "strength" in parameters or parameters.get("mode") == "image-to-image":
        parameters["image"] = IMAGE
    if "image" in parameters:
        parameters["mode"] = "image-to-image"
        parameters.pop("aspect_ratio", None)
        if "sd3" in model.id:
            parameters.setdefault("strength", 0.5)
    return parameters


def complete_sdxl(_model: Model, parameters: dict[str, Any]) -> dict[str, Any]:
    """As AWS's pages on sizes, on image to image and on masks say."""
    sides = [name for name in ("width", "height") if name in parameters]
    if sides:
        value = parameters[sides[0]]
        size = next(size for size in SIZES if value == size[sides[0] == "height"])
        parameters["width"], parameters["height"] = size
    if parameters.keys() & {"mask_image", "mask_source"}:
        parameters.setdefault("mask_source", "MASK_IMAGE_WHITE")
        parameters["mask_image"] = IMAGE
    if parameters.keys() & {"init_image", "init_image_mode", "image_strength", "mask_image"}:
        parameters["init_image"] = IMAGE
        parameters = {k: v for k, v in parameters.items() if k not in ("width", "height")}
    if "text_prompts" in parameters:
        parameters.pop("negative_prompt", None)
    return parameters


def sdxl_within_limits(model: Model, body: dict[str, Any]) -> bool:
    """Whether a body is what AWS's page on SDXL text to image allows."""
    rules = {
        "text_prompts": lambda value: value != [] and all(map(sdxl_text_within_limits, value)),
        "cfg_scale": lambda value: type(value) in (int, float) and 0 <= value <= 35,
        "clip_guidance_preset": lambda value: value.isupper(),
        "height": lambda value: (body.get("width"), value) in SIZES,
        "width": lambda value: (value, body.get("height")) in SIZES,
        "sampler": lambda value: value.startswith(("DD", "K_")),
        "samples": lambda value: type(value) is int and value == 1,
        "seed": lambda value: type(value) is int and 1 <= value <= model.seed_max,
        "steps": lambda value: type(value) is int and 10 <= value <= 150,
        "style_preset": lambda value: value == value.lower(),
        "extras": lambda value: type(value) is dict,
        "init_image": lambda value: value == IMAGE and not body.keys() & {"width", "height"},
        "init_image_mode": lambda value: "init_image" in body and value.isupper(),
        "image_strength": lambda value: "init_image" in body and 0 <= value <= 1,
        "mask_image": lambda value: "mask_source" in body and value == IMAGE,
        "mask_source": lambda value: "init_image" in body and value.isupper(),
    }
    required = {"text_prompts", "seed"} <= body.keys()
    return required and all(name in rules and rules[name](body[name]) for name in body)


SERVICES = {
    "creative-upscale": ("image prompt", "creativity negative_prompt style_preset seed"),
    "conservative-upscale": ("image prompt", "creativity negative_prompt seed"),
    "fast-upscale": ("image", ""),
    "image-inpaint": ("image prompt", "mask grow_mask style_preset negative_prompt seed"),
    "outpaint": ("image", "left right up down creativity prompt style_preset seed"),
    "image-search-recolor": (
        "image prompt select_prompt",
        "grow_mask style_preset negative_prompt seed",
    ),
    "image-search-replace": (
        "image prompt search_prompt",
        "grow_mask style_preset negative_prompt seed",
    ),
    "image-erase-object": ("image", "mask grow_mask seed"),
    "image-remove-background": ("image", ""),
    "image-control-sketch": ("image prompt", "control_strength style_preset negative_prompt seed"),
    "image-control-structure": (
        "image prompt",
        "control_strength style_preset negative_prompt seed",
    ),
    "image-style-guide": (
        "image prompt",
        "aspect_ratio fidelity style_preset negative_prompt seed",
    ),
    "style-transfer": (
        "init_image style_image",
        "prompt composition_fidelity style_strength change_strength negative_prompt seed",
    ),
}
"""What each service must have and may have besides an output format, by the name in its id."""
BORDERS = ("left", "right", "up", "down")


def service_of(model: Model) -> str:
    """The name in the id of an image service."""
    return model.id.removeprefix("us.stability.stable-").removesuffix("-v1:0")


def services_within_limits(model: Model, body: dict[str, Any]) -> bool:
    """Whether a body is what AWS's page on the image services allows."""
    if service_of(model) not in SERVICES:  # then the simulator alone states its limits anew
        return True
    must, may = (set(names.split()) for names in SERVICES[service_of(model)])
    most = 0.5 if "upscale" in model.id else 1
    spans = {"creativity": (0.1, most), "change_strength": (0.1, 1), "grow_mask": (0, 20)}
    spans |= dict.fromkeys(BORDERS, (0, 2_000)) | {"seed": (1, 2**32 - 1)}
    for name, value in body.items():
        if type(value) in (int, float):
            low, high = spans.get(name, (0, 1))
            if not low <= value <= high:
                return False
    if "outpaint" in model.id and not any(body.get(side) for side in BORDERS):
        return False
    return must <= body.keys() <= must | may | {"output_format"}


def complete_service(model: Model, parameters: dict[str, Any]) -> dict[str, Any]:
    """As AWS's page on outpainting says."""
    if "outpaint" in model.id and not any(parameters.get(side) for side in BORDERS):
        parameters["left"] = 100
    return parameters


def sdxl_text_within_limits(prompt: dict[str, Any]) -> bool:
    """Whether one of `text_prompts` is what AWS's page on SDXL allows."""
    right = prompt.keys() == {"text", "weight"} and type(prompt["weight"]) in (int, float)
    return right and math.isfinite(prompt["weight"]) and 1 <= len(prompt["text"]) <= 2_000


DOCUMENTED = {
    "stable-image": Documented(
        parameters={
            "aspect_ratio": st.sampled_from(RATIOS),
            "image": st.just(IMAGE),
            "mode": st.sampled_from(["text-to-image", "image-to-image"]),
            "negative_prompt": texts,
            "output_format": st.sampled_from(["png", "jpeg", "webp"]),
            "strength": st.floats(0, 1) | st.integers(0, 1),
        },
        within_limits=stable_image_within_limits,
        complete=complete_stable_image,
        reply=lambda image, seed, reason: {
            "seeds": [seed],
            "finish_reasons": [reason],
            "images": [base64.b64encode(image).decode()],
        },
        filter_reason="Filter reason: output image",
    ),
    "sdxl": Documented(
        parameters={
            "cfg_scale": st.integers(0, 35) | st.floats(0, 35),
            "clip_guidance_preset": st.sampled_from(["FAST_BLUE", "NONE", "SLOWEST"]),
            "extras": st.dictionaries(texts, json_values, max_size=3),
            "height": st.sampled_from(sorted({height for _, height in SIZES})),
            "image_strength": st.floats(0, 1) | st.integers(0, 1),
            "init_image": st.just(IMAGE),
            "init_image_mode": st.sampled_from(["IMAGE_STRENGTH", "STEP_SCHEDULE"]),
            "mask_image": st.just(IMAGE),
            "mask_source": st.sampled_from(["MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK"]),
            "negative_prompt": texts,
            "sampler": st.sampled_from(["DDIM", "K_DPM_2_ANCESTRAL", "K_LMS"]),
            "samples": st.just(1),
            "steps": st.integers(10, 150),
            "style_preset": st.sampled_from(["3d-model", "photographic", "tile-texture"]),
            "text_prompts": st.lists(
                st.fixed_dictionaries({"text": said}, optional={"weight": numbers}),
                min_size=1,
                max_size=3,
            ),
            "width": st.sampled_from(sorted({width for width, _ in SIZES})),
        },
        within_limits=sdxl_within_limits,
        complete=complete_sdxl,
        reply=lambda image, seed, reason: {
            "result": "success",
            "artifacts": [
                {
                    "seed": seed,
                    "base64": base64.b64encode(image).decode(),
                    "finishReason": reason or "SUCCESS",
                }
            ],
        },
        filter_reason="CONTENT_FILTERED",
    ),
}

DOCUMENTED["image-services"] = Documented(
    parameters={
        "aspect_ratio": st.sampled_from(RATIOS),
        "change_strength": st.floats(0.1, 1),
        "composition_fidelity": st.floats(0, 1),
        "control_strength": st.floats(0, 1) | st.integers(0, 1),
        "creativity": st.floats(0.1, 0.5),
        **dict.fromkeys(BORDERS, st.integers(0, 2_000)),
        "fidelity": st.floats(0, 1),
        "grow_mask": st.integers(0, 20),
        "image": st.just(IMAGE),
        "init_image": st.just(IMAGE),
        "mask": st.just(IMAGE),
        "negative_prompt": texts,
        "output_format": st.sampled_from(["png", "jpeg", "webp"]),
        "search_prompt": said,
        "select_prompt": said,
        "style_image": st.just(IMAGE),
        "style_preset": st.sampled_from(["3d-model", "photographic", "tile-texture"]),
        "style_strength": st.floats(0, 1),
    },
    within_limits=services_within_limits,
    complete=complete_service,
    reply=DOCUMENTED["stable-image"].reply,
    filter_reason="Filter reason: input image",
)

few = settings(max_examples=60)
"""For properties whose examples are large."""
fewer = settings(max_examples=25)
"""For properties of each of the many models."""

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
every_family = pytest.mark.parametrize("name", FAMILIES)


def family_of(model: Model) -> Family:
    """The module that speaks for a model."""
    return FAMILIES[model.family]


def found(model: Model, prompts: Prompts, parameters: Mapping[str, Any]) -> list[Problem]:
    """All problems that a model's family finds."""
    return list(family_of(model).problems(model, prompts, parameters))


def of_model(model: Model) -> dict[str, st.SearchStrategy[Any]]:
    """The documented values of what one model takes."""
    known = DOCUMENTED[model.family].parameters
    values = {
        name: known[name] if name in known else st.sampled_from(right(parameter))
        for name, parameter in model.parameters.items()
        if name != "mode"
    }
    if "mode" in model.parameters:
        takes_image = "image" in model.parameters
        values["mode"] = known["mode"] if takes_image else st.just("text-to-image")
    values["output_format"] = st.sampled_from(model.output_formats)
    return {name: values[name] for name in model.parameters}


def right(parameter: Parameter) -> list[Any]:
    """Values at the edges of what a parameter may be, as its own table says."""
    check: Any = parameter.check
    match parameter.kind:
        case "number" | "whole number" if check.span is not None:
            return list(check.span)
        case "choice":
            return list(check.names)
        case "text":
            return ["x", "x" * check.longest]
        case "image":
            return [IMAGE]
        case _:
            return []


def completed(model: Model, parameters: dict[str, Any]) -> dict[str, Any]:
    """A right request with these parameters."""
    needed = {"image": IMAGE, "init_image": IMAGE, "style_image": IMAGE}
    for name, parameter in model.parameters.items():
        if parameter.required:
            parameters.setdefault(name, needed.get(name, "the mug"))
    return DOCUMENTED[model.family].complete(model, parameters)


def minimal(model: Model) -> tuple[Prompts, dict[str, Any]]:
    """The shortest right request."""
    return CAT if model.prompt is not None else NO_PROMPTS, completed(model, {})


@st.composite
def right_requests(draw: st.DrawFn, family: str) -> tuple[Model, Prompts, dict[str, Any]]:
    """A model of the family, and texts and parameters that its pages allow."""
    model = draw(st.sampled_from(list(FAMILIES[family].MODELS.values())))
    parameters = draw(st.fixed_dictionaries({}, optional=of_model(model)))
    parameters = completed(model, parameters)
    if "text_prompts" in parameters or model.prompt is None:
        return model, NO_PROMPTS, parameters
    takes_negative = "negative_prompt" in model.parameters
    negative = st.none() | texts if takes_negative else st.none()
    return model, draw(st.builds(Prompts, prompt=said, negative_prompt=negative)), parameters


@st.composite
def any_requests(draw: st.DrawFn, family: str) -> tuple[Model, Prompts, dict[str, Any]]:
    """A model of the family, and what a careless or hostile job file may hold, some of it right."""
    model, prompts, parameters = draw(right_requests(family))
    names = st.sampled_from([*model.parameters, "seed"]) | texts
    parameters |= draw(st.dictionaries(names, junk, max_size=2))
    anything = st.text(st.characters(), max_size=70)
    others = st.builds(Prompts, prompt=st.none() | anything, negative_prompt=st.none() | anything)
    return model, draw(st.just(prompts) | others), parameters
