import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import botocore.exceptions
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)

from batchgen.bedrock.sdk_errors import LONGEST_MESSAGE, translate
from batchgen.errors import (
    AnswerLost,
    CredentialsRefused,
    Filtered,
    ModelDenied,
    NeverSent,
    Permanent,
    Rejected,
    ServiceFault,
    Throttled,
    Unavailable,
)

KEY = ConnectionKey("service", 443, True, None, None, None, None)  # noqa: FBT003  # aiohttp's own order  # aiohttp's own order
URL = "https://service/model/x/invoke"
REFUSED = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "Connect call failed"))
NO_NAME = aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known"))
BROKEN_HANDSHAKE = aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "UNEXPECTED_EOF"))
WRONG_CERTIFICATE = aiohttp.ClientConnectorCertificateError(
    KEY, ssl.SSLCertVerificationError("certificate has expired")
)
RESET = aiohttp.ClientOSError(104, "Connection reset by peer")


class TestWhatTheNetworkProves:
    @pytest.mark.parametrize(
        ("error", "ours", "code"),
        [
            # Only a failure to connect proves that nothing was sent.
            (
                EndpointConnectionError(endpoint_url=URL, error=REFUSED),
                NeverSent,
                "EndpointConnectionError",
            ),
            (
                EndpointConnectionError(endpoint_url=URL, error=NO_NAME),
                NeverSent,
                "EndpointConnectionError",
            ),
            (
                EndpointConnectionError(endpoint_url=URL, error=socket.gaierror(-2, "no name")),
                NeverSent,
                "EndpointConnectionError",
            ),
            (
                ConnectTimeoutError(endpoint_url=URL, error=TimeoutError()),
                NeverSent,
                "ConnectTimeoutError",
            ),
            (
                ProxyConnectionError(proxy_url="http://proxy", error=REFUSED),
                NeverSent,
                "ProxyConnectionError",
            ),
            (SSLError(endpoint_url=URL, error=BROKEN_HANDSHAKE), NeverSent, "SSLError"),
            (REFUSED, NeverSent, "ClientConnectorError"),
            # The same class of the SDK for a reset after the request was read.
            (
                EndpointConnectionError(endpoint_url=URL, error=RESET),
                AnswerLost,
                "EndpointConnectionError",
            ),
            (
                EndpointConnectionError(endpoint_url=URL, error=aiohttp.ClientConnectionError()),
                AnswerLost,
                "EndpointConnectionError",
            ),
            (EndpointConnectionError(endpoint_url=URL), AnswerLost, "EndpointConnectionError"),
            (
                ReadTimeoutError(endpoint_url=URL, error=TimeoutError()),
                AnswerLost,
                "ReadTimeoutError",
            ),
            (ConnectionClosedError(endpoint_url=URL), AnswerLost, "ConnectionClosedError"),
            (
                HTTPClientError(error=BadStatusLine("SSH-2.0")),
                AnswerLost,
                "HTTPClientError",
            ),
            (
                ResponseStreamingError(error=aiohttp.ClientPayloadError()),
                AnswerLost,
                "ResponseStreamingError",
            ),
            (aiohttp.ClientPayloadError("cut"), AnswerLost, "ClientPayloadError"),
            (aiohttp.ServerDisconnectedError(), AnswerLost, "ServerDisconnectedError"),
            (TimeoutError(), AnswerLost, "TimeoutError"),  # as aiohttp raises it
            # A certificate that is not trusted will not be trusted a second later.
            (
                SSLError(endpoint_url=URL, error=WRONG_CERTIFICATE),
                ModelDenied,
                "ClientConnectorCertificateError",
            ),
        ],
    )
    def test_only_a_failure_to_connect_proves_that_nothing_was_sent(self, error, ours, code):
        """All else may have been read, finished and charged by the service."""
        found = translate(error)
        assert (type(found), found.code) == (ours, code)
        assert found.message

    def test_a_wrong_certificate_is_named(self):
        """The words are those of the handshake, not of the SDK."""
        found = translate(SSLError(endpoint_url=URL, error=WRONG_CERTIFICATE))
        assert "certificate has expired" in found.message
        assert "AWS_CA_BUNDLE" in found.advice

    @pytest.mark.parametrize("error", [LookupError("a bug"), ValueError(), AttributeError()])
    def test_what_nobody_foresaw_is_none(self, error):
        """The caller raises it as it is: a fault of ours is not for a retry to cover up."""
        assert translate(error) is None

    @pytest.mark.parametrize(
        ("error", "ours"),
        [
            (botocore.exceptions.NoCredentialsError(), CredentialsRefused),
            (botocore.exceptions.ParamValidationError(report="x"), Rejected),
            (botocore.exceptions.InvalidProxiesConfigError(), ModelDenied),
        ],
    )
    def test_what_the_sdk_found_by_itself(self, error, ours):
        """Errors without a cause in the network."""
        assert type(translate(error)) is ours


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
        found = translate(client_error())
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
        found = translate(ClientError(response, "InvokeModel"))
        assert type(found) is ours
        assert found.message.startswith(message)
        assert found.request_id is None
        assert found.code == response.get("Error", {}).get("Code", "Unknown")

    def test_a_page_for_a_message_is_cut(self):
        """2,000 characters are enough to know a proxy by."""
        error = client_error("502", 502)
        error.response["Error"]["Message"] = "<" * 5_000
        assert LONGEST_MESSAGE == 2_000
        assert translate(error).message == "<" * 2_000

    def test_moderation_by_error_is_filtered(self):
        """A 400 that speaks of content filters."""
        error = client_error("ValidationException", 400)
        error.response["Error"]["Message"] = "This request has been blocked by our content filters."
        assert type(translate(error)) is Filtered

    @pytest.mark.parametrize("code", ["AccessDenied", "ThrottlingException", "InternalFailure"])
    def test_an_error_of_another_call_is_one_of_the_credentials(self, code):
        """Who cannot assume his role has no model to blame, and nothing was billed."""
        found = translate(client_error(code, 403, "AssumeRole"))
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
        assert translate(error).clock_skew == pytest.approx(60 * minutes, abs=3)

    @pytest.mark.parametrize(
        "headers", [{}, {"date": ""}, {"date": "now"}, {"date": "Sat, 21 Nov 2026 12:00:00 -0000"}]
    )
    def test_without_a_date_it_is_unknown(self, headers):
        """No date, no date at all, or one without a zone."""
        error = client_error("RequestExpired", 400, HTTPHeaders=headers)
        assert translate(error).clock_skew is None

    def test_only_refused_credentials_have_one(self):
        """A throttled call says nothing of the clock."""
        date = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
        assert not hasattr(translate(client_error(HTTPHeaders={"date": date})), "clock_skew")


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
        found = translate(client_error(code, status, HTTPHeaders=headers))
        assert isinstance(found, Throttled | Unavailable)
        assert found.retry_after == seconds

    @pytest.mark.parametrize("minutes", [-5, 5])
    def test_it_may_be_an_instant(self, minutes):
        """One that is over asks for nothing."""
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        headers = {"retry-after": date}
        found = translate(client_error("ThrottlingException", 429, HTTPHeaders=headers))
        assert found.retry_after == pytest.approx(max(0, 60 * minutes), abs=3)
