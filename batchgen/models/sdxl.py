"""Stability AI's SDXL: past its end of life on Bedrock, alive in the simulator and old manifests.

Limits and the shape of a reply: AWS Bedrock User Guide, "Stability.ai Diffusion 1.0 text to image".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from batchgen.models import replies
from batchgen.models.aspect_ratios import near_size, nearest_sizes, no_such_shape
from batchgen.models.base import (
    Asked,
    InputImage,
    LifeCycle,
    Model,
    Parameter,
    Parts,
    Problem,
    Prompts,
    Reply,
    ReplyError,
)
from batchgen.models.combinations import excludes, needs, of_parameters, of_texts, one_prompt
from batchgen.models.constraints import (
    Choice,
    Fields,
    Image,
    JsonObject,
    ListOf,
    Number,
    Text,
    Whole,
    plain,
)
from batchgen.models.replies import Entry
from batchgen.text import quoted

NAME = "sdxl"

TEXT_LONGEST = 2_000
SIZES = (
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
"""Width and height; no others go together."""
DEFAULT_SIZE = (1024, 1024)
"""Where a body does not say."""
PRESETS = ("FAST_BLUE", "FAST_GREEN", "NONE", "SIMPLE", "SLOW", "SLOWER", "SLOWEST")
SAMPLERS = (
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
)
STYLES = (
    "3d-model",
    "analog-film",
    "anime",
    "cinematic",
    "comic-book",
    "digital-art",
    "enhance",
    "fantasy-art",
    "isometric",
    "line-art",
    "low-poly",
    "modeling-compound",
    "neon-punk",
    "origami",
    "photographic",
    "pixel-art",
    "tile-texture",
)
CHEAP_STEPS = 50
"""More steps than this cost twice as much, at every size of either version."""

_TEXT_PROMPT = Fields(
    owner="a text prompt",
    checks={"text": Text(longest=TEXT_LONGEST), "weight": Number()},
    required=("text",),
)
MASK_SOURCES = ("MASK_IMAGE_WHITE", "MASK_IMAGE_BLACK", "INIT_IMAGE_ALPHA")
_PROMPT = Parameter(check=Text(longest=TEXT_LONGEST), required=True)
_PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "cfg_scale": Parameter(check=Number(span=(0, 35)), default=7),
        "clip_guidance_preset": Parameter(check=Choice(names=PRESETS)),
        "extras": Parameter(check=JsonObject()),
        "height": Parameter(check=Whole(), default=DEFAULT_SIZE[1]),
        "image_strength": Parameter(check=Number(span=(0, 1))),
        "init_image": Parameter(check=Image()),
        "init_image_mode": Parameter(
            check=Choice(names=("IMAGE_STRENGTH", "STEP_SCHEDULE")), default="IMAGE_STRENGTH"
        ),
        "mask_image": Parameter(check=Image()),
        "mask_source": Parameter(check=Choice(names=MASK_SOURCES)),
        "negative_prompt": Parameter(check=Text(longest=TEXT_LONGEST, may_be_blank=True)),
        "sampler": Parameter(check=Choice(names=SAMPLERS)),
        "samples": Parameter(
            check=Whole(span=(1, 1), hint="; for more images give the item more variants"),
            default=1,
        ),
        "steps": Parameter(check=Whole(span=(10, 150)), default=30),
        "style_preset": Parameter(check=Choice(names=STYLES)),
        "text_prompts": Parameter(check=ListOf(member=_TEXT_PROMPT)),
        "width": Parameter(check=Whole(), default=DEFAULT_SIZE[0]),
    }
)

# End of life: AWS's notice of 21 November 2024 for 1.0; the day of 0.8 is not known, only that it
# was deprecated after 30 April 2024. Prices: a public list of November 2026. 0.8 cost half of this
# at 512x512, which none of the documented sizes is. Requests a minute: unconfirmed. Titles of
# quotas: AWS General Reference, "Amazon Bedrock endpoints and quotas".
_V1 = Model(
    id="stability.stable-diffusion-xl-v1",
    family=NAME,
    title="SDXL 1.0",
    price_usd=Decimal("0.04"),
    requests_per_minute=60,
    regions=("us-east-1", "us-west-2"),
    life_cycle=LifeCycle.RETIRED,
    end_of_life=date(2025, 5, 20),
    latency_s=5.0,
    quota_title="Stability.ai Stable Diffusion XL 1.0",
    prompt=_PROMPT,
    parameters=_PARAMETERS,
)
_V0 = replace(
    _V1,
    id="stability.stable-diffusion-xl-v0",
    title="SDXL 0.8",
    price_usd=Decimal("0.036"),
    end_of_life=None,
    quota_title="Stability.ai Stable Diffusion XL 0.8",
)
_ALIAS = replace(_V0, id="stability.stable-diffusion-xl")
MODELS: Mapping[str, Model] = {model.id: model for model in (_V1, _V0, _ALIAS)}

PROMPT_PARAMETERS = frozenset(("text_prompts",))
IMAGE_PARAMETERS = frozenset(("init_image", "mask_image"))
_OF_IMAGE = ("image_strength", "init_image_mode", "mask_source", "mask_image")
_MISSING = 'there is no prompt: give the item a "prompt" or the parameters "text_prompts"'


def generic(model_id: str) -> Model:
    """An SDXL model of which only the family is known."""
    return Model(
        id=model_id,
        family=NAME,
        title="an SDXL model",
        prompt=_PROMPT,
        parameters=_PARAMETERS,
    )


def text_problems(model: Model, prompts: Prompts) -> Sequence[Problem]:
    """Everything in the texts that the model would refuse."""
    return of_texts(model, prompts, _MISSING)


def problems(model: Model, prompts: Prompts, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything in the texts and the parameters that the model would refuse."""
    yield from of_parameters(model, prompts, parameters)
    yield from _size_problems(parameters)
    yield from _image_problems(parameters)
    if "text_prompts" in parameters:
        yield from _doubled(prompts, parameters)
    else:
        yield from text_problems(model, prompts)


