"""All that a picture depends on; knows nothing of how pictures are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Edit(StrEnum):
    """What becomes of a picture that was sent."""

    ENLARGE = "enlarge"
    """It is shown in another size."""
    CUT_OUT = "cut out"
    """Its background becomes transparent."""
    FILL = "fill"
    """Part of it is painted anew."""
    EXTEND = "extend"
    """What lies around it is painted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRequest:
    """All that a picture depends on."""

    model: str
    """Its title, as the caption writes it."""
    request: str
    """The request in one canonical form; decides, with model and seed, what is painted."""
    prompt: str
    seed: int
    size: tuple[int, int]
    """Width and height."""
    format: str
    """`png`, `jpeg` or `webp`."""
    source: bytes | None = None
    """Picture to start from, for image-to-image."""
    strength: float = 1.0
    """1 ignores the source, 0 keeps it."""
    edit: Edit | None = None
    """What is done to the source in its full size; None: it is blended into the picture."""
    mask: bytes | None = None
    """Picture that is white where the source is to change; None: the source's own alpha."""
    offset: tuple[int, int] = (0, 0)
    """Where the source's corner lies in a picture that extends it."""
    blurred: bool = False
    """As a refused picture is shown."""
