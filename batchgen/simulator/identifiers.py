"""Which model a model id, an inference profile or an ARN means in a Region."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .catalog import MODELS, Model
from .errors import END_OF_LIFE, INVALID_MODEL, Refused

if TYPE_CHECKING:
    from .options import Options

_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):\d*:"
    r"(?:foundation-model|inference-profile|application-inference-profile|provisioned-model"
    r"|custom-model|imported-model)/(?P<tail>.+)"
)
_GEOGRAPHY = re.compile(r"(?P<prefix>us|eu|apac|jp|au|global)\.(?P<model>.+)")


def resolve(identifier: str, region: str, options: Options) -> Model:
    """The model that is meant.

    Raises:
        Refused: nobody knows it, it is not offered in this Region, or its life has ended.
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
    """Whether a Region has a model. A retired one, kept for the sake of old jobs, is everywhere."""
    return options.any_region or model.retired or region in model.regions
