import inspect
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import botocore.exceptions
import botocore.parsers
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import ClientError, SSLError

from batchgen.bedrock.sdk_errors import NO_TLS, translate
from batchgen.errors import (
    Ambiguous,
    CredentialsRefused,
    Filtered,
    Misconfigured,
    NeverSent,
    Permanent,
    Rejected,
    ServiceFault,
    Throttled,
    Unavailable,
)

KEY = ConnectionKey("service", 443, True, None, None, None, None)  # noqa: FBT003  # aiohttp's own order  # aiohttp's own order
URL = "https://service/model/x/invoke"
BROKEN_HANDSHAKE = aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "UNEXPECTED_EOF"))
WRONG_CERTIFICATE = aiohttp.ClientConnectorCertificateError(
    KEY, ssl.SSLCertVerificationError("certificate has expired")
)


def placed(module):
    """Every exception class that a module names, by its full name."""
    return {
        f"{value.__module__}.{name}": value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }


ELSEWHERE = {
    "BadContentDispositionHeader": "warns of a multipart body",
    "BadContentDispositionParam": "warns of a multipart body",
    "ClientError": "botocore's is an answer, judged by its status; aiohttp's is only a base",
    "EofStream": "ends a stream inside aiohttp",
    "EventStreamError": "an answer: InvokeModel has no event stream",
    "ImminentRemovalWarning": "a warning",
    "MissingServiceIdError": "the SDK's data files are broken: a fault",
    "NoInitialResponseError": "InvokeModel has no event stream",
    "UndefinedModelAttributeError": "the SDK's data files are broken: a fault",
    "UnsupportedTLSVersionWarning": "a warning",
    "WebSocketError": "no call is a web socket",
    "WSMessageTypeError": "no call is a web socket",
    "ParseError": "inside the SDK's parsers, which `error_replies` wraps",
}
"""Classes that no call of ours raises as a failure of the network, and why."""
FOUND = placed(botocore.exceptions) | placed(botocore.parsers) | placed(aiohttp)
CLASSES = {name: value for name, value in FOUND.items() if value.__name__ not in ELSEWHERE}
CREDENTIALS = {
    "CredentialRetrievalError",
    "MetadataRetrievalError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "SSOError",
    "SSOTokenLoadError",
    "TokenRetrievalError",
    "UnauthorizedSSOTokenError",
    "RefreshWithMFAUnsupportedError",
}
CONFIGURATION = {
    "InvalidProxiesConfigError",
    "ClientConnectorCertificateError",
    "InvalidRegionError",
}
REQUEST = {"ParamValidationError"}


def made(kind):
    """An exception of this class, whatever arguments its like demands."""
    silent = {"__init__": lambda _: None, "__str__": lambda _: "words", "kwargs": {}}
    return type(kind.__name__, (kind,), silent)()


class TestWhatTheNetworkProves:
    def test_the_tables_of_both_libraries_are_looked_at(self):
        """What the tests below walk holds what it is meant to."""
        assert len(CLASSES) > 100
        assert {value.__name__ for value in FOUND.values()} >= set(ELSEWHERE)
        assert {"botocore.exceptions.SSLError", "aiohttp.client_exceptions.ClientPayloadError"} <= {
            *CLASSES
        }

    @pytest.mark.parametrize("name", sorted(CLASSES))
    def test_before_a_byte_left_nothing_can_be_billed(self, name):
        """Every exception of botocore and aiohttp has its place, and none is ambiguous."""
        ours = translate(made(CLASSES[name]), sent=False)
        assert ours is not None
        assert not isinstance(ours, Ambiguous)
        bases = {each.__name__ for each in CLASSES[name].__mro__}
        wanted = (
            CredentialsRefused
            if bases & CREDENTIALS
            else Misconfigured
            if bases & CONFIGURATION
            else Rejected
            if bases & REQUEST
            else NeverSent
        )
        assert type(ours) is wanted

    @pytest.mark.parametrize("name", sorted(CLASSES))
    def test_after_a_byte_left_it_may_be_billed(self, name):
        """Whatever its class says: the same one stands for a reset before and after the request."""
        assert isinstance(translate(made(CLASSES[name]), sent=True), Ambiguous)

    @pytest.mark.parametrize("reason", NO_TLS)
    def test_a_port_that_speaks_no_tls_is_named(self, reason):
        """No retry brings it to speak TLS."""
        broken = ssl.SSLError(1, "words")
        broken.reason = reason
        error = aiohttp.ClientConnectorSSLError(KEY, broken)
        found = translate(SSLError(endpoint_url="https://service:8443/x", error=error), sent=False)
        assert type(found) is Misconfigured
        assert found.message == "service:8443 speaks no TLS, and its URL begins with https://"
        assert "`endpoint`" in found.advice

    def test_a_broken_handshake_is_tried_again(self):
        """Who hangs up in the handshake may be better later."""
        error = SSLError(endpoint_url=URL, error=BROKEN_HANDSHAKE)
        assert type(translate(error, sent=False)) is NeverSent

    def test_a_wrong_certificate_is_named(self):
        """The words are those of the handshake, not of the SDK."""
        found = translate(SSLError(endpoint_url=URL, error=WRONG_CERTIFICATE), sent=False)
        assert "certificate has expired" in found.message
        assert "AWS_CA_BUNDLE" in found.advice

    @pytest.mark.parametrize("error", [LookupError("a bug"), ValueError(), AttributeError()])
    def test_what_nobody_foresaw_is_none(self, error):
        """The caller raises it as it is: a fault of ours is not for a retry to cover up."""
        assert translate(error, sent=True) is translate(error, sent=False) is None

    @pytest.mark.parametrize(
        ("error", "ours"),
        [
            (botocore.exceptions.NoCredentialsError(), CredentialsRefused),
            (botocore.exceptions.ParamValidationError(report="x"), Rejected),
            (botocore.exceptions.InvalidProxiesConfigError(), Misconfigured),
        ],
    )
    def test_what_the_sdk_found_by_itself(self, error, ours):
        """Errors without a cause in the network."""
        assert type(translate(error, sent=False)) is ours


