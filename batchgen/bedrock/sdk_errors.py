"""From an exception of the SDK to one of ours: what it proves about the call decides."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import botocore.exceptions

from batchgen.bedrock.error_table import REFRESH_ADVICE, local_error, reply_error
from batchgen.errors import AttemptError, CredentialsRefused

OPERATION = "InvokeModel"
LONGEST_MESSAGE = 2_000
"""Characters; where a proxy answers, the SDK takes its whole page for the message."""


def translated(error: Exception) -> AttemptError | None:
    """Our error for what a call raised; None for one that nobody foresaw."""
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
    ours = reply_error(int(metadata.get("HTTPStatusCode", 0)), code, message, request_id)
    if isinstance(ours, CredentialsRefused):
        ours.clock_skew = _clock_skew(metadata.get("HTTPHeaders", {}).get("date"))
    return ours


def _clock_skew(date: str | None) -> float | None:
    """Seconds by which this machine's clock is ahead of the service's; None if it did not say."""
    if date is None:
        return None
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return None
