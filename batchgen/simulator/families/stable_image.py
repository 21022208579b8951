"""Stable Image Core and Ultra, Stable Diffusion 3 and 3.5 Large: one flat request, one image.

Source: AWS Bedrock User Guide, "Stability.ai Stable Image ... request and response" pages.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchgen.simulator.bodies import ASPECT_RATIOS
from batchgen.simulator.errors import Refused
from batchgen.simulator.pictures.studio import Commission
from batchgen.simulator.result import PLACEHOLDER, Finish, Result, assemble

from .base import canonical, decode, refused_picture

if TYPE_CHECKING:
    from batchgen.simulator.catalog import Model

_WORDS = {
    Finish.DONE: None,
    Finish.PROMPT: "Filter reason: prompt",
    Finish.OUTPUT: "Filter reason: output image",
    Finish.INPUT: "Filter reason: input image",
    Finish.ERROR: "Inference error",
}
_SHORTEST_SIDE, _LONGEST_SIDE = 64, 4096


def prompts(body: dict[str, Any]) -> str:
    """The one prompt."""
    text: str = body["prompt"]
    return text


def commission(model: Model, body: dict[str, Any], seed: int) -> Commission:
    """What to paint, from text or from `image`."""
    asked = Commission(
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


def _from_picture(asked: Commission, body: dict[str, Any]) -> Commission:
    source, width, height = decode(body["image"], "image")
    if min(width, height) < _SHORTEST_SIDE or max(width, height) > _LONGEST_SIDE:
        sides = f"{_SHORTEST_SIDE} to {_LONGEST_SIDE} pixels"
        raise refused_picture(f"Invalid image: each side must have {sides}")
    return replace(
        asked, size=(width, height), source=source, strength=float(body.get("strength", 0.35))
    )
