"""From an exception of the SDK to one of ours: what it proves about the call decides."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import aiohttp
import botocore.exceptions

from batchgen.bedrock.error_table import REFRESH_ADVICE, local_error, reply_error
from batchgen.errors import AttemptError, CredentialsRefused, Misconfigured

OPERATION = "InvokeModel"
NO_TLS = ("HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER")
"""What OpenSSL says when a port answers a handshake in something else."""


def translate(error: Exception, *, sent: bool) -> AttemptError | None:
    """Our error for what a call raised; None for one that was not foreseen.

    Args:
        error: what the SDK or the network raised.
        sent: whether a byte of the request may have left.
    """
    if isinstance(error, botocore.exceptions.ClientError):
        return _client_error(error)
    cause = _cause(error)
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        error = cause  # the SDK has one class for a wrong certificate and for a broken handshake
    return without_tls(error) or local_error(error, sent=sent)


def _cause(error: Any) -> object:
    """What the network layer raised, out of the SDK's wrapping."""
    wrapped = isinstance(error, botocore.exceptions.BotoCoreError)
    return error.kwargs.get("error") if wrapped else error


def without_tls(error: Exception) -> Misconfigured | None:
    """That a port speaks no TLS, where a handshake failed because of that."""
    reason = getattr(getattr(_cause(error), "os_error", None), "reason", None)
    if not isinstance(error, botocore.exceptions.SSLError) or reason not in NO_TLS:
        return None
    place = urlsplit(str(error.kwargs.get("endpoint_url"))).netloc
    text = f"{place} speaks no TLS, and its URL begins with https://"
    return Misconfigured(
        text, code="SSLError", advice="Correct the scheme or the port in `endpoint`."
    )


def only_tls(url: str) -> Misconfigured:
    """That a port speaks TLS, and is called without it."""
    text = f"{urlsplit(url).netloc} speaks TLS, and its URL begins with http://"
    return Misconfigured(text, code="PlainHttp", advice="Write https:// in `endpoint`.")


def _client_error(error: Any) -> AttemptError:
    details = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code = str(details.get("Code", "Unknown"))
    said = details.get("Message") or details.get("message") or "the service gave no message"
    message = str(said)
    request_id = metadata.get("RequestId")
    if error.operation_name != OPERATION:
        # The SDK was still at its credentials: a role that cannot be assumed, say.
        text = f"{error.operation_name}: {message}"
        return CredentialsRefused(text, code=code, advice=REFRESH_ADVICE, request_id=request_id)
    status = int(metadata.get("HTTPStatusCode", 0))
    return reply_error(status, code, message, request_id, metadata.get("HTTPHeaders", {}))
