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

from batchgen.models import FAMILIES, MODELS, Family, Model, Problem, Prompts

RATIOS = ["16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"]
SIZES = [(1024, 1024), (1152, 896), (1216, 832), (1344, 768), (1536, 640)]
SIZES += [(height, width) for width, height in SIZES[1:]]
NO_PROMPTS = Prompts(prompt=None, negative_prompt=None)

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
    reply: Callable[[bytes, int, str | None], dict[str, Any]]
    """The body of a reply with one image, seed and finish reason."""
    filter_reason: str


def stable_image_within_limits(model: Model, body: dict[str, Any]) -> bool:
    """Whether a body is what AWS's pages on Stable Image allow."""
    rules = {
        "prompt": lambda value: 1 <= len(value) <= 10_000,
        "negative_prompt": lambda value: 1 <= len(value) <= 10_000,
        "aspect_ratio": lambda value: value in RATIOS,
        "mode": lambda value: value == "text-to-image",
        "output_format": lambda value: value in model.output_formats,
        "seed": lambda value: type(value) is int and 1 <= value <= model.seed_max,
    }
    required = {"prompt", "output_format", "seed"} <= body.keys()
    return required and all(name in rules and rules[name](body[name]) for name in body)


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
    }
    required = {"text_prompts", "seed"} <= body.keys()
    return required and all(name in rules and rules[name](body[name]) for name in body)


def sdxl_text_within_limits(prompt: dict[str, Any]) -> bool:
    """Whether one of `text_prompts` is what AWS's page on SDXL allows."""
    right = prompt.keys() == {"text", "weight"} and type(prompt["weight"]) in (int, float)
    return right and math.isfinite(prompt["weight"]) and 1 <= len(prompt["text"]) <= 2_000


DOCUMENTED = {
    "stable-image": Documented(
        parameters={
            "aspect_ratio": st.sampled_from(RATIOS),
            "mode": st.just("text-to-image"),
            "negative_prompt": texts,
            "output_format": st.sampled_from(["png", "jpeg", "webp"]),
        },
        within_limits=stable_image_within_limits,
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

few = settings(max_examples=60)
"""For properties whose examples are large."""

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
every_family = pytest.mark.parametrize("name", FAMILIES)


def family_of(model: Model) -> Family:
    """The module that speaks for a model."""
    return FAMILIES[model.family]


def found(model: Model, prompts: Prompts, parameters: Mapping[str, Any]) -> list[Problem]:
    """All problems that a model's family finds."""
    return list(family_of(model).problems(model, prompts, parameters))


@st.composite
def right_requests(draw: st.DrawFn, family: str) -> tuple[Model, Prompts, dict[str, Any]]:
    """A model of the family, and texts and parameters that its pages allow."""
    model = draw(st.sampled_from(list(FAMILIES[family].MODELS.values())))
    parameters = draw(st.fixed_dictionaries({}, optional=DOCUMENTED[family].parameters))
    if "output_format" in parameters:
        parameters["output_format"] = draw(st.sampled_from(model.output_formats))
    if parameters.keys() & {"width", "height"}:
        parameters["width"], parameters["height"] = draw(st.sampled_from(SIZES))
    if "text_prompts" in parameters:
        parameters.pop("negative_prompt", None)
        return model, NO_PROMPTS, parameters
    prompts = st.builds(Prompts, prompt=said, negative_prompt=st.none() | texts)
    return model, draw(prompts), parameters


@st.composite
def any_requests(draw: st.DrawFn, family: str) -> tuple[Model, Prompts, dict[str, Any]]:
    """A model of the family, and what a careless or hostile job file may hold, some of it right."""
    model, prompts, parameters = draw(right_requests(family))
    names = st.sampled_from([*FAMILIES[family].PARAMETERS, "seed"]) | texts
    parameters |= draw(st.dictionaries(names, junk, max_size=2))
    anything = st.text(st.characters(), max_size=70)
    others = st.builds(Prompts, prompt=st.none() | anything, negative_prompt=st.none() | anything)
    return model, draw(st.just(prompts) | others), parameters
