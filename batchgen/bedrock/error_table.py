"""The table from what the service and the SDK raise to our errors, with what a person can do.

Sources: botocore's service model of bedrock-runtime (codes and HTTP status), the Bedrock User Guide
"Troubleshooting API error codes", and messages quoted in public issue threads. A code that is in no
table is judged by its HTTP status: 4xx is permanent, 5xx may have been billed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from batchgen.errors import (
    Ambiguous,
    AnswerLost,
    AttemptError,
    CredentialsRefused,
    Filtered,
    Misconfigured,
    ModelDenied,
    NeverSent,
    Permanent,
    QuotaExhausted,
    Rejected,
    ServiceFault,
    Throttled,
    Unavailable,
)

NO_HEADERS: Mapping[str, str] = {}
LONGEST_WAIT = 86_400.0
"""Seconds of a Retry-After that are understood."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error means to us."""

    error: type[AttemptError]
    advice: str = ""
    """One sentence of what a person can do; empty where there is nothing to do."""


REGION_ADVICE = (
    "Check the model id and the Region: Core, Ultra and SD3.5 are served in us-west-2 only "
    "(`batchgen models` lists them)."
)
ACCESS_ADVICE = (
    "Allow bedrock:InvokeModel on this model in IAM, and aws-marketplace:Subscribe and "
    "ViewSubscriptions for its first call."
)
LIFE_CYCLE_ADVICE = "Choose a model that is still served; `batchgen models` lists them."
PROFILE_ADVICE = "Name the inference profile (its id starts with `us.`) or its ARN as the model."
REFRESH_ADVICE = (
    "Renew the credentials (for example `aws sso login`) and run the same command again."
)
KEYS_ADVICE = (
    "Renew or correct the credentials: the key is unknown, inactive, or of another account; "
    "`aws configure list` shows where it comes from."
)
CLOCK_ADVICE = "Set this machine's clock (NTP); signatures are valid for five minutes."
REQUEST_ADVICE = "Correct the prompt or the parameters in the job file."
ENDPOINT_ADVICE = "It is not Bedrock Runtime that answers here: check `endpoint` and the proxy."
ACCOUNT_ADVICE = "Run the same command again tomorrow, or ask AWS Support for a larger quota."

SERVICE_ERRORS: Mapping[str, Meaning] = {
    # Modelled errors of bedrock-runtime.
    "AccessDeniedException": Meaning(ModelDenied, ACCESS_ADVICE),
    "ConflictException": Meaning(Rejected, REQUEST_ADVICE),
    "InternalServerException": Meaning(ServiceFault),
    "ModelErrorException": Meaning(ServiceFault),
    "ModelNotReadyException": Meaning(Unavailable),
    "ModelStreamErrorException": Meaning(ServiceFault),
    "ModelTimeoutException": Meaning(ServiceFault),
    "ResourceNotFoundException": Meaning(ModelDenied, REGION_ADVICE),
    "ServiceQuotaExceededException": Meaning(QuotaExhausted, ACCOUNT_ADVICE),
    "ServiceUnavailableException": Meaning(Unavailable),
    "ThrottlingException": Meaning(Throttled),
    "ValidationException": Meaning(Rejected, REQUEST_ADVICE),
    # Service-wide codes that the model does not list.
    "AccessDenied": Meaning(ModelDenied, ACCESS_ADVICE),
    "AuthFailure": Meaning(CredentialsRefused, KEYS_ADVICE),
    "ExpiredToken": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "ExpiredTokenException": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "IncompleteSignature": Meaning(CredentialsRefused, KEYS_ADVICE),
    "IncompleteSignatureException": Meaning(CredentialsRefused, KEYS_ADVICE),
    "InternalFailure": Meaning(ServiceFault),
    "InvalidAccessKeyId": Meaning(CredentialsRefused, KEYS_ADVICE),
    "InvalidAction": Meaning(Rejected, ENDPOINT_ADVICE),
    "InvalidClientTokenId": Meaning(CredentialsRefused, KEYS_ADVICE),
    "InvalidSignatureException": Meaning(CredentialsRefused, CLOCK_ADVICE),
    "InvalidToken": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "MissingAuthenticationToken": Meaning(CredentialsRefused, KEYS_ADVICE),
    "MissingAuthenticationTokenException": Meaning(CredentialsRefused, KEYS_ADVICE),
    "MPAgreementBeingCreated": Meaning(
        ModelDenied, "The Marketplace agreement is being created: try again in 15 minutes."
    ),
    "NotAuthorized": Meaning(ModelDenied, ACCESS_ADVICE),
    "OptInRequired": Meaning(ModelDenied, ACCESS_ADVICE),
    "RequestExpired": Meaning(CredentialsRefused, CLOCK_ADVICE),
    "RequestLimitExceeded": Meaning(Throttled),
    "RequestThrottled": Meaning(Throttled),
    "RequestTimeTooSkewed": Meaning(CredentialsRefused, CLOCK_ADVICE),
    "ServiceUnavailable": Meaning(Unavailable),
    "SignatureDoesNotMatch": Meaning(CredentialsRefused, KEYS_ADVICE),
    "SlowDown": Meaning(Throttled),
    "Throttling": Meaning(Throttled),
    "ThrottledException": Meaning(Throttled),
    "TokenRefreshRequired": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "TooManyRequestsException": Meaning(Throttled),
    "UnrecognizedClientException": Meaning(CredentialsRefused, KEYS_ADVICE),
}
"""Error code of a reply -> its meaning."""

