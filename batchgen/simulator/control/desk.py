"""Which of the other services a request is for, by its signing name and its path."""

from __future__ import annotations

import re
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote

from batchgen.simulator.answer import refusal
from batchgen.simulator.credentials import signing_name
from batchgen.simulator.errors import Refused

from . import foundation, quotas, sts
from .reply import Reply, request_id

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
) -> Reply:
    """The answer to a request that is no InvokeModel; `path` is as it was sent, still encoded."""
    reply = _answer(service, path, headers, query, body)
    date = formatdate(service.gate.now(), usegmt=True)
    return replace(reply, headers={**reply.headers, "Date": date})


def _answer(
    service: Service, path: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
) -> Reply:
    name = signing_name(headers)
    try:
        caller = service.gate.admit(headers)
        _check_access(name, service)
        if name == "sts":
            return sts.answer(body, caller, service.gate)
        if name == "servicequotas":
            target = headers.get("X-Amz-Target", "")
            return quotas.answer(target, body, caller, service.quotas)
        return _bedrock(service, path, query, caller)
    except Refused as error:
        return _refused(name, error)


def _check_access(name: str, service: Service) -> None:
    if name in service.options.deny:
        raise Refused("AccessDeniedException", "User is not authorized to perform this action.")


def _bedrock(service: Service, path: str, query: Mapping[str, str], caller: Caller) -> Reply:
    if _MODELS.fullmatch(path):
        return foundation.models(query, caller, service.options)
    if match := _MODEL.fullmatch(path):
        return foundation.model(unquote(match["id"]), caller, service.options)
    if match := _AVAILABILITY.fullmatch(path):
        return foundation.availability(unquote(match["id"]), caller, service.options)
    if match := _PROFILE.fullmatch(path):
        return foundation.profile(unquote(match["id"]), caller, service.options)
    raise Refused("UnknownOperationException")


def _refused(name: str, error: Refused) -> Reply:
    if name == "sts":
        return sts.refused(error)
    if name == "servicequotas":
        return quotas.refused(error)
    told = refusal(error, request_id()["x-amzn-RequestId"])
    return Reply(
        status=told.status,
        body=b"".join(told.parts),
        content_type=told.content_type,
        headers={**told.headers},
    )
