"""The models that the simulator knows, and which of them an identifier means in a Region.

Their facts stand with their families, which share nothing with batchgen's own.
"""

from __future__ import annotations

import re
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import END_OF_LIFE, INVALID_MODEL, NO_ON_DEMAND, Refused
from .families import FAMILIES
from .families.base import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .options import Options

MODELS: Mapping[str, Model] = MappingProxyType(
    {model.id: model for family in FAMILIES.values() for model in family.MODELS}
)


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
    model = MODELS.get(named or tail) or MODELS.get(arn["tail"] if arn else "")
    if model is None and f"us.{tail}" in MODELS:
        raise Refused("ValidationException", NO_ON_DEMAND.format(model=identifier))
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
