"""Stable Diffusion XL: weighted text prompts, one image in `artifacts`.

Source: AWS Bedrock User Guide, "Stability.ai Diffusion 1.0 text to image" and its neighbours.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from batchgen.simulator.calls import PLACEHOLDER, Finish, Result, assemble
from batchgen.simulator.errors import Refused
from batchgen.simulator.pictures.request import PictureRequest
from batchgen.simulator.rules import Rule, Schema

from .base import MOST_SEED, STYLE_PRESET, Model, canonical, decode

_FIRST_REGIONS = ("us-east-1", "us-west-2")
MODELS = (
    Model(
        id="stability.stable-diffusion-xl-v1",
        title="SDXL 1.0",
        family="sdxl",
        schema="sdxl",
        regions=_FIRST_REGIONS,
        rpm=60,
        quota_code="L-CC58F0A8",
        quota_title="Stability.ai Stable Diffusion XL 1.0",
        price=Decimal("0.04"),
        price_many_steps=Decimal("0.08"),
        latency=(3, 7),
        retired=True,
    ),
    *(
        Model(
            id=identifier,
            title="SDXL 0.8",
            family="sdxl",
            schema="sdxl",
            regions=_FIRST_REGIONS,
            rpm=60,
            quota_code="L-3849F0B7",
            quota_title=title,
            price=Decimal("0.036"),
            price_many_steps=Decimal("0.072"),
            latency=(3, 7),
            retired=True,
        )
        for identifier, title in (
            ("stability.stable-diffusion-xl", None),
            ("stability.stable-diffusion-xl-v0", "Stability.ai Stable Diffusion XL 0.8"),
        )
    ),
)
_SIZES = (
    (1024, 1024),
    (1152, 896),
    (1216, 832),
    (1344, 768),
    (1536, 640),
    (640, 1536),
    (768, 1344),
    (832, 1216),
    (896, 1152),
)
_PICTURE = Rule(type="String")
_SDXL = {
    "text_prompts": Rule(
        type="JSONArray",
        required=True,
        fewest=1,
        items={
            "text": Rule(type="String", longest=2000, required=True),
            "weight": Rule(type="Number"),
        },
    ),
    "cfg_scale": Rule(type="Number", least=0, most=35),
    "clip_guidance_preset": Rule(
        type="String",
        choices=("FAST_BLUE", "FAST_GREEN", "NONE", "SIMPLE", "SLOW", "SLOWER", "SLOWEST"),
    ),
    "height": Rule(type="Integer", step=64),
    "width": Rule(type="Integer", step=64),
    "sampler": Rule(
        type="String",
        choices=(
            "DDIM",
            "DDPM",
            "K_DPMPP_2M",
            "K_DPMPP_2S_ANCESTRAL",
            "K_DPM_2",
            "K_DPM_2_ANCESTRAL",
            "K_EULER",
            "K_EULER_ANCESTRAL",
            "K_HEUN",
            "K_LMS",
        ),
    ),
    "samples": Rule(type="Integer", least=1, most=1),
    "seed": Rule(type="Integer", least=0, most=MOST_SEED),
    "steps": Rule(type="Integer", least=10, most=150),
    "style_preset": STYLE_PRESET,
    "extras": Rule(type="JSONObject"),
    "init_image": _PICTURE,
    "init_image_mode": Rule(type="String", choices=("IMAGE_STRENGTH", "STEP_SCHEDULE")),
    "image_strength": Rule(type="Number", least=0, most=1),
    "step_schedule_start": Rule(type="Number", least=0, most=1),
    "step_schedule_end": Rule(type="Number", least=0, most=1),
    "mask_source": Rule(
        type="String", choices=("MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK", "INIT_IMAGE_ALPHA")
    ),
    "mask_image": _PICTURE,
}
SCHEMAS = MappingProxyType(
    {
        "sdxl": Schema(
            rules=_SDXL,
            sizes=_SIZES,
            needs={"mask_image": ("init_image", "mask_source"), "mask_source": ("init_image",)},
            excludes={"init_image": ("width", "height")},
        ),
    }
)
FILTERED_WORDS = (
    "invalid_prompts\nsagemaker_inference.errors.BaseInferenceToolkitError: "
    "(400, 'invalid_prompts', 'One or more prompts contains filtered words.')"
)
_WORDS = {
    Finish.DONE: "SUCCESS",
    Finish.OUTPUT: "CONTENT_FILTERED",
    Finish.INPUT: "CONTENT_FILTERED",
    Finish.ERROR: "ERROR",
}


def prompts(body: dict[str, Any]) -> str:
    """The positive text prompts, one after the other."""
    return ", ".join(part["text"] for part in body["text_prompts"] if part.get("weight", 1) > 0)


def picture_request(model: Model, body: dict[str, Any], seed: int) -> PictureRequest:
    """What to paint, from text or from `init_image`."""
    asked = PictureRequest(
        model=model.title,
        request=canonical(body),
        prompt=prompts(body),
        seed=seed,
        size=(body.get("width", 1024), body.get("height", 1024)),
        format="png",
    )
    if "mask_image" in body:
        decode(body["mask_image"], "mask_image")
    if "init_image" not in body:
        return asked
    source, width, height = decode(body["init_image"], "init_image")
    # `image_strength` near 1 keeps the source: the opposite of the request's sense.
    strength = 1 - float(body.get("image_strength", 0.35))
    return replace(asked, size=(width, height), source=source, strength=strength)


def ended(finish: Finish, result: Result) -> Result:
    """A refused prompt is an error here; a refused picture is sent all the same, blurred."""
    if finish is Finish.PROMPT:
        raise Refused("ValidationException", FILTERED_WORDS)
    picture = None if finish is Finish.ERROR else result.artifacts[0].picture
    last = replace(result.artifacts[0], finish=finish, picture=picture)
    return replace(result, artifacts=(last,))


def answer(result: Result) -> tuple[bytes, ...]:
    """`result` and `artifacts`."""
    artifacts: list[dict[str, Any]] = []
    for artifact in result.artifacts:
        shown: dict[str, Any] = {"seed": artifact.seed} if result.shows_seeds else {}
        if artifact.picture:
            shown["base64"] = PLACEHOLDER
        shown["finishReason"] = artifact.words or _WORDS[artifact.finish]
        artifacts.append(shown)
    document = {"result": "success", "artifacts": artifacts, **result.extra}
    return assemble(document, [a.picture for a in result.artifacts if a.picture])