WORDINGS: tuple[tuple[str, str, Meaning], ...] = (
    ("ValidationException", "blocked by our content filters", Meaning(Filtered)),
    ("ValidationException", "contains filtered words", Meaning(Filtered)),
    ("ValidationException", "invalid_prompts", Meaning(Filtered)),
    ("ValidationException", "model identifier is invalid", Meaning(ModelDenied, REGION_ADVICE)),
    ("ValidationException", "on-demand throughput", Meaning(ModelDenied, PROFILE_ADVICE)),
    ("ResourceNotFoundException", "end of its life", Meaning(ModelDenied, LIFE_CYCLE_ADVICE)),
    ("ResourceNotFoundException", "as Legacy", Meaning(ModelDenied, LIFE_CYCLE_ADVICE)),
    (
        "AccessDeniedException",
        "aws-marketplace",
        Meaning(
            ModelDenied,
            "Allow aws-marketplace:ViewSubscriptions and aws-marketplace:Subscribe in IAM, "
            "then wait 5 minutes.",
        ),
    ),
)
"""(code, words in the message, meaning), for codes whose meaning hangs on the text; first wins."""


STATUS_ERRORS: Mapping[int, Meaning] = {
    **dict.fromkeys((401, 403), Meaning(ModelDenied, ACCESS_ADVICE)),
    **dict.fromkeys((408, 424), Meaning(ServiceFault)),
    429: Meaning(Throttled),
    503: Meaning(Unavailable),
    # Bedrock names its errors and never redirects: somebody else answers.
    **dict.fromkeys((301, 302, 303, 307, 308, 404, 407), Meaning(ModelDenied, ENDPOINT_ADVICE)),
}
"""HTTP status of a reply whose code is in no table -> its meaning, unless its hundred says it."""


