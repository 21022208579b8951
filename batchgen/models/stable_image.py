"""Stability AI's Stable Image on Bedrock: Core, Ultra, SD3 Large and SD3.5 Large.

Limits and the shape of a reply: AWS Bedrock User Guide, "Stable Image Core", "Stable Image Ultra",
"Stable Diffusion 3.5 Large" and "Stable Diffusion 3 Large" request and response, November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from batchgen.models import replies
from batchgen.models.aspect_ratios import near_size, nearest_ratio, no_such_shape, sides
from batchgen.models.base import (
    Asked,
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
from batchgen.models.constraints import MOST_PIXELS, Choice, Image, Number, Text, plain
from batchgen.models.replies import Entry, Verdict, verdict
from batchgen.text import quoted

NAME = "stable-image"

TEXT_LONGEST = 10_000
ASPECT_RATIOS = ("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
DEFAULT_FORMAT = "png"
"""Always sent: what the service answers in without it is not documented for every model."""

DEFAULT_RATIO = "1:1"
"""Where a body does not say."""

_RATIOS = {sides(ratio): ratio for ratio in ASPECT_RATIOS}
_EVERY_FORMAT = ("png", "jpeg", "webp")
_PNG_OR_JPEG = ("png", "jpeg")
_OREGON = ("us-west-2",)

TEXT_TO_IMAGE, IMAGE_TO_IMAGE = "text-to-image", "image-to-image"
_PROMPT = Parameter(check=Text(longest=TEXT_LONGEST), required=True)
_CORE_PARAMETERS: Mapping[str, Parameter] = {
    "aspect_ratio": Parameter(
        check=Choice(names=ASPECT_RATIOS, meant=nearest_ratio), default=DEFAULT_RATIO
    ),
    # Sent only where a job gives it: the page of Core 1.1 no longer has it.
    "mode": Parameter(check=Choice(names=(TEXT_TO_IMAGE,)), default=TEXT_TO_IMAGE),
    "negative_prompt": Parameter(check=Text(longest=TEXT_LONGEST, may_be_blank=True)),
    "output_format": Parameter(check=Choice(names=_EVERY_FORMAT), default=DEFAULT_FORMAT),
}
# Ultra's page has no limits for the image: those of SD3.5, and the pixels of the image services.
_ULTRA_PARAMETERS: Mapping[str, Parameter] = {
    "aspect_ratio": _CORE_PARAMETERS["aspect_ratio"],
    "image": Parameter(check=Image(sides=(64, MOST_PIXELS))),
    "mode": Parameter(check=Choice(names=(TEXT_TO_IMAGE, IMAGE_TO_IMAGE)), default=TEXT_TO_IMAGE),
    "negative_prompt": _CORE_PARAMETERS["negative_prompt"],
    "output_format": Parameter(check=Choice(names=_PNG_OR_JPEG), default=DEFAULT_FORMAT),
    "strength": Parameter(check=Number(span=(0, 1)), default=0.35),
}
_SD3_5_PARAMETERS: Mapping[str, Parameter] = {
    **_ULTRA_PARAMETERS,
    "output_format": _CORE_PARAMETERS["output_format"],
    "strength": Parameter(check=Number(span=(0, 1))),
}
_SD3_PARAMETERS: Mapping[str, Parameter] = {
    **_ULTRA_PARAMETERS,
    "image": Parameter(check=Image(sides=(640, 1536))),
    "strength": _SD3_5_PARAMETERS["strength"],
}

# States and Regions: AWS Bedrock User Guide, "Model support by AWS Region"; the days on which the
# retired ones ended are not published. Requests a minute and titles of quotas: AWS General
# Reference, "Amazon Bedrock endpoints and quotas". Prices: a public list of November 2026; check
# them against the AWS price page. Core's page names JPEG and PNG only; that it takes webp too is
# unconfirmed. Seconds of a call: about 3 for Core, 5 to 15 for the others, as users tell.
_CORE = Model(
    id="stability.stable-image-core-v1:1",
    family=NAME,
    title="Stable Image Core 1.1",
    price_usd=Decimal("0.04"),
    requests_per_minute=90,
    regions=_OREGON,
    output_formats=_EVERY_FORMAT,
    latency_s=3.0,
    quota_title="Stability.ai Stable Image Core",
    prompt=_PROMPT,
    parameters=MappingProxyType(_CORE_PARAMETERS),
)
_ULTRA = Model(
    id="stability.stable-image-ultra-v1:1",
    family=NAME,
    title="Stable Image Ultra 1.1",
    price_usd=Decimal("0.14"),
    requests_per_minute=10,
    regions=_OREGON,
    output_formats=_PNG_OR_JPEG,
    quota_title="Stability.ai Stable Image Ultra",
    prompt=_PROMPT,
    parameters=MappingProxyType(_ULTRA_PARAMETERS),
)
_SD3_5 = Model(
    id="stability.sd3-5-large-v1:0",
    family=NAME,
    title="Stable Diffusion 3.5 Large",
    price_usd=Decimal("0.08"),
    requests_per_minute=15,
    regions=_OREGON,
    output_formats=_EVERY_FORMAT,
    seed_max=4_294_967_294,
    quota_title="Stability.ai Stable Diffusion 3.5 Large",
    prompt=_PROMPT,
    parameters=MappingProxyType(_SD3_5_PARAMETERS),
)
_SD3 = Model(
    id="stability.sd3-large-v1:0",
    family=NAME,
    title="Stable Diffusion 3 Large",
    price_usd=Decimal("0.08"),
    requests_per_minute=15,
    regions=_OREGON,
    life_cycle=LifeCycle.RETIRED,
    output_formats=_PNG_OR_JPEG,
    quota_title="Stability.ai Stable Diffusion 3 Large",
    prompt=_PROMPT,
    parameters=MappingProxyType(_SD3_PARAMETERS),
)
_CORE_1_0 = replace(
    _CORE,
    id="stability.stable-image-core-v1:0",
    title="Stable Image Core 1.0",
    life_cycle=LifeCycle.RETIRED,
)
_ULTRA_1_0 = replace(
    _ULTRA,
    id="stability.stable-image-ultra-v1:0",
    title="Stable Image Ultra 1.0",
    life_cycle=LifeCycle.RETIRED,
)
MODELS: Mapping[str, Model] = {
    model.id: model for model in (_CORE, _ULTRA, _SD3_5, _SD3, _CORE_1_0, _ULTRA_1_0)
}

PROMPT_PARAMETERS = frozenset[str]()
IMAGE_PARAMETERS = frozenset(("image",))


def generic(model_id: str) -> Model:
    """A Stable Image model of which only the family is known."""
    return Model(
        id=model_id,
        family=NAME,
        title="a Stable Image model",
        output_formats=_EVERY_FORMAT,
        prompt=_PROMPT,
        parameters=MappingProxyType(
            {**_SD3_5_PARAMETERS, "strength": _ULTRA_PARAMETERS["strength"]}
        ),
    )


def text_problems(model: Model, prompts: Prompts) -> Sequence[Problem]:
    """Everything in the texts that the model would refuse."""
    return of_texts(model, prompts, "there is no prompt: give the item or the job one")


def problems(model: Model, prompts: Prompts, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything in the texts and the parameters that the model would refuse."""
    yield from text_problems(model, prompts)
    yield from of_parameters(model, prompts, parameters)
    if "image" in model.parameters:
        yield from _image_problems(model, parameters)


