"""From an exception of the SDK to one of ours: what it proves about the call decides."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import botocore.exceptions

from batchgen.errors import AttemptError, CredentialsRefused
from batchgen.service_errors import local_error, reply_error


def translated(error: Exception) -> AttemptError | None:
    """Our error for what a call raised; None for one that nobody foresaw."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _client_error(error)
    return local_error(error, sent=not _never_left(error))


def _never_left(error: Exception) -> bool:
    """Whether not a byte of the request left: only a failure to connect proves that.

    The SDK's EndpointConnectionError covers a reset after the request was read as well.
    """
    cause = (
        error.kwargs.get("error") if isinstance(error, botocore.exceptions.BotoCoreError) else error
    )
    return isinstance(cause, aiohttp.ClientConnectorError | socket.gaierror)


def _client_error(error: Any) -> AttemptError:
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    ours = reply_error(
        int(metadata.get("HTTPStatusCode", 0)),
        str(details.get("Code", "Unknown")),
        str(details.get("Message") or details.get("message") or "the service gave no message"),
        metadata.get("RequestId"),
    )
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