def client_error(code="ThrottlingException", status=429, operation="InvokeModel", **metadata):
    """What the SDK raises for an error reply."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": "words"},
            "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "r-1", **metadata},
        },
        operation,
    )


class TestReplies:
    def test_code_words_and_request_id_are_kept(self):
        """What a record needs of an error reply."""
        found = translate(client_error(), sent=True)
        assert type(found) is Throttled
        assert (found.message, found.code, found.request_id) == (
            "words",
            "ThrottlingException",
            "r-1",
        )

    @pytest.mark.parametrize(
        ("response", "ours", "message"),
        [
            ({}, Permanent, "the service gave no message"),
            ({"Error": {}}, Permanent, "the service gave no message"),
            ({"Error": {"Code": "500", "message": "small m"}}, Permanent, "small m"),
            ({"Error": {"Message": ""}}, Permanent, "the service gave no message"),
            ({"ResponseMetadata": {"HTTPStatusCode": 500}}, ServiceFault, "the service gave no"),
        ],
    )
    def test_a_reply_that_lacks_everything(self, response, ours, message):
        """The SDK may leave out what a proxy did not send."""
        found = translate(ClientError(response, "InvokeModel"), sent=True)
        assert type(found) is ours
        assert found.message.startswith(message)
        assert found.request_id is None
        assert found.code == response.get("Error", {}).get("Code", "Unknown")

    def test_a_page_for_a_message_is_cut(self):
        """2,000 characters are enough to know a proxy by."""
        error = client_error("502", 502)
        error.response["Error"]["Message"] = "<" * 5_000
        assert translate(error, sent=True).message == "<" * 1_999 + "…"

    def test_moderation_by_error_is_filtered(self):
        """A 400 that speaks of content filters."""
        error = client_error("ValidationException", 400)
        error.response["Error"]["Message"] = "This request has been blocked by our content filters."
        assert type(translate(error, sent=True)) is Filtered

    @pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "InternalFailure"])
    def test_an_error_of_another_call_is_one_of_the_credentials(self, code):
        """Who cannot assume his role has no model to blame, and nothing was billed."""
        found = translate(client_error(code, 403, "AssumeRole"), sent=True)
        assert type(found) is CredentialsRefused
        assert (found.message, found.code, found.request_id) == ("AssumeRole: words", code, "r-1")
        assert found.advice
        assert found.clock_skew is None


class TestSkew:
    @pytest.mark.parametrize("minutes", [-30, -1, 0, 1, 30])
    def test_it_is_this_clock_less_the_services(self, minutes):
        """Positive where this machine is ahead."""
        date = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True)
        error = client_error("RequestExpired", 400, HTTPHeaders={"date": date})
        assert translate(error, sent=True).clock_skew == pytest.approx(60 * minutes, abs=3)

    @pytest.mark.parametrize(
        "headers", [{}, {"date": ""}, {"date": "now"}, {"date": "Sat, 21 Nov 2026 12:00:00 -0000"}]
    )
    def test_without_a_date_it_is_unknown(self, headers):
        """No date, no date at all, or one without a zone."""
        error = client_error("RequestExpired", 400, HTTPHeaders=headers)
        assert translate(error, sent=True).clock_skew is None

    def test_only_refused_credentials_have_one(self):
        """A throttled call says nothing of the clock."""
        date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
        assert not hasattr(
            translate(client_error(HTTPHeaders={"date": date}), sent=True), "clock_skew"
        )


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            *(("7", 7), ("0.5", 0.5), ("86400", 86_400), ("0", 0), (None, None), ("", None)),
            *(("soon", None), ("-3", None), ("nan", None), ("1e9", None), ("9" * 400, None)),
        ],
    )
    @pytest.mark.parametrize(("code", "status"), [("ThrottlingException", 429), ("Odd", 503)])
    def test_it_is_what_the_reply_asks_for(self, header, seconds, code, status):
        """Seconds as a number; what is no such number is not there."""
        headers = {} if header is None else {"retry-after": header}
        found = translate(client_error(code, status, HTTPHeaders=headers), sent=True)
        assert isinstance(found, Throttled | Unavailable)
        assert found.retry_after == seconds

    @pytest.mark.parametrize("minutes", [-5, 5])
    def test_it_may_be_an_instant(self, minutes):
        """One that is over asks for nothing."""
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        headers = {"retry-after": date}
        found = translate(client_error("ThrottlingException", 429, HTTPHeaders=headers), sent=True)
        assert found.retry_after == pytest.approx(max(0, 60 * minutes), abs=3)
