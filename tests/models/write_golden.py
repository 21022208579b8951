"""Writes the golden bodies of new models: `python tests/models/write_golden.py MODEL ...`.

Read them before you commit them: they are what will be sent, and what must never change.
"""

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path

from documented import CAT, IMAGE, NO_PROMPTS, completed, minimal

from batchgen.models import FAMILIES, MODELS, Model, Parameter, Prompts

GOLDEN = Path(__file__).parent / "golden"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
REASONS = (None, "Filter reason: prompt", "Filter reason: input image", "Inference error")


def sample(parameter: Parameter) -> object:
    """A value of a parameter that is not its default."""
    check = parameter.check
    match parameter.kind:
        case "image":
            return dict(IMAGE)
        case "choice":
            return next(name for name in check.names if name != parameter.default)
        case "text":
            return "text, watermark"
        case _:
            return check.span[1]


def request(model: Model, prompts: Prompts, parameters: dict, seed: int) -> dict:
    """One case of a request."""
    family = FAMILIES[model.family]
    problems = [problem.text for problem in family.problems(model, prompts, parameters)]
    if problems:
        raise SystemExit(f"{model.id}: {problems}")
    body = family.build(model, prompts, parameters, seed)
    return {
        "prompts": asdict(prompts),
        "parameters": parameters,
        "seed": seed,
        "request": body,
        "image_format": family.image_format(body),
        "price_usd": str(family.price(model, body)),
    }


def reply(model: Model, reason: str | None) -> dict:
    """One case of a reply in the shape of Stable Image: a good one, or one with a reason."""
    body = {"seeds": [2130420379], "finish_reasons": [reason], "images": [PNG]}
    if reason is not None:
        body = {"finish_reasons": [reason]}
    parsed = FAMILIES[model.family].parse(json.dumps(body).encode())
    images = [
        {"base64": base64.b64encode(image.data).decode(), **asdict(image)}
        for image in parsed.images
    ]
    for image in images:
        del image["data"]
    return {"body": body, "reply": asdict(parsed) | {"images": images}}


def golden(model: Model) -> dict:
    """The shortest request and one with everything, and the replies."""
    every = completed(model, {name: sample(each) for name, each in model.parameters.items()})
    text = "K\u00e4se & \u6f22\u5b57 \u202e\u2028 <b>"
    prompts = NO_PROMPTS if model.prompt is None else Prompts(prompt=text, negative_prompt=None)
    least = NO_PROMPTS if model.prompt is None or not model.prompt.required else CAT
    return {
        "model": model.id,
        "requests": [
            request(model, least, minimal(model)[1], 1),
            request(model, prompts, every, model.seed_max),
        ],
        "replies": [reply(model, reason) for reason in REASONS],
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        stem = name.removeprefix("us.").removeprefix("stability.").replace(":", ".")
        text = json.dumps(golden(MODELS[name]), indent=1)
        (GOLDEN / f"{stem}.json").write_text(f"{text}\n", encoding="utf-8")
