"""Service Quotas: the requests a minute of each model (JSON protocol 1.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchgen.simulator.calls import Answer, json_answer
from batchgen.simulator.errors import Refused
from batchgen.simulator.models import MODELS, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.credentials import Caller
    from batchgen.simulator.quota import Quotas

TARGET = "ServiceQuotasV20190624."
_JSON = "application/x-amz-json-1.1"
_PAGE = 100
_SERVICE = "bedrock"
_TITLES = {
    "stability.stable-image-core-v1:1": "Stability.ai Stable Image Core",
    "stability.stable-image-ultra-v1:1": "Stability.ai Stable Image Ultra",
    "stability.sd3-5-large-v1:0": "Stability.ai Stable Diffusion 3.5 Large",
    "stability.sd3-large-v1:0": "Stability.ai Stable Diffusion 3 Large",
    "stability.stable-diffusion-xl-v1": "Stability.ai Stable Diffusion XL 1.0",
    "stability.stable-diffusion-xl-v0": "Stability.ai Stable Diffusion XL 0.8",
}
"""How Service Quotas calls a model; one quota is for all versions of it."""


def answer(target: str, body: bytes, caller: Caller, quotas: Quotas) -> Answer:
    """The answer to one request."""
    asked = _asked(body)
    operation = target.removeprefix(TARGET)
    if asked.get("ServiceCode") != _SERVICE:
        raise Refused(
            "NoSuchResourceException",
            "The request failed because the specified service does not exist.",
        )
    if operation in {"ListServiceQuotas", "ListAWSDefaultServiceQuotas"}:
        applied = operation == "ListServiceQuotas"
        listed = [_quota(id_, caller, quotas if applied else None) for id_ in _TITLES]
        return _page(listed, asked)
    if operation in {"GetServiceQuota", "GetAWSDefaultServiceQuota"}:
        applied = operation == "GetServiceQuota"
        for id_ in _TITLES:
            quota = _quota(id_, caller, quotas if applied else None)
            if quota["QuotaCode"] == asked.get("QuotaCode"):
                return json_answer({"Quota": quota}, _JSON)
        raise Refused(
            "NoSuchResourceException",
            "The request failed because the specified quota does not exist.",
        )
    raise Refused("UnknownOperationException")


def refused(error: Refused) -> Answer:
    """An error in the shape of this protocol, which names it in the body."""
    body = json.dumps({"__type": error.name, "Message": error.message}).encode("ascii")
    return Answer(status=error.status, parts=(body,), content_type=_JSON)


def _asked(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise Refused("SerializationException", "The request is no JSON object.")
    return asked


def _page(listed: list[dict[str, Any]], asked: Mapping[str, Any]) -> Answer:
    try:
        start = int(asked.get("NextToken") or 0)
        end = start + int(asked.get("MaxResults") or _PAGE)
    except (TypeError, ValueError):
        raise Refused("InvalidPaginationTokenException", "Invalid pagination token.") from None
    document: dict[str, Any] = {"Quotas": listed[start:end]}
    if end < len(listed):
        document["NextToken"] = str(end)
    return json_answer(document, _JSON)


def _quota(id_: str, caller: Caller, applied: Quotas | None) -> dict[str, Any]:
    model: Model = MODELS[id_]
    code = model.quota_code
    return {
        "ServiceCode": _SERVICE,
        "ServiceName": "Amazon Bedrock",
        "QuotaArn": f"arn:aws:servicequotas:{caller.region}:{caller.account}:bedrock/{code}",
        "QuotaCode": code,
        "QuotaName": f"On-demand model inference requests per minute for {_TITLES[id_]}",
        "Value": float(applied.rpm(model) if applied else model.rpm),
        "Unit": "None",
        "Adjustable": False,
        "GlobalQuota": False,
        "Period": {"PeriodValue": 1, "PeriodUnit": "MINUTE"},
    }
