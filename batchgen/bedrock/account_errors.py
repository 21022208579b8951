"""Why a question about an account has no answer, from what the SDK raised."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from batchgen.bedrock.error_table import (
    ACCESS_ADVICE,
    ENDPOINT_ADVICE,
    REFRESH_ADVICE,
    local_error,
    reply_error,
)
from batchgen.errors import AttemptError, BatchgenError, CredentialsRefused, Misconfigured
from batchgen.text import shortened, without_passwords

DENIED = ("AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation")
CONFIG_ERRORS = ("ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError")
"""What the SDK raises about its own files, before it sends anything."""
ROLE_ADVICE = "Allow sts:AssumeRole on the role in IAM, and name who asks in its trust policy"
CONFIG_ADVICE = "Check AWS_PROFILE and the files of `aws configure` in ~/.aws"


class AccountErrorReason(StrEnum):
    """Why a question has no answer."""

    DENIED = "denied"
    """The account may not ask; whether it may call is another matter."""
    NO_CREDENTIALS = "no credentials"
    """Nothing was asked: there are none, or they could not be fetched."""
    REFUSED = "refused"
    """The service does not accept the credentials."""
    UNKNOWN = "unknown"
    """The service knows no such thing in this Region."""
    UNREACHABLE = "unreachable"
    """No answer came, or one that the service failed or throttled."""
    ODD = "odd"
    """An answer came that is not the service's."""


class AccountError(BatchgenError):
    """A question that brought no answer."""

    def __init__(self, reason: AccountErrorReason, text: str, advice: str = "") -> None:
        super().__init__(shortened(without_passwords(text)))
        self.reason = reason
        self.advice = advice
        """One sentence of what a person can do; empty where there is nothing to do."""


def refusal_of(error: Any, operation: str) -> AccountError:
    """Why an error reply is no answer.

    Args:
        error: botocore's ClientError.
        operation: what was asked, as `get_caller_identity`.
    """
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "Unknown")), str(details.get("Message") or "")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"{code}: {message}".rstrip(": ")
    if error.operation_name.lower() != operation.replace("_", ""):
        # The SDK was still at its credentials: a role that cannot be assumed, say.
        advice = ROLE_ADVICE if code in DENIED else REFRESH_ADVICE
        return AccountError(
            AccountErrorReason.NO_CREDENTIALS, f"{error.operation_name}: {text}", advice
        )
    ours = reply_error(status, code, message, None)
    if isinstance(ours, CredentialsRefused):
        return AccountError(AccountErrorReason.REFUSED, text, ours.advice)
    if code in DENIED:
        return AccountError(AccountErrorReason.DENIED, text)
    known_errors = 400 <= status < 500 and status != 429  # noqa: PLR2004  # client errors of HTTP
    return AccountError(
        AccountErrorReason.UNKNOWN if known_errors else AccountErrorReason.UNREACHABLE,
        text,
        "" if ours.advice == ACCESS_ADVICE else ours.advice,  # which is about calls
    )


def failure_of(error: Exception) -> AccountError:
    """Why no reply came, from an error of the SDK, of the network or of ours."""
    if isinstance(error, Misconfigured):  # a port that cannot be the service's
        return AccountError(AccountErrorReason.UNREACHABLE, str(error), error.advice)
    if type(error).__name__ == "ResponseParserError":
        return AccountError(AccountErrorReason.ODD, str(error), ENDPOINT_ADVICE)
    if type(error).__name__ in CONFIG_ERRORS or isinstance(error, AttemptError):
        return no_credentials(error)
    ours = local_error(error, sent=False)  # asking again costs nothing
    text = str(error) or type(error).__name__
    if ours is None:
        return AccountError(AccountErrorReason.UNREACHABLE, text)
    if isinstance(ours, CredentialsRefused):
        return no_credentials(error)
    return AccountError(AccountErrorReason.UNREACHABLE, text, ours.advice)


def no_credentials(error: Exception) -> AccountError:
    """Why there are no credentials, from the error that the SDK met on its way to them."""
    if isinstance(error, AttemptError):  # a role's credentials, when the SDK came for them
        return AccountError(AccountErrorReason.NO_CREDENTIALS, str(error), error.advice)
    ours = local_error(error, sent=False)
    advice = ours.advice if isinstance(ours, CredentialsRefused) else REFRESH_ADVICE
    if type(error).__name__ in CONFIG_ERRORS:
        advice = CONFIG_ADVICE
    return AccountError(
        AccountErrorReason.NO_CREDENTIALS, str(error) or type(error).__name__, advice
    )
