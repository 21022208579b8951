"""An answer of one of the other services."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, headers and body."""

    status: int = 200
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def plain_json(document: dict[str, Any], content_type: str = "application/json") -> Reply:
    """A JSON answer."""
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    return Reply(body=body, content_type=content_type, headers=request_id())


def request_id() -> dict[str, str]:
    """The header that every answer of AWS has."""
    return {"x-amzn-RequestId": str(uuid.uuid4())}
