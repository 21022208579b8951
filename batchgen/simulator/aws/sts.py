"""AWS STS: who am I, and the keys of a role (query protocol, XML answers)."""

from __future__ import annotations

import re
import secrets
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from batchgen.simulator.calls import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from batchgen.simulator.credentials import Caller, Credentials
    from batchgen.simulator.errors import Refused

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/(?:.*/)?(?P<name>[^/]+)")
_DURATIONS = range(900, 43_201)
"""Seconds that the keys of a role may live."""


def answer(body: bytes, caller: Caller, credentials: Credentials) -> Answer:
    """The answer to one STS request."""
    asked = dict(parse_qsl(body.decode("utf-8", "replace")))
    action = asked.get("Action", "")
    if action == "GetCallerIdentity":
        return _result(action, _identity(caller))
    if action == "AssumeRole":
        return _assume(asked, credentials)
    return _error(400, "InvalidAction", f"Could not find operation {action} for version 2011-06-15")


def refused(error: Refused) -> Answer:
    """An error in the shape of STS, whose names have no `Exception` at their end."""
    return _error(error.status, error.name.removesuffix("Exception"), error.message)


def _identity(caller: Caller) -> str:
    return _elements(
        {
            "UserId": caller.key_id,
            "Account": caller.account,
            "Arn": f"arn:aws:iam::{caller.account}:user/simulated",
        }
    )


def _assume(asked: Mapping[str, str], credentials: Credentials) -> Answer:
    role = _ROLE.fullmatch(asked.get("RoleArn", ""))
    session = asked.get("RoleSessionName", "")
    seconds = _whole(asked.get("DurationSeconds", "3600"))
    if role is None or not session or seconds not in _DURATIONS:
        wrong = "RoleArn, RoleSessionName and DurationSeconds must be given and valid"
        return _error(400, "ValidationError", wrong)
    key_id = "ASIA" + secrets.token_hex(8).upper()
    credentials.enrol(key_id, role["account"])
    expires = datetime.fromtimestamp(credentials.now() + seconds, UTC)
    keys = _elements(
        {
            "AccessKeyId": key_id,
            "SecretAccessKey": secrets.token_urlsafe(30),
            "SessionToken": secrets.token_urlsafe(60),
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    user = _elements(
        {
            "AssumedRoleId": f"AROASIMULATED:{session}",
            "Arn": f"arn:aws:sts::{role['account']}:assumed-role/{role['name']}/{session}",
        }
    )
    xml = f"<Credentials>{keys}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>"
    return _result("AssumeRole", xml)


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _result(action: str, xml: str) -> Answer:
    return _xml(
        200,
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{xml}</{action}Result>'
        f"{_metadata()}</{action}Response>",
    )


def _error(status: int, code: str, message: str) -> Answer:
    told = _elements({"Type": "Sender", "Code": code, "Message": message})
    return _xml(
        status,
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{told}</Error>{_metadata()}</ErrorResponse>',
    )


def _metadata() -> str:
    return f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"


def _xml(status: int, xml: str) -> Answer:
    return Answer(status=status, parts=(xml.encode(),), content_type="text/xml")
