"""The text about a generation that image viewers of this field read from a PNG.

Its form is that of the AUTOMATIC1111 web interface: the prompt, a line for the negative prompt, and
one line of settings, of which viewers ask at least three. It is for people and their viewers: what
cannot stand in it is replaced, and the exact values are in the XMP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

NAMES = {"cfg_scale": "CFG scale", "steps": "Steps", "sampler": "Sampler"}
"""Parameters that the form has its own words for."""
UNWRITABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
QUOTED = re.compile('[,:\n"]')


def text_form(provenance: Mapping[str, Any], size: tuple[int, int], creator_tool: str) -> str:
    """The text.

    Args:
        provenance: the fields of `Provenance`.
        size: width and height of the picture.
        creator_tool: who wrote it.
    """
    lines = [provenance["prompt"] or ""]
    if provenance["negative_prompt"]:
        lines.append(f"Negative prompt: {provenance['negative_prompt']}")
    settings = _settings(provenance, size, creator_tool)
    lines.append(", ".join(f"{name}: {_quoted(value)}" for name, value in settings))
    return UNWRITABLE.sub("\ufffd", "\n".join(lines))


def _settings(
    provenance: Mapping[str, Any], size: tuple[int, int], creator_tool: str
) -> Iterator[tuple[str, object]]:
    scalars = {
        key: value
        for key, value in provenance["parameters"].items()
        if isinstance(value, str | int | float) and key not in ("width", "height")
    }
    for key in ("steps", "sampler", "cfg_scale"):
        if key in scalars:
            yield NAMES[key], scalars.pop(key)
    yield "Seed", provenance["seed"]
    yield "Size", f"{size[0]}x{size[1]}"
    yield "Model", provenance["model"]
    for key, value in scalars.items():
        yield key.replace("_", " ").capitalize(), value
    yield "Task", provenance["task_id"]
    yield "Version", creator_tool


def _quoted(value: object) -> str:
    """A value as the form's readers take it: in JSON's quotes where it holds a separator."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if QUOTED.search(text) else text
