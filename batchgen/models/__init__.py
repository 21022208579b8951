"""The model families: one module each, pure; `registry.py` lists them."""

from __future__ import annotations

from batchgen.models.base import (
    Artifact,
    Family,
    InputImage,
    LifeCycle,
    Model,
    Parameter,
    Problem,
    Prompts,
    Reply,
    ReplyError,
    StepImage,
    UnknownModel,
    UnusableImage,
)
from batchgen.models.constraints import takers
from batchgen.models.model_ids import Foundation, Kind, find, foundation_of
from batchgen.models.registry import FAMILIES, MODELS
from batchgen.models.replies import speaks_of_output
from batchgen.models.sizes import missed_size
from batchgen.models.translation import (
    Untranslatable,
    prompt_of,
    seed_within,
    translate,
    with_prompt,
    with_seed,
)

__all__ = [
    "FAMILIES",
    "MODELS",
    "Artifact",
    "Family",
    "Foundation",
    "InputImage",
    "Kind",
    "LifeCycle",
    "Model",
    "Parameter",
    "Problem",
    "Prompts",
    "Reply",
    "ReplyError",
    "StepImage",
    "UnknownModel",
    "Untranslatable",
    "UnusableImage",
    "find",
    "foundation_of",
    "missed_size",
    "prompt_of",
    "seed_within",
    "speaks_of_output",
    "takers",
    "translate",
    "with_prompt",
    "with_seed",
]
