"""Which model an id, an inference profile or an ARN names, and what its quota is called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from batchgen.models.base import LifeCycle, Model, UnknownModel
from batchgen.models.registry import FAMILIES, MODELS
from batchgen.text import closest, did_you_mean, quoted

GEOGRAPHIES = ("us", "us-gov", "eu", "apac", "au", "ca", "jp", "global")
"""What a system-defined inference profile puts before the id of its model."""
ARN_SHOWN = 150
"""Characters: the end of an ARN tells more than its beginning."""
ON_DEMAND = "On-demand model inference requests per minute for"
CROSS_REGION = "Cross-region model inference requests per minute for"

_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):\d*:(?P<kind>[a-z-]+)/(?P<name>[A-Za-z0-9._:/-]+)"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,2047}")


FOUNDATIONS = {
    model.id.partition(".")[2] if model.by_profile else model.id: model for model in MODELS.values()
}
"""Every known model by the id of the foundation model, which for some is not what is called."""


class Kind(StrEnum):
    """What a model id names."""

    MODEL = "foundation model"
    PROFILE = "inference profile"
    OTHER = "custom or provisioned model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What stands behind a model id."""

    kind: Kind
    model_id: str | None
    """Of the foundation model; None where the id does not spell it out."""
    many_regions: bool = False
    """Calls may be routed to several Regions, under a quota of its own."""

    @property
    def quota_name(self) -> str | None:
        """What Service Quotas calls its calls a minute; None where that is not known."""
        model = FOUNDATIONS.get(self.model_id or "")
        if model is None or model.quota_title is None or self.kind is Kind.OTHER:
            return None
        # A model that is called by its profile alone has no other quota than the usual one.
        is_apart = self.many_regions and not model.by_profile
        return f"{CROSS_REGION if is_apart else ON_DEMAND} {model.quota_title}"

    def routed_to(self, model_arns: Iterable[str]) -> Foundation:
        """The same profile with the foundation models that the service says it calls."""
        found = [arn for arn in map(_ARN.fullmatch, model_arns) if arn is not None]
        if not found:
            return self
        regions = {arn["region"] for arn in found}
        return replace(self, model_id=found[0]["name"], many_regions=len(regions) > 1)


def foundation_of(model_id: str) -> Foundation:
    """What an id, an inference profile or an ARN spells out."""
    arn = _ARN.fullmatch(model_id)
    kind, name = ("", model_id) if arn is None else (arn["kind"], arn["name"])
    geography, _, rest = name.partition(".")
    if kind in ("", "inference-profile") and geography in GEOGRAPHIES and "." in rest:
        return Foundation(kind=Kind.PROFILE, model_id=rest, many_regions=True)
    if kind.endswith("inference-profile"):
        return Foundation(kind=Kind.PROFILE, model_id=None)
    if kind in ("", "foundation-model"):
        return Foundation(kind=Kind.MODEL, model_id=name)
    return Foundation(kind=Kind.OTHER, model_id=None)


def find(model_id: str, family: str | None = None, *, advice: str | None = None) -> Model:
    """The model that a job names: a known id, an inference profile, an ARN, or any id at all.

    A profile or an ARN that spells out a known model has the facts of that model, except for the
    Regions of a profile. All others need `family`: the name of a family, or the known id of the
    model behind, whose facts then hold.

    Args:
        model_id: as the job names it.
        family: as the job names it.
        advice: what to do about an unknown model; left out: name its family.

    Raises:
        UnknownModel: nothing tells which facts hold, or `family` contradicts them.
    """
    behind = None if family is None else _of_family(family)
    known = _spelled_out(model_id)
    if known is None:
        _require_form(model_id)
        if behind is None:
            raise UnknownModel(_unknown(model_id, advice))
        return replace(behind, id=model_id, regions=())
    if behind is not None and behind.family != known.family:
        text = f"{_shown(model_id)} is of the family {known.family}, not {behind.family}"
        raise UnknownModel(f"{text}: leave the family out")
    return known


def _of_family(name: str) -> Model:
    if name in MODELS:
        return MODELS[name]
    if name in FAMILIES:
        return FAMILIES[name].generic(name)
    hint = did_you_mean(closest(name, (*FAMILIES, *MODELS)))
    families = ", ".join(FAMILIES)
    text = f"{quoted(name)} is no model family; allowed: {families}, or a known model id{hint}"
    raise UnknownModel(text)


def _spelled_out(model_id: str) -> Model | None:
    """The known model that an id, a profile or an ARN spells out."""
    if model_id in MODELS:
        return MODELS[model_id]
    foundation = foundation_of(model_id)
    model = FOUNDATIONS.get(foundation.model_id or "")
    if model is None or not _is_well_formed(model_id):
        return None
    is_profile = foundation.kind is Kind.PROFILE
    if model.by_profile and not is_profile:
        return None  # it cannot be called, unless the job says what it is
    return replace(model, id=model_id, regions=() if is_profile else model.regions)


def _is_well_formed(model_id: str) -> bool:
    arn = _ARN.fullmatch(model_id)
    return bool(arn["region"]) if arn else not model_id.startswith("arn:")


def _require_form(model_id: str) -> None:
    if not _is_well_formed(model_id):
        text = f"{_shown(model_id)} is no ARN of a Bedrock model"
        raise UnknownModel(f"{text}: expected arn:aws:bedrock:REGION:ACCOUNT:KIND/NAME")
    if not _ID.fullmatch(model_id):
        raise UnknownModel(f"{_shown(model_id)} is no model id: only letters, digits and . _ : / -")


def _unknown(model_id: str, advice: str | None) -> str:
    arn = _ARN.fullmatch(model_id)
    behind = FOUNDATIONS.get(foundation_of(model_id).model_id or "")
    if behind is not None and behind.by_profile:
        return f"{_shown(model_id)} is called by its inference profile alone: name {behind.id}"
    hint = did_you_mean(closest(arn["name"] if arn else model_id, MODELS))
    what = "does not tell which model it runs" if arn else "is not a model that batchgen knows"
    hint = f"{hint} Otherwise" if hint else ":"
    if advice is None:
        active = (
            name
            for name, model in MODELS.items()
            if model.life_cycle is LifeCycle.ACTIVE and not model.by_profile
        )
        families, known = " or ".join(FAMILIES), ", ".join(active)
        advice = f"name its family ({families}), or use one of {known}, or an image service"
    return f"{_shown(model_id)} {what}{hint} {advice}"


def _shown(model_id: str) -> str:
    return quoted(model_id, longest=ARN_SHOWN)
