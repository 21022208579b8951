"""From an exception of the SDK to one of ours: what it proves about the call decides."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import botocore.exceptions

from batchgen.bedrock.error_table import REFRESH_ADVICE, local_error, reply_error
from batchgen.errors import AttemptError, CredentialsRefused, Throttled, Unavailable

OPERATION = "InvokeModel"
LONGEST_MESSAGE = 2_000
"""Characters; where a proxy answers, the SDK takes its whole page for the message."""


def translate(error: Exception) -> AttemptError | None:
    """Our error for what a call raised; None for one that was not foreseen."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _client_error(error)
    cause = _cause(error)
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        error = cause  # the SDK has one class for a wrong certificate and for a broken handshake
    # Only a failure to connect proves that not a byte of the request left: the SDK's
    # EndpointConnectionError covers a reset after the request was read as well.
    sent = not isinstance(cause, aiohttp.ClientConnectorError | socket.gaierror)
    return local_error(error, sent=sent)


def _cause(error: Any) -> object:
    """What the network layer raised, out of the SDK's wrapping."""
    wrapped = isinstance(error, botocore.exceptions.BotoCoreError)
    return error.kwargs.get("error") if wrapped else error


def _client_error(error: Any) -> AttemptError:
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code = str(details.get("Code", "Unknown"))
    said = details.get("Message") or details.get("message") or "the service gave no message"
    message = str(said)[:LONGEST_MESSAGE]
    request_id = metadata.get("RequestId")
    if error.operation_name != OPERATION:
        # The SDK was still at its credentials: a role that cannot be assumed, say.
        text = f"{error.operation_name}: {message}"
        return CredentialsRefused(text, code=code, advice=REFRESH_ADVICE, request_id=request_id)
    status = int(metadata.get("HTTPStatusCode", 0))
    ours = reply_error(status, code, message, request_id)
    if isinstance(ours, CredentialsRefused):
        return CredentialsRefused(
            message,
            code=code,
            advice=ours.advice,
            request_id=request_id,
            clock_skew=clock_skew(metadata),
        )
    if isinstance(ours, Throttled | Unavailable):
        return type(ours)(
            message,
            code=code,
            advice=ours.advice,
            request_id=request_id,
            retry_after=_retry_after(metadata),
        )
    return ours


def _retry_after(metadata: Mapping[str, Any]) -> float | None:
    """Seconds that a reply asks to wait, as a number or as an instant; None if it asks for none."""
    asked = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", asked):
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def clock_skew(metadata: Mapping[str, Any]) -> float | None:
    """Seconds by which this machine's clock is ahead of the service's; None if it did not say.

    Args:
        metadata: of a reply, as the SDK parses it.
    """
    try:
        date = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
        return (datetime.now(UTC) - date).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
