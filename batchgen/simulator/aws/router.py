"""Which of the other services a request is for, by its signing name and its path."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from batchgen.simulator.calls import Answer, refusal
from batchgen.simulator.credentials import signing_name
from batchgen.simulator.errors import Refused

from . import bedrock, service_quotas, sts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.credentials import Caller
    from batchgen.simulator.service import Service

_MODELS = re.compile(r"/foundation-models/?")
_MODEL = re.compile(r"/foundation-models/(?P<id>[^/]+)")
_AVAILABILITY = re.compile(r"/foundation-model-availability/(?P<id>[^/]+)")
_PROFILE = re.compile(r"/inference-profiles/(?P<id>[^/]+)")


def answer(
    service: Service, path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Answer:
    """The answer to a request that is no InvokeModel; `path` is as it was sent, still encoded."""
    reply = _answer(service, path, headers, query, body)
    return replace(reply, ahead=service.options.clock_skew)


def _answer(
    service: Service, path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Answer:
    name = signing_name(headers)
    try:
        caller = service.credentials.admit(headers)
        _check_access(name, service)
        if name == "sts":
            return sts.answer(body, caller, service.credentials)
        if name == "servicequotas":
            target = headers.get("X-Amz-Target", "")
            return service_quotas.answer(target, body, caller, service.quotas)
        return _bedrock(service, path, query, caller)
    except Refused as error:
        return _refused(name, error)


def _check_access(name: str, service: Service) -> None:
    if name in service.options.deny:
        raise Refused("AccessDeniedException", "User is not authorized to perform this action.")


def _bedrock(service: Service, path: str, query: Mapping[str, str], caller: Caller) -> Answer:
    if _MODELS.fullmatch(path):
        return bedrock.models(query, caller, service.options)
    if match := _MODEL.fullmatch(path):
        return bedrock.model(unquote(match["id"]), caller, service.options)
    if match := _AVAILABILITY.fullmatch(path):
        return bedrock.availability(unquote(match["id"]), caller, service.options)
    if match := _PROFILE.fullmatch(path):
        return bedrock.profile(unquote(match["id"]), caller, service.options)
    raise Refused("UnknownOperationException")


def _refused(name: str, error: Refused) -> Answer:
    if name == "sts":
        return sts.refused(error)
    if name == "servicequotas":
        return service_quotas.refused(error)
    return refusal(error, str(uuid.uuid4()))
