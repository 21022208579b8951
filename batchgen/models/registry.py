"""Every model family and every model that we have facts of."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.models import image_services, sdxl, stable_image
from batchgen.models.base import Family, LifeCycle, Model
from batchgen.models.constraints import TITLES

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


def _titles() -> Mapping[str, tuple[str, ...]]:
    """Parameter -> titles of the models that take it, each once and the retired ones last."""
    found: dict[str, dict[str, None]] = {}
    for model in sorted(MODELS.values(), key=lambda model: model.life_cycle is LifeCycle.RETIRED):
        for name in model.parameters:
            found.setdefault(name, {})[model.title] = None
    return {name: tuple(titles) for name, titles in found.items()}


TITLES |= _titles()
