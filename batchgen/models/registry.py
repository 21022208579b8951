"""Every model family and every model that we have facts of."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.models import image_services, sdxl, stable_image
from batchgen.models.base import Family, Model

FAMILIES: Mapping[str, Family] = {
    stable_image.NAME: stable_image,
    sdxl.NAME: sdxl,
    image_services.NAME: image_services,
}
"""Every family by its name. A new family is a module and a line here."""

MODELS: Mapping[str, Model] = {
    model.id: model for family in FAMILIES.values() for model in family.MODELS.values()
}
"""Every model that we have facts of, by its id."""
