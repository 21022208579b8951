"""An HTTP answer of the service, and what is to go wrong while it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import Refused
    from .faults.directive import Directive

TYPE_SUFFIX = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int = 200
    parts: tuple[bytes, ...] = ()
    """The body, in parts that are sent one after the other."""
    request_id: str
    content_type: str = "application/json"
    error: str | None = None
    """The exception's name."""
    latency_ms: int | None = None
    ahead: float = 0.0
    """Seconds that the `Date` header is ahead of the true time."""
    delivery: Directive | None = None
    """What goes wrong while it is sent."""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)

    @property
    def headers(self) -> dict[str, str]:
        """All headers but `Date` and `Content-Length`."""
        headers = {"Content-Type": self.content_type, "x-amzn-RequestId": self.request_id}
        if self.error:
            headers["x-amzn-ErrorType"] = self.error + TYPE_SUFFIX
        if self.latency_ms is not None:
            headers["x-amzn-bedrock-invocation-latency"] = str(self.latency_ms)
        return headers


def refusal(refused: Refused, request_id: str) -> Answer:
    """The answer that an error gets: its type in a header, its message in a compact body."""
    body = json.dumps({"message": refused.message}, separators=(",", ":")).encode("ascii")
    return Answer(status=refused.status, parts=(body,), request_id=request_id, error=refused.name)


_PAGE = (
    b"<html>\r\n<head><title>%(title)s</title></head>\r\n<body>\r\n"
    b"<center><h1>%(title)s</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n"
)


def damaged(answer: Answer, directive: Directive) -> Answer:
    """The answer after one of the actions on the bytes of a reply."""
    if directive.action == "html":
        page = _PAGE % {b"title": b"Please sign in to the network"}
        return replace(answer, parts=(page,), content_type="text/html")
    if directive.action == "html-502":
        page = _PAGE % {b"title": b"502 Bad Gateway"}
        return replace(answer, status=502, parts=(page,), content_type="text/html")
    if directive.action == "empty-body":
        return replace(answer, parts=())
    body = b"".join(answer.parts)
    keep = len(body) // 2 if directive.bytes is None else directive.bytes
    return replace(answer, parts=(body[:keep],))