def reply_error(
    status: int,
    code: str,
    message: str,
    request_id: str | None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> AttemptError:
    """Our error for an error reply: by its code and wording, else by its HTTP status.

    Args:
        status: of HTTP.
        code: the error's name.
        message: what the service says.
        request_id: of the call.
        headers: of the reply, by their names in lower case.
    """
    meaning = _meaning(status, code, message)
    if meaning.error is Filtered:
        return Filtered(message, code=code, request_id=request_id)
    more: dict[str, float | None] = {}
    if meaning.error in (Throttled, Unavailable):
        more["retry_after"] = retry_after(headers)
    elif meaning.error is CredentialsRefused:
        more["clock_skew"] = clock_skew(headers)
    return meaning.error(message, code=code, advice=meaning.advice, request_id=request_id, **more)


def clock_skew(headers: Mapping[str, str]) -> float | None:
    """Seconds by which this machine's clock is ahead of the service's; None if it did not say."""
    date = _date(headers.get("date"))
    return None if date is None else (datetime.now(UTC) - date).total_seconds()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait, within bounds; None if it asks for nothing, or oddly.

    As a number, or as a time of day by the clock of who answers.
    """
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", asked):
        return min(float(asked), LONGEST_WAIT)
    until = _date(asked)
    if until is None:
        return None
    now = _date(headers.get("date")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT)


def _date(text: str | None) -> datetime | None:
    """A time of a header; None without one, or without its zone."""
    try:
        date = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, OverflowError):
        return None
    return None if date.tzinfo is None else date


def advice(code: str, message: str) -> str:
    """What a person can do about an error with this code, one sentence; empty if nothing."""
    known = LOCAL_ERRORS.get(code) or _by_code(code, message)
    if known is not None:
        return known.advice
    # A reply that names no error has its HTTP status for a code; other codes are our own.
    return _by_status(int(code)).advice if code.isdecimal() else ""


def _meaning(status: int, code: str, message: str) -> Meaning:
    return _by_code(code, message) or _by_status(status)


def _by_code(code: str, message: str) -> Meaning | None:
    for wanted, words, meaning in WORDINGS:
        if code == wanted and words.lower() in message.lower():
            return meaning
    # Services and proxies name one error with and without its ending.
    short = code.removesuffix("Exception")
    return next(
        (
            SERVICE_ERRORS[name]
            for name in (code, short, f"{short}Exception")
            if name in SERVICE_ERRORS
        ),
        None,
    )


def _by_status(status: int) -> Meaning:
    known = STATUS_ERRORS.get(status)
    if known is not None:
        return known
    server = status >= 500  # noqa: PLR2004  # the class of HTTP server errors
    return Meaning(ServiceFault) if server else Meaning(Permanent, REQUEST_ADVICE)


CREDENTIAL_ADVICE = (
    "Configure credentials (`aws configure`, `aws sso login` or AWS_PROFILE); "
    "`endpoint: simulator` needs none."
)
NETWORK_ADVICE = "Check the network, the Region's name and `endpoint`."

LOCAL_ERRORS: Mapping[str, Meaning] = {
    # Before anything is sent; what fails after that may be billed, whatever its class.
    "ConnectTimeoutError": Meaning(NeverSent, NETWORK_ADVICE),
    "ProxyConnectionError": Meaning(NeverSent, "Check HTTPS_PROXY and the proxy itself."),
    "InvalidProxiesConfigError": Meaning(Misconfigured, "Check HTTPS_PROXY."),
    "SSLError": Meaning(NeverSent, "Check that `endpoint` and the proxy speak TLS."),
    "ClientConnectorCertificateError": Meaning(
        Misconfigured,
        "The certificate is not trusted: check AWS_CA_BUNDLE, the proxy and the clock.",
    ),
    "NoCredentialsError": Meaning(CredentialsRefused, CREDENTIAL_ADVICE),
    "PartialCredentialsError": Meaning(CredentialsRefused, CREDENTIAL_ADVICE),
    "CredentialRetrievalError": Meaning(CredentialsRefused, CREDENTIAL_ADVICE),
    "TokenRetrievalError": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "SSOTokenLoadError": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "SSOError": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "UnauthorizedSSOTokenError": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "RefreshWithMFAUnsupportedError": Meaning(CredentialsRefused, REFRESH_ADVICE),
    "MetadataRetrievalError": Meaning(CredentialsRefused, CREDENTIAL_ADVICE),
    "ParamValidationError": Meaning(Rejected, REQUEST_ADVICE),
    "InvalidRegionError": Meaning(Misconfigured, NETWORK_ADVICE),
    # If the request was read, or may have been, the service may finish it and charge.
    "ReadTimeoutError": Meaning(AnswerLost),
    "AioReadTimeoutError": Meaning(AnswerLost),
    "ConnectionClosedError": Meaning(AnswerLost),
    "EndpointConnectionError": Meaning(AnswerLost),
    "HTTPClientError": Meaning(AnswerLost),
    "IncompleteReadError": Meaning(AnswerLost),
    "ResponseStreamingError": Meaning(AnswerLost),
    "ResponseParserError": Meaning(ServiceFault),
    "ClientPayloadError": Meaning(AnswerLost),
    "ClientConnectionError": Meaning(AnswerLost),
    "ClientOSError": Meaning(AnswerLost),
    "ServerDisconnectedError": Meaning(AnswerLost),
    "ServerTimeoutError": Meaning(AnswerLost),
    "SocketTimeoutError": Meaning(AnswerLost),
    "TimeoutError": Meaning(AnswerLost),
    "ConnectionResetError": Meaning(AnswerLost),
    # The rest of botocore and aiohttp, and what the system raises.
    "BotoCoreError": Meaning(AnswerLost),
    "ClientResponseError": Meaning(AnswerLost),
    "InvalidURL": Meaning(AnswerLost),
    "NonHttpUrlClientError": Meaning(AnswerLost),
    "RedirectClientError": Meaning(AnswerLost),
    "UploadAbortedError": Meaning(AnswerLost),
    "OSError": Meaning(AnswerLost),
}
"""Class name of an exception of botocore, aiobotocore, aiohttp or asyncio -> its meaning.

By name, so that the table can be read without importing any of them.
"""


def local_error(error: BaseException, *, sent: bool) -> AttemptError | None:
    """Our error for one that the SDK raised by itself; None for one that was not foreseen.

    Args:
        error: what was raised; its class or the nearest base class in the table counts.
        sent: whether a byte of the request may have left: that decides what may be billed, and
            never the class.
    """
    for base in type(error).__mro__:
        meaning = LOCAL_ERRORS.get(base.__name__)
        if meaning is not None:
            ours = meaning.error
            if sent:
                ours = ours if issubclass(ours, Ambiguous) else AnswerLost
            elif issubclass(ours, Ambiguous):
                ours = NeverSent
            advice = meaning.advice or (NETWORK_ADVICE if ours is NeverSent else "")
            text = str(error) or base.__name__
            return ours(text, code=type(error).__name__, advice=advice)
    return None
