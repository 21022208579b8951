"""Stable Image Core and Ultra, Stable Diffusion 3 and 3.5 Large: one flat request, one image.

Source: AWS Bedrock User Guide, "Stability.ai Stable Image ... request and response" pages.
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

from .base import MOST_SEED, OREGON, Model, canonical, decode, refused_picture

ASPECT_RATIOS = MappingProxyType(
    {
        "16:9": (1344, 768),
        "1:1": (1024, 1024),
        "21:9": (1536, 640),
        "2:3": (832, 1216),
        "3:2": (1216, 832),
        "4:5": (896, 1088),
        "5:4": (1088, 896),
        "9:16": (768, 1344),
        "9:21": (640, 1536),
    }
)
"""Width and height; AWS publishes only the ratios, these are the usual sizes of one megapixel."""
_CORE_1_1 = Model(
    id="stability.stable-image-core-v1:1",
    title="Stable Image Core 1.1",
    family="stable-image",
    schema="core",
    regions=OREGON,
    rpm=90,
    quota_code="L-C0DE0C11",
    quota_title="Stability.ai Stable Image Core",
    price=Decimal("0.04"),
    latency=(2.2, 4.6),
)
_ULTRA_1_1 = replace(
    _CORE_1_1,
    id="stability.stable-image-ultra-v1:1",
    title="Stable Image Ultra 1.1",
    schema="ultra",
    rpm=10,
    quota_code="L-C0DE0A11",
    quota_title="Stability.ai Stable Image Ultra",
    price=Decimal("0.14"),
    latency=(6, 14),
)
_SD3_5_LARGE = replace(
    _CORE_1_1,
    id="stability.sd3-5-large-v1:0",
    title="Stable Diffusion 3.5 Large",
    schema="sd3.5",
    rpm=15,
    quota_code="L-C0DE0D35",
    quota_title="Stability.ai Stable Diffusion 3.5 Large",
    price=Decimal("0.08"),
    latency=(5, 10),
)
MODELS = (
    _CORE_1_1,
    replace(
        _CORE_1_1,
        id="stability.stable-image-core-v1:0",
        title="Stable Image Core 1.0",
        quota_code="L-C0DE0C10",
        quota_title=None,
        retired=True,
    ),
    _ULTRA_1_1,
    replace(
        _ULTRA_1_1,
        id="stability.stable-image-ultra-v1:0",
        title="Stable Image Ultra 1.0",
        quota_code="L-C0DE0A10",
        quota_title=None,
        retired=True,
    ),
    _SD3_5_LARGE,
    replace(
        _SD3_5_LARGE,
        id="stability.sd3-large-v1:0",
        title="Stable Diffusion 3 Large",
        schema="sd3",
        quota_code="L-C0DE0D30",
        quota_title="Stability.ai Stable Diffusion 3 Large",
        retired=True,
    ),
)
_SEED = Rule(type="Integer", least=0, most=MOST_SEED)
_TEXT = Rule(type="String", longest=10_000)
_PICTURE = Rule(type="String")
_PNG_OR_JPEG = Rule(type="String", choices=("jpeg", "png"), any_case=True)
_ANY_FORMAT = Rule(type="String", choices=("jpeg", "png", "webp"), any_case=True)
_MODE = Rule(type="String", choices=("text-to-image", "image-to-image"))

_ULTRA = {
    "prompt": Rule(type="String", longest=10_000, required=True),
    "negative_prompt": _TEXT,
    "mode": _MODE,
    "strength": Rule(type="Number", least=0, most=1),
    "seed": _SEED,
    "output_format": _PNG_OR_JPEG,
    "image": _PICTURE,
    "aspect_ratio": Rule(type="String", choices=tuple(ASPECT_RATIOS)),
}
"""In the order in which the service lists the fields it knows."""
_CORE = {
    **{name: rule for name, rule in _ULTRA.items() if name not in {"strength", "image"}},
    "mode": Rule(type="String", choices=("text-to-image",)),
    "output_format": _ANY_FORMAT,
}
_SD35 = {
    **_ULTRA,
    "seed": Rule(type="Integer", least=0, most=4_294_967_294),
    "output_format": _ANY_FORMAT,
}
SCHEMAS = MappingProxyType(
    {
        "core": Schema(rules=_CORE, names_fields=True),
        "ultra": Schema(rules=_ULTRA, names_fields=True),
        "sd3": Schema(rules=_ULTRA, names_fields=True, needs={"image": ("strength",)}),
        "sd3.5": Schema(rules=_SD35, names_fields=True, needs={"image": ("strength",)}),
    }
)
_WORDS = {
    Finish.DONE: None,
    Finish.PROMPT: "Filter reason: prompt",
    Finish.OUTPUT: "Filter reason: output image",
    Finish.INPUT: "Filter reason: input image",
    Finish.ERROR: "Inference error",
}
_SHORTEST_SIDE = 64


def prompts(body: dict[str, Any]) -> str:
    """The one prompt."""
    text: str = body["prompt"]
    return text


def picture_request(model: Model, body: dict[str, Any], seed: int) -> PictureRequest:
    """What to paint, from text or from `image`."""
    asked = PictureRequest(
        model=model.title,
        request=canonical(body),
        prompt=body["prompt"],
        seed=seed,
        size=ASPECT_RATIOS[body.get("aspect_ratio", "1:1")],
        format=body.get("output_format", "png").lower(),
    )
    if "image" in body:
        return _from_picture(asked, body)
    if body.get("mode") == "image-to-image":
        raise Refused(
            "ValidationException",
            "Malformed input request: #: required key [image] not found, "
            "please reformat your input and try again.",
        )
    return asked


def ended(finish: Finish, result: Result) -> Result:
    """A finish reason alone: neither seeds nor images come with it."""
    first = replace(result.artifacts[0], finish=finish, picture=None)
    return replace(result, artifacts=(first,), shows_seeds=False)


def answer(result: Result) -> tuple[bytes, ...]:
    """`seeds`, `finish_reasons` and `images`."""
    document: dict[str, Any] = {}
    if result.shows_seeds:
        document["seeds"] = [artifact.seed for artifact in result.artifacts]
    document["finish_reasons"] = [
        artifact.words or _WORDS[artifact.finish] for artifact in result.artifacts
    ]
    pictures = [artifact.picture for artifact in result.artifacts if artifact.picture]
    if pictures or result.finish is Finish.DONE:
        document["images"] = [PLACEHOLDER] * len(pictures)
    return assemble({**document, **result.extra}, pictures)


def _from_picture(asked: PictureRequest, body: dict[str, Any]) -> PictureRequest:
    source, width, height = decode(body["image"], "image")
    if min(width, height) < _SHORTEST_SIDE:
        raise refused_picture(f"Invalid image: each side must have {_SHORTEST_SIDE} pixels or more")
    return replace(
        asked, size=(width, height), source=source, strength=float(body.get("strength", 0.35))
    )
