"""Whether a picture has the size that its request asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchgen.models.aspect_ratios import CLOSE, Size, apart
from batchgen.models.registry import FAMILIES


def missed_size(request: Mapping[str, Any], family: str, size: Size) -> str | None:
    """What was asked for, `1344x768` or `16:9`, where the picture is of another size or shape.

    None where it is right, or where an input decides it. Of a request that gives no size in pixels
    only the shape is compared: which size the service makes of it is its own business.
    """
    parts = FAMILIES[family].parts(request)
    if parts.shape is None:
        return None
    width, height = parts.shape
    if parts.is_exact_size:
        return None if size == parts.shape else f"{width}x{height}"
    return None if apart(size, parts.shape) <= CLOSE else f"{width}:{height}"