def _image_problems(parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """What belongs to an image to start from, without one; a mask of another size than it."""
    for name in _OF_IMAGE:
        yield from needs(parameters, name, "init_image")
    yield from needs(parameters, "mask_image", "mask_source")
    yield from excludes(parameters, "init_image", ("width", "height"))
    if parameters.get("mask_source") in MASK_SOURCES[:2]:
        yield from needs(parameters, "mask_source", "mask_image")
    image, mask = parameters.get("init_image"), parameters.get("mask_image")
    if isinstance(image, InputImage) and isinstance(mask, InputImage) and image.size != mask.size:
        sizes = [f"{width}x{height}" for width, height in (mask.size, image.size)]
        text = f'"mask_image" has {sizes[0]} pixels; allowed: {sizes[1]}, as "init_image" has'
        yield Problem(key=("mask_image",), text=text)


def _doubled(prompts: Prompts, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """A prompt beside text prompts: which of them counts would be a guess."""
    advice = '"text_prompts" says all of it: put the text there with a weight, or leave them out'
    if prompts.prompt is not None:
        text = f'"prompt" cannot stand beside "text_prompts"; {advice}'
        yield Problem(key=("prompt",), text=text, of_prompts=True)
    if prompts.negative_prompt or parameters.get("negative_prompt"):
        text = f'"negative_prompt" cannot stand beside "text_prompts"; {advice}'
        own = bool(prompts.negative_prompt)
        yield Problem(key=("negative_prompt",), text=text, of_prompts=own)


def _size_problems(parameters: Mapping[str, Any]) -> Iterator[Problem]:
    given = {side: parameters[side] for side in ("width", "height") if side in parameters}
    if not given or any(type(value) is not int for value in given.values()):
        return
    width, height = given.get("width"), given.get("height")
    if (width, height) in SIZES:
        return
    if width is None or height is None:
        side, other = ("height", "width") if width is None else ("width", "height")
        text = f'"{side}" needs "{other}" beside it'
    else:
        side, text = (
            "width",
            f"width {quoted(width)} and height {quoted(height)} do not go together",
        )
    near = ", ".join(nearest_sizes(SIZES, width, height))
    yield Problem(key=(side,), text=f"{text}; nearest allowed sizes: {near}")


def build(
    model: Model,  # noqa: ARG001 - one shape for every family
    prompts: Prompts,
    parameters: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The request body: one image made from text, or from an image and texts."""
    body: dict[str, Any] = {"text_prompts": (), "seed": seed, **parameters}
    negative = body.pop("negative_prompt", None)
    own = parameters.get("text_prompts")
    if own is None:
        if prompts.negative_prompt is not None:
            negative = prompts.negative_prompt
        body["text_prompts"] = [{"text": prompts.prompt, "weight": 1}]
        if negative:
            body["text_prompts"].append({"text": negative, "weight": -1})
    else:
        body["text_prompts"] = [
            {"text": each["text"], "weight": plain(each.get("weight", 1))} for each in own
        ]
    for name in ("cfg_scale", "image_strength"):
        if name in body:
            body[name] = plain(body[name])
    return body


def parts(request: Mapping[str, Any]) -> Parts:
    """What a body asks for: all but texts and size is this family's alone."""
    shared = ("height", "samples", "seed", "text_prompts", "width")
    width, height = DEFAULT_SIZE
    return Parts(
        texts=tuple((each["text"], each["weight"]) for each in request["text_prompts"]),
        shape=None
        if "init_image" in request
        else (request.get("width", width), request.get("height", height)),
        is_exact_size={"width", "height"} <= request.keys(),
        image_format=image_format(request),
        own={name: value for name, value in request.items() if name not in shared},
    )


def from_parts(parts: Parts, model: Model) -> Asked:
    """Texts that are a prompt and perhaps a negative one as these; others as text prompts."""
    parameters = dict(parts.own)
    prompts, found = Prompts(prompt=None, negative_prompt=None), []
    if parts.prompt is None:
        parameters["text_prompts"] = [
            {"text": text, "weight": weight} for text, weight in parts.texts
        ]
    else:
        prompts, _ = one_prompt(parts.texts, model.title)
    if parts.shape is not None:
        size = near_size(parts.shape, SIZES)
        if size is None:
            found.append(no_such_shape(parts.shape, model.title))
        else:
            parameters["width"], parameters["height"] = size
    return Asked(prompts=prompts, parameters=parameters, problems=tuple(found))


def with_prompt(request: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """The same body with another prompt, which is the first of its texts."""
    first, *others = request["text_prompts"]
    return {**request, "text_prompts": [{**first, "text": prompt}, *others]}


def image_format(request: Mapping[str, Any]) -> str:  # noqa: ARG001 - one shape for every family
    """SDXL answers in PNG only."""
    return "png"


def price(model: Model, request: Mapping[str, Any]) -> Decimal | None:
    """The model's price, doubled for many steps (30 where the request does not say)."""
    if model.price_usd is None:
        return None
    return model.price_usd * (2 if request.get("steps", 0) > CHEAP_STEPS else 1)


def parse(body: bytes) -> Reply:
    """The reply in `artifacts`, each with `base64`, `seed` and `finishReason`; or in `error`."""
    reply = replies.read(body, image_at=("artifacts", 0, "base64"))
    artifacts = replies.entries(reply, "artifacts")
    if not artifacts and reply.get("result") == "error":
        reason = _error_words(reply.get("error"))
        return replies.assemble([Entry(image=None, seed=None, finish_reason=reason)])
    return replies.assemble(_entry(artifact) for artifact in artifacts)


def _entry(artifact: Any) -> Entry:
    if not isinstance(artifact, dict):
        raise ReplyError(f"an artifact of the reply is {quoted(artifact)}, not an object")
    return Entry(
        image=artifact.get("base64"),
        seed=artifact.get("seed"),
        finish_reason=replies.finish_reason(artifact.get("finishReason")),
    )


def _error_words(error: Any) -> str:
    """The name and the message of an error; together they tell moderation from a failure."""
    parts = [error.get("name"), error.get("message")] if isinstance(error, dict) else [error]
    return ": ".join(part for part in parts if isinstance(part, str) and part) or "error"
