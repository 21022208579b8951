"""The service's errors: name, HTTP status and the words that real calls were answered with.

Sources: the service model of Bedrock Runtime, AWS Bedrock User Guide "Troubleshooting API error
codes", and messages quoted in public issue threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


class Refused(Exception):
    """A call that the service answers with an error."""

    def __init__(self, name: str, message: str | None = None, *, status: int | None = None) -> None:
        error = ERRORS.get(name)
        self.name = name
        """The exception's name, as `x-amzn-ErrorType` carries it."""
        self.status = status or (error.status if error else 400)
        self.message = message if message is not None else (error.message if error else name)
        super().__init__(f"{name}: {self.message}")


@dataclass(frozen=True, slots=True)
class ServiceError:
    """What the service says of one kind of error."""

    status: int
    message: str


TOO_MANY_REQUESTS = (
    "Too many requests, please wait before trying again. "
    "You have sent too many requests.  Wait before trying again."
)
INVALID_MODEL = "The provided model identifier is invalid."
NO_ON_DEMAND = (
    "Invocation of model ID {model} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t "
    "supported. Retry your request with the ID or ARN of an inference profile that contains this "
    "model."
)
END_OF_LIFE = "This model version has reached the end of its life."
NO_ACCESS = "You don't have access to the model with the specified model ID."
_EXPIRED_SIGNATURE = (
    "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z "
    "(20260101T001000Z - 5 min.)"
)

ERRORS = MappingProxyType(
    {
        # The ten that InvokeModel declares.
        "ValidationException": ServiceError(
            400, "Malformed input request, please reformat your input and try again."
        ),
        "ServiceQuotaExceededException": ServiceError(
            400, "Your request exceeds the service quota for your account."
        ),
        "AccessDeniedException": ServiceError(403, NO_ACCESS),
        "ResourceNotFoundException": ServiceError(404, "Could not resolve the foundation model."),
        "ModelTimeoutException": ServiceError(408, "Model did not respond within the time limit."),
        "ModelErrorException": ServiceError(
            424,
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
        "ThrottlingException": ServiceError(429, TOO_MANY_REQUESTS),
        "ModelNotReadyException": ServiceError(
            429, "Model is not ready for inference. Try your request again."
        ),
        "InternalServerException": ServiceError(
            500,
            "The system encountered an unexpected error during processing. Try your request again.",
        ),
        "ServiceUnavailableException": ServiceError(
            503, "Bedrock is unable to process your request."
        ),
        # What every AWS service may answer besides.
        "ExpiredTokenException": ServiceError(
            403, "The security token included in the request is expired"
        ),
        "UnrecognizedClientException": ServiceError(
            403, "The security token included in the request is invalid."
        ),
        "InvalidSignatureException": ServiceError(403, _EXPIRED_SIGNATURE),
        "MissingAuthenticationTokenException": ServiceError(403, "Missing Authentication Token"),
        "IncompleteSignatureException": ServiceError(
            400, "The request signature does not conform to AWS standards."
        ),
        "RequestExpired": ServiceError(400, "Request has expired."),
        "NotAuthorized": ServiceError(400, "You do not have permission to perform this action."),
        "InvalidAction": ServiceError(400, "The action or operation requested is invalid."),
        "InvalidClientTokenId": ServiceError(
            403, "The security token included in the request is invalid."
        ),
        "OptInRequired": ServiceError(
            403, "The AWS access key ID needs a subscription for the service"
        ),
        "MPAgreementBeingCreated": ServiceError(
            403,
            "Your AWS Marketplace subscription for this model is being processed. "
            "Try again in 15 minutes.",
        ),
        "FTUFormNotFilled": ServiceError(
            404, "Model use case details have not been submitted for this account."
        ),
        "InternalFailure": ServiceError(
            500, "The request processing has failed because of an unknown error."
        ),
        "ServiceUnavailable": ServiceError(
            503, "The request has failed due to a temporary failure of the server."
        ),
        "UnknownOperationException": ServiceError(404, "Unknown operation."),
    }
)
