"""Service Quotas: the requests a minute of each model (JSON protocol 1.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from batchgen.simulator.calls import Answer, json_answer
from batchgen.simulator.errors import Refused
from batchgen.simulator.models import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.credentials import Caller
    from batchgen.simulator.families.base import Model
    from batchgen.simulator.quota import Quotas

TARGET = "ServiceQuotasV20190624."
_JSON = "application/x-amz-json-1.1"
_PAGE = 100
_SERVICE = "bedrock"
_LISTED = tuple(model for model in MODELS.values() if model.quota_title is not None)


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
        listed = [_quota(model, caller, quotas if applied else None) for model in _LISTED]
        return _page(listed, asked)
    if operation in {"GetServiceQuota", "GetAWSDefaultServiceQuota"}:
        applied = operation == "GetServiceQuota"
        for model in _LISTED:
            quota = _quota(model, caller, quotas if applied else None)
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
    except (ValueError, RecursionError):
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


def _quota(model: Model, caller: Caller, applied: Quotas | None) -> dict[str, Any]:
    code = model.quota_code
    return {
        "ServiceCode": _SERVICE,
        "ServiceName": "Amazon Bedrock",
        "QuotaArn": f"arn:aws:servicequotas:{caller.region}:{caller.account}:bedrock/{code}",
        "QuotaCode": code,
        "QuotaName": f"On-demand model inference requests per minute for {model.quota_title}",
        "Value": float(applied.rpm(model) if applied else model.rpm),
        "Unit": "None",
        "Adjustable": False,
        "GlobalQuota": False,
        "Period": {"PeriodValue": 1, "PeriodUnit": "MINUTE"},
    }
