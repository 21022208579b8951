"""The model families, and which of their models an id, a profile or an ARN means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from batchgen.models import sdxl, stable_image
from batchgen.models.base import Family, LifeCycle, Model, UnknownModel
from batchgen.text import closest, quoted

FAMILIES: Mapping[str, Family] = {
    stable_image.NAME: stable_image,
    sdxl.NAME: sdxl,
}
"""Every family by its name. A new family is a module and a line here."""

MODELS: Mapping[str, Model] = {
    model.id: model for family in FAMILIES.values() for model in family.MODELS.values()
}
"""Every model that we have facts of, by its id."""

GEOGRAPHIES = ("us", "us-gov", "eu", "apac", "au", "ca", "jp", "global")
"""What a system-defined inference profile puts before the id of its model."""
ARN_SHOWN = 150
"""Characters: the end of an ARN tells more than its beginning."""

_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]+:\d*:(?P<kind>[a-z-]+)/(?P<tail>[A-Za-z0-9._:/-]+)"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,2047}")


def find(model_id: str, family: str | None = None) -> Model:
    """The model that a job names: a known id, an inference profile, an ARN, or any id at all.

    A profile or an ARN whose end names a known model has the facts of that model, except for the
    Regions of a profile. All others need `family`: the name of a family, or the known id of the
    model behind, whose facts then hold.

    Raises:
        UnknownModel: nothing tells which facts hold, or `family` contradicts them.
    """
    behind = None if family is None else _of_family(family)
    known = _named(model_id)
    if known is None:
        _require_form(model_id)
        if behind is None:
            raise UnknownModel(_unknown(model_id))
        return replace(behind, id=model_id, regions=())
    if behind is not None and behind.family != known.family:
        text = f"{_shown_id(model_id)} is of the family {known.family}, not {behind.family}"
        raise UnknownModel(f"{text}: leave the family out")
    return known


def _of_family(name: str) -> Model:
    if name in MODELS:
        return MODELS[name]
    if name in FAMILIES:
        return FAMILIES[name].generic(name)
    near = closest(name, (*FAMILIES, *MODELS))
    hint = f'; did you mean "{near}"?' if near else ""
    families = ", ".join(FAMILIES)
    text = f"{quoted(name)} is no model family; allowed: {families}, or a known model id{hint}"
    raise UnknownModel(text)


def _named(model_id: str) -> Model | None:
    """The known model that an id, a profile or an ARN spells out."""
    if model_id in MODELS:
        return MODELS[model_id]
    arn = _ARN.fullmatch(model_id)
    tail = arn["tail"] if arn else model_id
    geography, _, rest = tail.partition(".")
    if tail in MODELS:
        return replace(MODELS[tail], id=model_id)
    if geography in GEOGRAPHIES and rest in MODELS:
        return replace(MODELS[rest], id=model_id, regions=())
    return None


def _require_form(model_id: str) -> None:
    if model_id.startswith("arn:") and not _ARN.fullmatch(model_id):
        text = f"{_shown_id(model_id)} is no ARN of a Bedrock model"
        raise UnknownModel(f"{text}: expected arn:aws:bedrock:REGION:ACCOUNT:KIND/NAME")
    if not _ID.fullmatch(model_id):
        raise UnknownModel(
            f"{_shown_id(model_id)} is no model id: only letters, digits and . _ : / -"
        )


def _unknown(model_id: str) -> str:
    arn = _ARN.fullmatch(model_id)
    near = closest(arn["tail"] if arn else model_id, MODELS)
    what = "does not tell which model it runs" if arn else "is not a model that batchgen knows"
    hint = f'; did you mean "{near}"? Otherwise' if near else ":"
    active = ", ".join(id_ for id_, model in MODELS.items() if model.life_cycle is LifeCycle.ACTIVE)
    advice = f"name its family ({' or '.join(FAMILIES)}), or use one of {active}"
    return f"{_shown_id(model_id)} {what}{hint} {advice}"


def _shown_id(model_id: str) -> str:
    return quoted(model_id, longest=ARN_SHOWN)
