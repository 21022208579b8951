"""A job before and after an edit."""

from __future__ import annotations

from typing import Any

from crashing import WHOLE, Scene, Told
from interposer import Fault

ITEMS = [
    {"id": "mug", "prompt": "a blue mug", "seed": 11},
    {"id": "lamp", "prompt": "a brass lamp", "seed": 12},
    {"id": "scarf", "prompt": "a wool scarf", "seed": 13},
    {"id": "chair", "prompt": "an oak chair", "seed": 14},
]


def edited() -> list[dict[str, Any]]:
    """A new prompt for the mug, lamp and scarf with swapped names, a new name for the chair."""
    mug, lamp, scarf, chair = ITEMS
    return [
        {**mug, "prompt": "a red mug"},
        {**lamp, "id": "scarf"},
        {**scarf, "id": "lamp"},
        {**chair, "id": "stool"},
    ]


def run_items(scene: Scene, items: list[dict[str, Any]], fault: Fault = WHOLE) -> Told:
    """Run the scene's job with these items."""
    scene.job["items"] = items
    return scene.run(fault)
