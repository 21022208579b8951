"""Which foundation model a model id stands for, and what Service Quotas calls its quota; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from batchgen.models import GEOGRAPHIES

TITLES: Mapping[str, str] = {
    "stability.stable-image-core-v1:1": "Stability.ai Stable Image Core",
    "stability.stable-image-core-v1:0": "Stability.ai Stable Image Core",
    "stability.stable-image-ultra-v1:1": "Stability.ai Stable Image Ultra",
    "stability.stable-image-ultra-v1:0": "Stability.ai Stable Image Ultra",
    "stability.sd3-5-large-v1:0": "Stability.ai Stable Diffusion 3.5 Large",
    "stability.sd3-large-v1:0": "Stability.ai Stable Diffusion 3 Large",
    "stability.stable-diffusion-xl-v1": "Stability.ai Stable Diffusion XL 1.0",
    "stability.stable-diffusion-xl-v0": "Stability.ai Stable Diffusion XL 0.8",
    "stability.stable-diffusion-xl": "Stability.ai Stable Diffusion XL 0.8",
}
"""Foundation model -> its name in Service Quotas, which has one quota for all versions.

Source: AWS General Reference, "Amazon Bedrock endpoints and quotas".
"""
ON_DEMAND = "On-demand model inference requests per minute for"
CROSS_REGION = "Cross-region model inference requests per minute for"

_ARN = re.compile(
    r"arn:aws[a-z-]*:bedrock:(?P<region>[a-z0-9-]*):\d*:(?P<kind>[a-z-]+)/(?P<tail>.+)"
)


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
        title = TITLES.get(self.model_id or "")
        if title is None or self.kind is Kind.OTHER:
            return None
        return f"{CROSS_REGION if self.many_regions else ON_DEMAND} {title}"

    def routed_to(self, model_arns: Iterable[str]) -> Foundation:
        """The same profile with the foundation models that the service says it calls."""
        found = [arn for arn in map(_ARN.fullmatch, model_arns) if arn is not None]
        if not found:
            return self
        regions = {arn["region"] for arn in found}
        return replace(self, model_id=found[0]["tail"], many_regions=len(regions) > 1)


def foundation_of(model_id: str) -> Foundation:
    """What an id, an inference profile or an ARN spells out."""
    arn = _ARN.fullmatch(model_id)
    kind = "" if arn is None else arn["kind"]
    tail = model_id if arn is None else arn["tail"]
    geography, _, rest = tail.partition(".")
    if kind in ("", "inference-profile") and geography in GEOGRAPHIES and "." in rest:
        return Foundation(kind=Kind.PROFILE, model_id=rest, many_regions=True)
    if kind.endswith("inference-profile"):
        return Foundation(kind=Kind.PROFILE, model_id=None)
    if kind in ("", "foundation-model"):
        return Foundation(kind=Kind.MODEL, model_id=tail)
    return Foundation(kind=Kind.OTHER, model_id=None)
