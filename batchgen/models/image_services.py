"""Stability AI's image services on Bedrock: thirteen models that edit, extend and enlarge images.

Limits, ids and Regions: AWS Bedrock User Guide, "Stability AI Image Services", November 2026. Each
is called by its inference profile alone, which routes to any of three Regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from batchgen.models import stable_image
from batchgen.models.aspect_ratios import nearest_ratio, sides
from batchgen.models.base import (
    Asked,
    Check,
    Model,
    Parameter,
    Parts,
    Problem,
    Prompts,
)
from batchgen.models.combinations import of_parameters, of_texts, one_prompt
from batchgen.models.constraints import MOST_PIXELS, Choice, Image, Number, Text, Whole, plain
from batchgen.models.sdxl import STYLES

NAME = "image-services"

TEXT_LONGEST = 10_000
FORMATS = ("png", "jpeg", "webp")
DEFAULT_FORMAT = stable_image.DEFAULT_FORMAT
"""Always sent: Fast Upscale's page calls it required, and its example leaves it out."""
BORDERS = ("left", "right", "up", "down")

_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
_PROMPT = Parameter(check=Text(longest=TEXT_LONGEST), required=True)
_OPTIONAL_PROMPT = Parameter(check=Text(longest=TEXT_LONGEST))
_IMAGE_CHECK = Image(sides=(64, MOST_PIXELS), ratio=2.5)
_FORMAT = {"output_format": Parameter(check=Choice(names=FORMATS), default=DEFAULT_FORMAT)}
_NEGATIVE = {"negative_prompt": Parameter(check=Text(longest=TEXT_LONGEST, may_be_blank=True))}
_STYLE = {"style_preset": Parameter(check=Choice(names=STYLES))}
_MASK = {
    "mask": Parameter(check=_IMAGE_CHECK),
    "grow_mask": Parameter(check=Whole(span=(0, 20)), default=5),
}
_GROW = {"grow_mask": _MASK["grow_mask"]}


def _share(default: float, least: float = 0, most: float = 1) -> Parameter:
    return Parameter(check=Number(span=(least, most)), default=default)


def _image(check: Image) -> dict[str, Parameter]:
    return {"image": Parameter(check=check, required=True)}


_IMAGE = _image(_IMAGE_CHECK)
_CONTROL = _IMAGE | {"control_strength": _share(0.7)} | _STYLE | _NEGATIVE | _FORMAT


def _service(  # noqa: PLR0913 - one line of the table
    name: str,
    title: str,
    price_usd: str,
    requests_per_minute: int,
    parameters: Mapping[str, Parameter],
    *,
    prompt: Parameter | None = _PROMPT,
    takes_seed: bool = True,
    scale: int | None = None,
) -> Model:
    """A service. Prices: a public list of November 2026; latencies are not published."""
    return Model(
        id=f"us.stability.{name}-v1:0",
        family=NAME,
        title=f"Stable Image {title}",
        price_usd=Decimal(price_usd),
        requests_per_minute=requests_per_minute,
        regions=_REGIONS,
        output_formats=FORMATS,
        quota_title=f"Stable Image {title}",
        prompt=prompt,
        parameters=MappingProxyType(dict(sorted(parameters.items()))),
        takes_seed=takes_seed,
        scale=scale,
        by_profile=True,
    )


