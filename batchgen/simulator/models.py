"""The models that the simulator knows, and which of them an identifier means in a Region.

Sources: AWS Bedrock User Guide (Regions, parameters), AWS General Reference (quotas), public price
lists. This table is the simulator's own and is not shared with batchgen's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import END_OF_LIFE, INVALID_MODEL, Refused

if TYPE_CHECKING:
    from .options import Options

_OREGON = ("us-west-2",)
_FIRST_REGIONS = ("us-east-1", "us-west-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model id."""

    id: str
    title: str
    family: str
    """`stable-image` or `sdxl`."""
    schema: str
    """Which of its family's `SCHEMAS` its requests are checked against."""
    regions: tuple[str, ...]
    rpm: int
    """Default requests a minute of one account in one Region."""
    quota_code: str
    """Of Service Quotas. AWS publishes those of SDXL only; the others are the simulator's."""
    quota_title: str | None = None
    """What Service Quotas calls it; None for a version that has the quota of another one."""
    price: Decimal
    """USD for one image."""
    price_many_steps: Decimal | None = None
    """USD for one image of more than 50 steps; None where steps are no parameter."""
    latency: tuple[float, float]
    """Shortest and longest time of one call, in seconds."""
    retired: bool = False
    """The real service answers that it is past its end of life."""


_MODELS = (
    Model(
        id="stability.stable-image-core-v1:1",
        title="Stable Image Core 1.1",
        family="stable-image",
        schema="core",
        regions=_OREGON,
        rpm=90,
        quota_code="L-C0DE0C11",
        quota_title="Stability.ai Stable Image Core",
        price=Decimal("0.04"),
        latency=(2.2, 4.6),
    ),
    Model(
        id="stability.stable-image-core-v1:0",
        title="Stable Image Core 1.0",
        family="stable-image",
        schema="core",
        regions=_OREGON,
        rpm=90,
        quota_code="L-C0DE0C10",
        price=Decimal("0.04"),
        latency=(2.2, 4.6),
        retired=True,
    ),
    Model(
        id="stability.stable-image-ultra-v1:1",
        title="Stable Image Ultra 1.1",
        family="stable-image",
        schema="ultra",
        regions=_OREGON,
        rpm=10,
        quota_code="L-C0DE0A11",
        quota_title="Stability.ai Stable Image Ultra",
        price=Decimal("0.14"),
        latency=(6, 14),
    ),
    Model(
        id="stability.stable-image-ultra-v1:0",
        title="Stable Image Ultra 1.0",
        family="stable-image",
        schema="ultra",
        regions=_OREGON,
        rpm=10,
        quota_code="L-C0DE0A10",
        price=Decimal("0.14"),
        latency=(6, 14),
        retired=True,
    ),
    Model(
        id="stability.sd3-5-large-v1:0",
        title="Stable Diffusion 3.5 Large",
        family="stable-image",
        schema="sd3.5",
        regions=_OREGON,
        rpm=15,
        quota_code="L-C0DE0D35",
        quota_title="Stability.ai Stable Diffusion 3.5 Large",
        price=Decimal("0.08"),
        latency=(5, 10),
    ),
    Model(
        id="stability.sd3-large-v1:0",
        title="Stable Diffusion 3 Large",
        family="stable-image",
        schema="sd3",
        regions=_OREGON,
        rpm=15,
        quota_code="L-C0DE0D30",
        quota_title="Stability.ai Stable Diffusion 3 Large",
        price=Decimal("0.08"),
        latency=(5, 10),
        retired=True,
    ),
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

MODELS = MappingProxyType({model.id: model for model in _MODELS})


def price(model: Model, body: dict[str, object]) -> Decimal:
    """USD that one image with this body costs."""
    steps = body.get("steps", 30)
    if model.price_many_steps is None or not isinstance(steps, int) or steps <= _FEW_STEPS:
        return model.price
    return model.price_many_steps


_FEW_STEPS = 50


_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):\d*:"
    r"(?:foundation-model|inference-profile|application-inference-profile|provisioned-model"
    r"|custom-model|imported-model)/(?P<tail>.+)"
)
_GEOGRAPHY = re.compile(r"(?P<prefix>us|eu|apac|jp|au|global)\.(?P<model>.+)")


def resolve(identifier: str, region: str, options: Options) -> Model:
    """The model that is meant.

    Raises:
        Refused: it is unknown, not offered in this Region, or past its end of life.
    """
    arn = _ARN.fullmatch(identifier)
    if arn and arn["region"] not in {"", region}:
        raise Refused("ValidationException", INVALID_MODEL)
    named = dict(options.arn).get(identifier)
    geography = _GEOGRAPHY.fullmatch(arn["tail"]) if arn else None
    tail = geography["model"] if geography else arn["tail"] if arn else identifier
    model = MODELS.get(named or tail)
    if model is None:
        raise Refused("ValidationException", INVALID_MODEL)
    if model.retired and options.end_of_life:
        raise Refused("ResourceNotFoundException", END_OF_LIFE)
    if not (named or geography or offered(model, region, options)):
        raise Refused("ValidationException", INVALID_MODEL)
    return model


def offered(model: Model, region: str, options: Options) -> bool:
    """Whether a Region has a model. A retired one, kept for old jobs, is in every Region."""
    return options.any_region or model.retired or region in model.regions
