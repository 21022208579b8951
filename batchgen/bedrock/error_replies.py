"""Error replies as the SDK sees them: judged by their status, whatever their body.

The SDK's parsers raise whatever they meet in a body that is not of the service: a list where an
object should be, bytes that are no UTF-8, a proxy's page. Here each error reply has a code and a
message, both texts of a bounded length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiobotocore.parsers import AioResponseParserFactory
from botocore.parsers import ResponseParserError

from batchgen.bedrock.error_table import SERVICE_ERRORS, STATUS_ERRORS
from batchgen.bedrock.wire import ERROR_STATUS
from batchgen.text import LONGEST_CODE, shortened

FREE = (429, 503)
"""Statuses that say by themselves that nothing was made."""
UNREADABLE = "the body of the answer cannot be read"


class ParserFactory(AioResponseParserFactory):  # type: ignore[misc]  # aiobotocore ships no types
    """Makes the SDK's parsers, each with a forgiving one around it."""

    def create_parser(self, protocol_name: str) -> _Parser:
        """The parser of a protocol."""
        return _Parser(super().create_parser(protocol_name))


class _Parser:
    def __init__(self, parser: Any) -> None:
        self._parser = parser

    async def parse(self, response: Mapping[str, Any], shape: Any) -> Any:
        """What the SDK needs to know of a response."""
        if response["status_code"] >= ERROR_STATUS:
            return await self._error(response, shape)
        try:
            return await self._parser.parse(response, shape)
        except Exception as error:
            raise ResponseParserError(f"{UNREADABLE}: {shortened(str(error))}") from error

    async def _error(self, response: Mapping[str, Any], shape: Any) -> dict[str, Any]:
        if shape is not None and shape.metadata.get("exception"):
            return {}  # more fields of an error that is parsed already
        try:
            parsed = await self._parser.parse(response, None)
            details = dict(parsed["Error"])
            request_id = parsed["ResponseMetadata"].get("RequestId")
        except Exception:  # noqa: BLE001  # whatever a parser raises, the status stands
            details, request_id = {"Message": _plain_text(response["body"])}, None
        headers = {str(name).lower(): value for name, value in response["headers"].items()}
        return {
            "Error": {
                "Code": _code(response["status_code"], headers, details.get("Code")),
                "Message": _message(details.get("Message")),
            },
            "ResponseMetadata": {
                "HTTPStatusCode": response["status_code"],
                "HTTPHeaders": headers,
                "RequestId": _text_or_none(request_id or headers.get("x-amzn-requestid")),
            },
        }


def _code(status: int, headers: Mapping[str, str], found: object) -> str:
    """The error's name: of the header, else of the body, else the status.

    A body may not turn a status that says "not now" into anything else.
    """
    named = headers.get("x-amzn-errortype", "").split(":")[0].strip()
    code = named or (found if isinstance(found, str) else "") or str(status)
    if not named and status in FREE:
        meaning = SERVICE_ERRORS.get(code)
        alike = meaning is not None and meaning.error in {
            STATUS_ERRORS[each].error for each in FREE
        }
        code = code if alike else str(status)
    return shortened(code, LONGEST_CODE)


def _message(found: object) -> str:
    if found is None or found == "":
        return ""
    return shortened(found if isinstance(found, str) else str(found))


def _text_or_none(value: object) -> str | None:
    return shortened(value, LONGEST_CODE) if isinstance(value, str) else None


def _plain_text(body: object) -> str:
    try:
        return body.decode() if isinstance(body, bytes) else UNREADABLE
    except UnicodeDecodeError:
        return UNREADABLE
