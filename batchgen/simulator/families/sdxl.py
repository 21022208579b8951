"""Stable Diffusion XL: weighted text prompts, one image in `artifacts`.

Source: AWS Bedrock User Guide, "Stability.ai Diffusion 1.0 text to image" and its neighbours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchgen.simulator.errors import Refused
from batchgen.simulator.pictures.studio import Commission
from batchgen.simulator.result import PLACEHOLDER, Finish, Result, assemble

from .base import canonical, decode

if TYPE_CHECKING:
    from batchgen.simulator.catalog import Model

FILTERED_WORDS = (
    "invalid_prompts\nsagemaker_inference.errors.BaseInferenceToolkitError: "
    "(400, 'invalid_prompts', 'One or more prompts contains filtered words.')"
)
_WORDS = {
    Finish.DONE: "SUCCESS",
    Finish.OUTPUT: "CONTENT_FILTERED",
    Finish.INPUT: "CONTENT_FILTERED",
    Finish.ERROR: "ERROR",
}


def prompts(body: dict[str, Any]) -> str:
    """The positive text prompts, one after the other."""
    return ", ".join(part["text"] for part in body["text_prompts"] if part.get("weight", 1) > 0)


def commission(model: Model, body: dict[str, Any], seed: int) -> Commission:
    """What to paint, from text or from `init_image`."""
    asked = Commission(
        model=model.title,
        request=canonical(body),
        prompt=prompts(body),
        seed=seed,
        size=(body.get("width", 1024), body.get("height", 1024)),
        format="png",
    )
    if "mask_image" in body:
        decode(body["mask_image"], "mask_image")
    if "init_image" not in body:
        return asked
    source, width, height = decode(body["init_image"], "init_image")
    # `image_strength` near 1 keeps the source: the opposite of the commission's sense.
    strength = 1 - float(body.get("image_strength", 0.35))
    return replace(asked, size=(width, height), source=source, strength=strength)


def ended(finish: Finish, result: Result) -> Result:
    """A refused prompt is an error here; a refused picture is sent all the same, blurred."""
    if finish is Finish.PROMPT:
        raise Refused("ValidationException", FILTERED_WORDS)
    picture = None if finish is Finish.ERROR else result.artifacts[0].picture
    last = replace(result.artifacts[0], finish=finish, picture=picture)
    return replace(result, artifacts=(last,))


def answer(result: Result) -> tuple[bytes, ...]:
    """`result` and `artifacts`."""
    artifacts: list[dict[str, Any]] = []
    for artifact in result.artifacts:
        shown: dict[str, Any] = {"seed": artifact.seed} if result.shows_seeds else {}
        if artifact.picture:
            shown["base64"] = PLACEHOLDER
        shown["finishReason"] = artifact.words or _WORDS[artifact.finish]
        artifacts.append(shown)
    document = {"result": "success", "artifacts": artifacts, **result.extra}
    return assemble(document, [a.picture for a in result.artifacts if a.picture])
