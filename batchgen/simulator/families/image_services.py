"""Stability AI's thirteen image services: each takes one or two pictures and answers with one.

Source: AWS Bedrock User Guide, "Stability AI Image Services"; what a size is wrong for is said in
words of our own, for those of the service are not published.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchgen.simulator.pictures.request import Edit, PictureRequest
from batchgen.simulator.rules import Rule, Schema

from . import stable_image
from .base import MOST_PIXELS, MOST_SEED, STYLE_PRESET, Model, canonical, decode, refused_picture

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT = Rule(type="String", longest=10_000)
_NEEDED_TEXT = Rule(type="String", longest=10_000, required=True)
_PICTURE = Rule(type="String")
_NEEDED_PICTURE = Rule(type="String", required=True)
_SEED = Rule(type="Integer", least=0, most=MOST_SEED)
_FORMAT = Rule(type="String", choices=("jpeg", "png", "webp"))
_SHARE = Rule(type="Number", least=0, most=1)
_LARGE_SHARE = Rule(type="Number", least=0.1, most=1)
_CREATIVITY = Rule(type="Number", least=0.1, most=0.5)
_GROW = Rule(type="Integer", least=0, most=20)
_BORDER = Rule(type="Integer", least=0, most=2_000)
_BORDERS = ("left", "right", "up", "down")
_SLOW = (8.0, 20.0)
_QUICK = (2.0, 6.0)
_FOUR_K = 3_840
"""Pixels of the longer side after an upscale that is not by a factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """What a picture that is sent may measure."""

    sides: tuple[int, int] = (64, MOST_PIXELS)
    pixels: tuple[int, int] = (1, MOST_PIXELS)
    ratio: float | None = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    """One service."""

    id: str
    """Without its geography, provider and version."""
    title: str
    price: str
    rpm: int = 10
    rules: Mapping[str, Rule]
    """In the order in which the service lists the fields it knows."""
    limits: _Limits = field(default_factory=_Limits)
    edit: Edit | None = None
    strength: str | None = None
    """The field that says how much is changed, for one that blends."""
    latency: tuple[float, float] = _QUICK


# Fields that stand together, in this order, in the bodies of several services.
_IMAGE = {"image": _NEEDED_PICTURE}
_DRAWN = {**_IMAGE, "prompt": _NEEDED_TEXT}
_NEGATIVE = {"negative_prompt": _TEXT}
_SEEDED = {"seed": _SEED, "output_format": _FORMAT}
_STYLED = {**_SEEDED, "style_preset": STYLE_PRESET}
_CONTROL = {**_DRAWN, "control_strength": _SHARE, **_NEGATIVE, **_STYLED}


_SERVICES: Mapping[str, _Service] = {
    "creative-upscale": _Service(
        id="stable-creative-upscale",
        title="Creative Upscale",
        price="0.60",
        rpm=2,
        rules={**_DRAWN, "creativity": _CREATIVITY, **_NEGATIVE, **_STYLED},
        limits=_Limits(pixels=(4_096, 1_048_576)),
        edit=Edit.ENLARGE,
        latency=_SLOW,
    ),
    "conservative-upscale": _Service(
        id="stable-conservative-upscale",
        title="Conservative Upscale",
        price="0.40",
        rpm=2,
        rules={**_DRAWN, "creativity": _CREATIVITY, **_NEGATIVE, **_SEEDED},
        edit=Edit.ENLARGE,
        latency=_SLOW,
    ),
    "fast-upscale": _Service(
        id="stable-fast-upscale",
        title="Fast Upscale",
        price="0.03",
        rules={**_IMAGE, "output_format": _FORMAT},
        limits=_Limits(sides=(32, 1_536), pixels=(1_024, 1_048_576), ratio=None),
        edit=Edit.ENLARGE,
    ),
    "inpaint": _Service(
        id="stable-image-inpaint",
        title="Inpaint",
        price="0.07",
        rules={**_DRAWN, "mask": _PICTURE, "grow_mask": _GROW, **_NEGATIVE, **_STYLED},
        edit=Edit.FILL,
    ),
    "outpaint": _Service(
        id="stable-outpaint",
        title="Outpaint",
        price="0.06",
        rpm=2,
        rules={
            **_IMAGE,
            **dict.fromkeys(_BORDERS, _BORDER),
            "creativity": _LARGE_SHARE,
            "prompt": _TEXT,
            **_STYLED,
        },
        edit=Edit.EXTEND,
    ),
    "search-and-recolor": _Service(
        id="stable-image-search-recolor",
        title="Search and Recolor",
        price="0.07",
        rules={**_DRAWN, "select_prompt": _NEEDED_TEXT, "grow_mask": _GROW, **_NEGATIVE, **_STYLED},
        edit=Edit.FILL,
    ),
    "search-and-replace": _Service(
        id="stable-image-search-replace",
        title="Search and Replace",
        price="0.07",
        rules={**_DRAWN, "search_prompt": _NEEDED_TEXT, "grow_mask": _GROW, **_NEGATIVE, **_STYLED},
        edit=Edit.FILL,
    ),
    "erase-object": _Service(
        id="stable-image-erase-object",
        title="Erase Object",
        price="0.07",
        rules={**_IMAGE, "mask": _PICTURE, "grow_mask": _GROW, **_SEEDED},
        edit=Edit.FILL,
    ),
    "remove-background": _Service(
        id="stable-image-remove-background",
        title="Remove Background",
        price="0.07",
        rules={**_IMAGE, "output_format": _FORMAT},
        edit=Edit.CUT_OUT,
    ),
    "control-sketch": _Service(
        id="stable-image-control-sketch",
        title="Control Sketch",
        price="0.07",
        rules=_CONTROL,
        strength="control_strength",
    ),
    "control-structure": _Service(
        id="stable-image-control-structure",
        title="Control Structure",
        price="0.07",
        rules=_CONTROL,
        strength="control_strength",
    ),
    "style-guide": _Service(
        id="stable-image-style-guide",
        title="Style Guide",
        price="0.07",
        rules={
            **_DRAWN,
            "aspect_ratio": Rule(type="String", choices=tuple(stable_image.ASPECT_RATIOS)),
            "fidelity": _SHARE,
            **_NEGATIVE,
            **_STYLED,
        },
        strength="fidelity",
    ),
    "style-transfer": _Service(
        id="stable-style-transfer",
        title="Style Transfer",
        price="0.08",
        rules={
            "init_image": _NEEDED_PICTURE,
            "style_image": _NEEDED_PICTURE,
            "prompt": _TEXT,
            **_NEGATIVE,
            "composition_fidelity": _SHARE,
            "style_strength": _SHARE,
            "change_strength": _LARGE_SHARE,
            **_SEEDED,
        },
        strength="composition_fidelity",
    ),
}
MODELS = tuple(
    Model(
        id=f"us.stability.{service.id}-v1:0",
        title=f"Stable Image {service.title}",
        family="image-services",
        schema=name,
        regions=("us-east-1", "us-east-2", "us-west-2"),
        rpm=service.rpm,
        quota_code=f"L-C0DE5E{number:02d}",
        quota_title=f"Stable Image {service.title}",
        price=Decimal(service.price),
        latency=service.latency,
        by_profile=True,
    )
    for number, (name, service) in enumerate(_SERVICES.items(), start=1)
)
SCHEMAS = MappingProxyType(
    {
        name: Schema(rules=service.rules, names_fields=True, service=name)
        for name, service in _SERVICES.items()
    }
)


