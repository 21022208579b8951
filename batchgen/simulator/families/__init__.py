"""What the model families take and how they answer: one module of one shape for each."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from . import image_services, sdxl, stable_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Family

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {"stable-image": stable_image, "sdxl": sdxl, "image-services": image_services}
)