_SERVICES = (
    _service(
        "stable-creative-upscale",
        "Creative Upscale",
        "0.60",
        2,
        _image(Image(sides=(64, MOST_PIXELS), pixels=(4_096, 1_048_576), ratio=2.5))
        | {"creativity": _share(0.3, 0.1, 0.5)}
        | _STYLE
        | _NEGATIVE
        | _FORMAT,
    ),
    _service(
        "stable-conservative-upscale",
        "Conservative Upscale",
        "0.40",
        2,
        _IMAGE | {"creativity": _share(0.35, 0.1, 0.5)} | _NEGATIVE | _FORMAT,
    ),
    _service(
        "stable-fast-upscale",
        "Fast Upscale",
        "0.03",
        10,
        _image(Image(sides=(32, 1_536), pixels=(1_024, 1_048_576))) | _FORMAT,
        prompt=None,
        takes_seed=False,
        scale=4,
    ),
    _service(
        "stable-image-inpaint",
        "Inpaint",
        "0.07",
        10,
        _IMAGE | _MASK | _STYLE | _NEGATIVE | _FORMAT,
    ),
    _service(
        "stable-outpaint",
        "Outpaint",
        "0.06",
        2,
        _IMAGE
        | {side: Parameter(check=Whole(span=(0, 2_000)), default=0) for side in BORDERS}
        | {"creativity": _share(0.5, 0.1)}
        | _STYLE
        | _FORMAT,
        prompt=_OPTIONAL_PROMPT,
    ),
    _service(
        "stable-image-search-recolor",
        "Search and Recolor",
        "0.07",
        10,
        _IMAGE | {"select_prompt": _PROMPT} | _GROW | _STYLE | _NEGATIVE | _FORMAT,
    ),
    _service(
        "stable-image-search-replace",
        "Search and Replace",
        "0.07",
        10,
        _IMAGE | {"search_prompt": _PROMPT} | _GROW | _STYLE | _NEGATIVE | _FORMAT,
    ),
    _service(
        "stable-image-erase-object",
        "Erase Object",
        "0.07",
        10,
        _IMAGE | _MASK | _FORMAT,
        prompt=None,
    ),
    _service(
        "stable-image-remove-background",
        "Remove Background",
        "0.07",
        10,
        _IMAGE | _FORMAT,
        prompt=None,
        takes_seed=False,
    ),
    _service("stable-image-control-sketch", "Control Sketch", "0.07", 10, _CONTROL),
    _service("stable-image-control-structure", "Control Structure", "0.07", 10, _CONTROL),
    _service(
        "stable-image-style-guide",
        "Style Guide",
        "0.07",
        10,
        _IMAGE
        | {
            "aspect_ratio": Parameter(
                check=Choice(names=stable_image.ASPECT_RATIOS, meant=nearest_ratio),
                default=stable_image.DEFAULT_RATIO,
            ),
            "fidelity": _share(0.5),
        }
        | _STYLE
        | _NEGATIVE
        | _FORMAT,
    ),
    _service(
        "stable-style-transfer",
        "Style Transfer",
        "0.08",
        10,
        {
            "init_image": _IMAGE["image"],
            "style_image": _IMAGE["image"],
            "composition_fidelity": _share(0.9),
            "style_strength": _share(1),
            "change_strength": _share(0.9, 0.1),
        }
        | _NEGATIVE
        | _FORMAT,
        prompt=_OPTIONAL_PROMPT,
    ),
)
MODELS: Mapping[str, Model] = MappingProxyType({model.id: model for model in _SERVICES})
PROMPT_PARAMETERS = frozenset[str]()
IMAGE_PARAMETERS = frozenset(
    name for model in _SERVICES for name, each in model.parameters.items() if each.kind == "image"
)
_ASKED_FOR = ("output_format", "prompt", "seed")
"""Keys of a body that all families share."""


def generic(model_id: str) -> Model:
    """A service of which only the family is known: whatever one of them takes."""
    taken: dict[str, Check] = {
        name: each.check for model in _SERVICES for name, each in model.parameters.items()
    }
    loosest: dict[str, Check] = {
        "creativity": Number(span=(0.1, 1)),
        "image": Image(sides=(32, MOST_PIXELS)),
    }
    return Model(
        id=model_id,
        family=NAME,
        title="an image service",
        output_formats=FORMATS,
        prompt=_OPTIONAL_PROMPT,
        parameters=MappingProxyType(
            {name: Parameter(check=check) for name, check in sorted((taken | loosest).items())}
        ),
    )


def text_problems(model: Model, prompts: Prompts) -> Sequence[Problem]:
    """Everything in the texts that the service would refuse."""
    missing = f"there is no prompt, and {model.title} needs one: give the item or the job one"
    return of_texts(model, prompts, missing)


def problems(model: Model, prompts: Prompts, parameters: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything in the texts and the parameters that the service would refuse."""
    yield from text_problems(model, prompts)
    yield from of_parameters(model, prompts, parameters)
    is_outpaint = BORDERS[0] in model.parameters and model.parameters["image"].required
    if is_outpaint and not any(parameters.get(side) for side in BORDERS):
        text = f"{model.title} needs one of {', '.join(BORDERS)} that is not 0"
        yield Problem(key=(BORDERS[0],), text=text)


def build(
    model: Model, prompts: Prompts, parameters: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """The request body: one image made from one or two others."""
    body: dict[str, Any] = {"output_format": DEFAULT_FORMAT}
    if model.takes_seed:
        body["seed"] = seed
    if prompts.prompt is not None:
        body["prompt"] = prompts.prompt
    for name, value in parameters.items():
        body[name] = plain(value) if isinstance(value, float) else value
    if prompts.negative_prompt is not None:
        body["negative_prompt"] = prompts.negative_prompt
    if body.get("negative_prompt") == "":
        del body["negative_prompt"]
    return body


def parts(request: Mapping[str, Any]) -> Parts:
    """What a body asks for: all but the prompt is this family's alone."""
    is_shaped = "fidelity" in request or "aspect_ratio" in request
    ratio = request.get("aspect_ratio", stable_image.DEFAULT_RATIO)
    return Parts(
        texts=((request["prompt"], 1),) if "prompt" in request else (),
        shape=sides(ratio) if is_shaped else None,
        image_format=image_format(request),
        own={name: value for name, value in request.items() if name not in _ASKED_FOR},
    )


def from_parts(parts: Parts, model: Model) -> Asked:
    """The prompt, if there is one, and the parameters as they are."""
    prompts = Prompts(prompt=None, negative_prompt=None)
    found: list[Problem] = []
    if parts.texts:
        prompts, found = one_prompt(parts.texts, model.title)
    parameters = {"output_format": parts.image_format, **parts.own}
    return Asked(prompts=prompts, parameters=parameters, problems=tuple(found))


# A service's request and reply have these parts in the form of Stable Image.
with_prompt, image_format = stable_image.with_prompt, stable_image.image_format
price, parse = stable_image.price, stable_image.parse