def prompts(body: dict[str, Any]) -> str:
    """The prompt, where there is one."""
    text: str = body.get("prompt", "")
    return text


def picture_request(model: Model, body: dict[str, Any], seed: int) -> PictureRequest:
    """What to make of the pictures that were sent; without a seed the same each time."""
    service = _SERVICES[model.schema]
    first = "init_image" if "init_image" in body else "image"
    for name in ("style_image", "mask"):
        if name in body:
            _require_size(name, decode(body[name], name)[1:], service.limits)
    source, *size = decode(body[first], first)
    _require_size(first, size, service.limits)
    if model.schema == "outpaint" and not any(body.get(side) for side in _BORDERS):
        raise refused_picture("Invalid request: one of left, right, up and down must not be 0")
    asked = PictureRequest(
        model=model.title,
        request=canonical(body),
        prompt=prompts(body),
        seed=seed if "seed" in service.rules else 0,
        size=(size[0], size[1]),
        format=body.get("output_format", "png"),
        source=source,
        strength=1 - float(body.get(service.strength or "", 0.7)),
        edit=service.edit,
        mask=decode(body["mask"], "mask")[0] if "mask" in body else None,
        offset=(body.get("left", 0), body.get("up", 0)),
    )
    return replace(asked, size=_size(model.schema, body, asked.size))


# A service's refusals and replies have the form of Stable Image.
ended, answer = stable_image.ended, stable_image.answer


def _require_size(name: str, size: Any, limits: _Limits) -> None:
    width, height = size
    least, most = limits.sides
    fewest, largest = limits.pixels
    if not (least <= min(width, height) and max(width, height) <= most):
        raise refused_picture(f"Invalid {name}: a side has fewer or more pixels than allowed")
    if not fewest <= width * height <= largest:
        raise refused_picture(f"Invalid {name}: total pixels must be {fewest} to {largest}")
    if limits.ratio is not None and max(width, height) > limits.ratio * min(width, height):
        raise refused_picture(f"Invalid {name}: aspect ratio must be 1:2.5 to 2.5:1")


def _size(schema: str, body: dict[str, Any], size: tuple[int, int]) -> tuple[int, int]:
    """Of the answer's picture."""
    width, height = size
    if schema == "fast-upscale":
        return 4 * width, 4 * height
    if schema.endswith("upscale"):
        factor = max(_FOUR_K / max(size), 1)
        return round(width * factor), round(height * factor)
    if schema == "outpaint":
        left, right, up, down = (body.get(side, 0) for side in _BORDERS)
        return width + left + right, height + up + down
    if schema == "style-guide":
        return stable_image.ASPECT_RATIOS[body.get("aspect_ratio", "1:1")]
    return size