def _image_problems(model: Model, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """What belongs to an image to start from, without one, and the other way round."""
    yield from needs(parameters, "strength", "image")
    yield from excludes(parameters, "image", ("aspect_ratio",))
    has_default = model.parameters["strength"].default is not None
    if "image" in parameters and "strength" not in parameters and not has_default:
        text = f'"strength" is missing: {model.title} needs it beside "image"'
        yield Problem(key=("image",), text=text)
    if parameters.get("mode") in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
        yield from _mode_problems(parameters)


def _mode_problems(parameters: Mapping[str, Any]) -> Iterator[Problem]:
    is_from_image = parameters["mode"] == IMAGE_TO_IMAGE
    if is_from_image != ("image" in parameters):
        what = 'needs "image" beside it' if is_from_image else 'cannot stand beside "image"'
        yield Problem(key=("mode",), text=f'"mode" {quoted(parameters["mode"])} {what}')


def build(
    model: Model, prompts: Prompts, parameters: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """The request body: one image made from text, or from an image and a text."""
    body = {
        "prompt": prompts.prompt,
        "seed": seed,
        "output_format": DEFAULT_FORMAT,
        **parameters,
    }
    if prompts.negative_prompt is not None:
        body["negative_prompt"] = prompts.negative_prompt
    if body.get("negative_prompt") == "":
        del body["negative_prompt"]
    if "strength" in body:
        body["strength"] = plain(body["strength"])
    # SD3's pages make the mode the selector; Ultra's lists no mode for its image-to-image.
    if "image" in body and model.parameters["strength"].default is None:
        body["mode"] = IMAGE_TO_IMAGE
    return body


def parts(request: Mapping[str, Any]) -> Parts:
    """What a body asks for; only what it starts from is this family's alone."""
    texts: list[tuple[str, float]] = [(request["prompt"], 1)]
    if "negative_prompt" in request:
        texts.append((request["negative_prompt"], -1))
    is_from_image = "image" in request
    return Parts(
        texts=tuple(texts),
        shape=None if is_from_image else sides(request.get("aspect_ratio", DEFAULT_RATIO)),
        image_format=image_format(request),
        own={name: request[name] for name in ("image", "strength") if name in request},
    )


def from_parts(parts: Parts, model: Model) -> Asked:
    """One prompt, perhaps a negative one, and the aspect ratio of the shape or the image."""
    prompts, found = one_prompt(parts.texts, model.title)
    parameters = {"output_format": parts.image_format, **parts.own}
    if parts.shape is not None:
        near = near_size(parts.shape, tuple(_RATIOS))
        if near is None:
            found.append(no_such_shape(parts.shape, model.title))
        else:
            parameters["aspect_ratio"] = _RATIOS[near]
    return Asked(prompts=prompts, parameters=parameters, problems=tuple(found))


def with_prompt(request: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """The same body with another prompt."""
    return {**request, "prompt": prompt}


def image_format(request: Mapping[str, Any]) -> str:
    """The format that the request asks for."""
    asked: str = request.get("output_format", DEFAULT_FORMAT)
    return asked


def price(model: Model, request: Mapping[str, Any]) -> Decimal | None:  # noqa: ARG001 - one shape
    """The model's price: no parameter changes it."""
    return model.price_usd


def parse(body: bytes) -> Reply:
    """The reply in `seeds`, `finish_reasons` and `images`, three lists of one order."""
    reply = replies.read(body, image_at=("images", 0))
    images = replies.entries(reply, "images")
    reasons = [replies.finish_reason(word) for word in replies.entries(reply, "finish_reasons")]
    reasons = reasons or [None] * len(images)
    fine = [verdict(reason) is Verdict.FINE for reason in reasons]
    nothing = [None] * len(fine)
    pictures = _spread(images, fine) if images else nothing
    if pictures is None:
        count = f"{len(images)} images beside {len(reasons)} finish reasons"
        raise ReplyError(f"the reply has {count}: which belongs to which is not clear")
    seeds = reply.get("seeds")
    numbers = _spread(seeds, fine) if isinstance(seeds, list) else None
    return replies.assemble(
        Entry(image=picture, seed=number, finish_reason=reason)
        for picture, number, reason in zip(pictures, numbers or nothing, reasons, strict=True)
    )


def _spread(values: list[Any], fine: list[bool]) -> list[Any] | None:
    """One value for each finish reason, where refused artifacts may have none; None if unclear."""
    if len(values) == len(fine):
        return values
    if len(values) != sum(fine):
        return None
    rest = iter(values)
    return [next(rest) if good else None for good in fine]
