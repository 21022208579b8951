import inspect
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiobotocore.httpsession
import aiobotocore.response
import aiohttp
import botocore.exceptions
import botocore.session
import pytest

from batchgen.bedrock.error_table import (
    ACCESS_ADVICE,
    ACCOUNT_ADVICE,
    CLOCK_ADVICE,
    CREDENTIAL_ADVICE,
    ENDPOINT_ADVICE,
    KEYS_ADVICE,
    LIFE_CYCLE_ADVICE,
    LOCAL_ERRORS,
    LONGEST_WAIT,
    NETWORK_ADVICE,
    PROFILE_ADVICE,
    REFRESH_ADVICE,
    REGION_ADVICE,
    REQUEST_ADVICE,
    SERVICE_ERRORS,
    WORDINGS,
    Meaning,
    advice,
    clock_skew,
    local_error,
    reply_error,
    retry_after,
)
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


def service_model():
    return botocore.session.get_session().get_service_model("bedrock-runtime")


MODEL = service_model()
MODELLED = {
    name: MODEL.shape_for(name)
    for name in MODEL.shape_names
    if MODEL.shape_for(name).metadata.get("exception")
}
NOTHING_TO_DO = (ServiceFault, Unavailable, Throttled, AnswerLost, Filtered)


class TestCompleteness:
    def test_the_model_lists_errors(self):
        """The lists that the tests below walk are not empty."""
        assert len(MODELLED) >= 12
        assert len(MODEL.operation_model("InvokeModel").error_shapes) >= 10

    @pytest.mark.parametrize("name", sorted(MODELLED))
    def test_every_error_of_the_service_is_known(self, name):
        """No exception of botocore's model of bedrock-runtime is missing from the table."""
        assert name in SERVICE_ERRORS

    @pytest.mark.parametrize(
        "name", sorted(shape.name for shape in MODEL.operation_model("InvokeModel").error_shapes)
    )
    def test_every_error_of_invoke_model_is_known(self, name):
        """No error that InvokeModel lists is missing from the table."""
        assert name in SERVICE_ERRORS

    @pytest.mark.parametrize("name", sorted(MODELLED))
    def test_the_class_fits_the_modelled_status(self, name):
        """What the service calls its own fault is not permanent to us, and the other way round."""
        status = MODELLED[name].metadata["error"]["httpStatusCode"]
        error = SERVICE_ERRORS[name].error
        if status >= 500 or status in (408, 424, 429):
            assert issubclass(error, ServiceFault | Throttled | Unavailable)
        else:
            assert issubclass(error, Permanent)

    @pytest.mark.parametrize("meaning", [*SERVICE_ERRORS.values(), *(m for _, _, m in WORDINGS)])
    def test_what_a_person_can_mend_has_its_sentence(self, meaning):
        """There is advice exactly where a person can do something."""
        assert issubclass(meaning.error, AttemptError)
        assert bool(meaning.advice) is not issubclass(meaning.error, NOTHING_TO_DO)
        assert meaning.advice == "" or meaning.advice.endswith((".", ")."))

    def test_wordings_are_of_known_codes(self):
        """A wording refines a code that is in the table."""
        assert {code for code, _, _ in WORDINGS} <= set(SERVICE_ERRORS)


CODES = [
    ("AccessDenied", ModelDenied, ACCESS_ADVICE),
    ("AccessDeniedException", ModelDenied, ACCESS_ADVICE),
    ("AuthFailure", CredentialsRefused, KEYS_ADVICE),
    ("ConflictException", Rejected, REQUEST_ADVICE),
    ("ExpiredToken", CredentialsRefused, REFRESH_ADVICE),
    ("ExpiredTokenException", CredentialsRefused, REFRESH_ADVICE),
    ("IncompleteSignature", CredentialsRefused, KEYS_ADVICE),
    ("IncompleteSignatureException", CredentialsRefused, KEYS_ADVICE),
    ("InternalFailure", ServiceFault, ""),
    ("InternalServerException", ServiceFault, ""),
    ("InvalidAccessKeyId", CredentialsRefused, KEYS_ADVICE),
    ("InvalidAction", Rejected, ENDPOINT_ADVICE),
    ("InvalidClientTokenId", CredentialsRefused, KEYS_ADVICE),
    ("InvalidSignatureException", CredentialsRefused, CLOCK_ADVICE),
    ("InvalidToken", CredentialsRefused, REFRESH_ADVICE),
    ("MPAgreementBeingCreated", ModelDenied, SERVICE_ERRORS["MPAgreementBeingCreated"].advice),
    ("MissingAuthenticationToken", CredentialsRefused, KEYS_ADVICE),
    ("MissingAuthenticationTokenException", CredentialsRefused, KEYS_ADVICE),
    ("ModelErrorException", ServiceFault, ""),
    ("ModelNotReadyException", Unavailable, ""),
    ("ModelStreamErrorException", ServiceFault, ""),
    ("ModelTimeoutException", ServiceFault, ""),
    ("NotAuthorized", ModelDenied, ACCESS_ADVICE),
    ("OptInRequired", ModelDenied, ACCESS_ADVICE),
    ("RequestExpired", CredentialsRefused, CLOCK_ADVICE),
    ("RequestLimitExceeded", Throttled, ""),
    ("RequestThrottled", Throttled, ""),
    ("RequestTimeTooSkewed", CredentialsRefused, CLOCK_ADVICE),
    ("ResourceNotFoundException", ModelDenied, REGION_ADVICE),
    ("ServiceQuotaExceededException", QuotaExhausted, ACCOUNT_ADVICE),
    ("ServiceUnavailable", Unavailable, ""),
    ("ServiceUnavailableException", Unavailable, ""),
    ("SignatureDoesNotMatch", CredentialsRefused, KEYS_ADVICE),
    ("SlowDown", Throttled, ""),
    ("ThrottledException", Throttled, ""),
    ("Throttling", Throttled, ""),
    ("ThrottlingException", Throttled, ""),
    ("TokenRefreshRequired", CredentialsRefused, REFRESH_ADVICE),
    ("TooManyRequestsException", Throttled, ""),
    ("UnrecognizedClientException", CredentialsRefused, KEYS_ADVICE),
    ("ValidationException", Rejected, REQUEST_ADVICE),
]


class TestCodes:
    @pytest.mark.parametrize(("code", "error", "sentence"), CODES)
    def test_a_code_has_one_meaning_whatever_the_status(self, code, error, sentence):
        """The table as it stands; the HTTP status does not matter where the code is known."""
        for status in (0, 400, 429, 500, 503):
            ours = reply_error(status, code, "words", "r-1")
            assert type(ours) is error
            assert (ours.message, ours.code, ours.request_id) == ("words", code, "r-1")
            assert ours.advice == sentence
        assert advice(code, "words") == sentence

    def test_the_table_is_what_stands_here(self):
        """A new code in the table wants a line in this test."""
        assert [code for code, _, _ in CODES] == sorted(SERVICE_ERRORS)

    @pytest.mark.parametrize(
        ("code", "known"),
        [
            ("UnrecognizedClient", "UnrecognizedClientException"),
            ("InvalidClientTokenIdException", "InvalidClientTokenId"),
            ("InvalidSignature", "InvalidSignatureException"),
            ("SignatureDoesNotMatchException", "SignatureDoesNotMatch"),
        ],
    )
    def test_the_word_exception_makes_no_difference(self, code, known):
        """Services write the same name with and without it; the advice is the same."""
        ours = reply_error(403, code, "words", None)
        assert type(ours) is SERVICE_ERRORS[known].error is CredentialsRefused
        assert ours.advice == advice(code, "") == SERVICE_ERRORS[known].advice != ""

    def test_the_agreement_takes_a_quarter_of_an_hour(self):
        """AWS says when to try again."""
        assert "15 minutes" in advice("MPAgreementBeingCreated", "")


STATUSES = {
    301: (ModelDenied, ENDPOINT_ADVICE),
    302: (ModelDenied, ENDPOINT_ADVICE),
    303: (ModelDenied, ENDPOINT_ADVICE),
    307: (ModelDenied, ENDPOINT_ADVICE),
    308: (ModelDenied, ENDPOINT_ADVICE),
    401: (ModelDenied, ACCESS_ADVICE),
    403: (ModelDenied, ACCESS_ADVICE),
    404: (ModelDenied, ENDPOINT_ADVICE),
    407: (ModelDenied, ENDPOINT_ADVICE),
    408: (ServiceFault, ""),
    424: (ServiceFault, ""),
    429: (Throttled, ""),
    503: (Unavailable, ""),
}


class TestUnknownCodes:
    @pytest.mark.parametrize("status", [0, *range(300, 600)])
    def test_the_status_speaks(self, status):
        """An unknown 4xx is permanent, an unknown 5xx may have been billed; a few say more."""
        usual = (ServiceFault, "") if status >= 500 else (Permanent, REQUEST_ADVICE)
        error, sentence = STATUSES.get(status, usual)
        ours = reply_error(status, "SomethingNew", "words", None)
        assert type(ours) is error
        assert ours.advice == sentence
        assert (ours.code, ours.request_id) == ("SomethingNew", None)

    @pytest.mark.parametrize("status", [400, 403, 404, 429, 502, 503])
    def test_a_reply_that_names_no_error_has_its_status_for_a_code(self, status):
        """The SDK puts the number in the code's place: advice by the number."""
        assert (
            advice(str(status), "<html>") == reply_error(status, str(status), "<html>", None).advice
        )

    @pytest.mark.parametrize(
        "code", ["UnusableReply", "InferenceError", "Filtered", "Internal", "SomethingNew", ""]
    )
    def test_where_nobody_knows_there_is_no_advice(self, code):
        """Nobody is sent to correct a prompt because a reply was torn."""
        assert advice(code, "words") == ""


# Quoted from public issue threads and AWS's user guides; (status, code, message) -> meaning.
FILTERS = "This request has been blocked by our content filters."
MALFORMED = "Malformed input request: "
MESSAGES = [
    (
        429,
        "ThrottlingException",
        (
            "Too many requests, please wait before trying again. You have sent too many requests.  "
            "Wait before trying again."
        ),
        Throttled,
        "",
    ),
    (
        429,
        "ThrottlingException",
        "Too many tokens, please wait before trying again.",
        Throttled,
        "",
    ),
    (
        429,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
        Throttled,
        "",
    ),
    (
        503,
        "ServiceUnavailableException",
        "Bedrock is unable to process your request.",
        Unavailable,
        "",
    ),
    (
        400,
        "ValidationException",
        MALFORMED + "#: required key [prompt] not found, please reformat your input and try again.",
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        (
            '{"detail":"Invalid field in request. Available fields: [\'prompt\', '
            "'negative_prompt', "
            "'mode', 'strength', 'seed', 'output_format', 'image', 'aspect_ratio']\"}"
        ),
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        (
            '{"detail":"Invalid field \'text_prompts\' in request. Available fields for '
            'control-sketch are: image, prompt, control_strength"}'
        ),
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        MALFORMED + "#/textToImageParams/text: expected maxLength: 512, actual: 536, please "
        "reformat your input and try again.",
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        MALFORMED + "2 schema violations found, please reformat your input and try again.",
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        MALFORMED + "#: extraneous key [stream] is not permitted, please reformat your input.",
        Rejected,
        REQUEST_ADVICE,
    ),
    (
        400,
        "ValidationException",
        FILTERS + " Please adjust your text prompt to submit a new request.",
        Filtered,
        "",
    ),
    (
        400,
        "ValidationException",
        FILTERS + " Please adjust your input image to submit a new request.",
        Filtered,
        "",
    ),
    (
        400,
        "ValidationException",
        FILTERS + " Our filters automatically flagged this prompt because it may conflict our AUP "
        "or AWS Responsible AI Policy. Please adjust your text prompt to submit a new request.",
        Filtered,
        "",
    ),
    (
        400,
        "ValidationException",
        (
            "invalid_prompts\nsagemaker_inference.errors.BaseInferenceToolkitError: (400, "
            "'invalid_prompts', 'One or more prompts contains filtered words.')"
        ),
        Filtered,
        "",
    ),
    (
        400,
        "ValidationException",
        "The provided model identifier is invalid.",
        ModelDenied,
        REGION_ADVICE,
    ),
    (
        400,
        "ValidationException",
        (
            "Invocation of model ID stability.stable-outpaint-v1:0 with on-demand throughput "
            "isn\u2019t supported. Retry your request with the ID or ARN of an inference profile "
            "that "
            "contains this model."
        ),
        ModelDenied,
        PROFILE_ADVICE,
    ),
    (
        403,
        "AccessDeniedException",
        "You don't have access to the model with the specified model ID.",
        ModelDenied,
        ACCESS_ADVICE,
    ),
    (
        403,
        "AccessDeniedException",
        "Your account is not authorized to invoke this API operation.",
        ModelDenied,
        ACCESS_ADVICE,
    ),
    (
        403,
        "AccessDeniedException",
        (
            "Model access is denied due to IAM user or service role is not authorized to perform "
            "the "
            "required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, "
            "aws-marketplace:Subscribe) to enable access to this model. Your AWS Marketplace "
            "subscription for this model cannot be completed at this time. If you recently fixed "
            "this "
            "issue, try again after 5 minutes."
        ),
        ModelDenied,
        (
            "Allow aws-marketplace:ViewSubscriptions and aws-marketplace:Subscribe in IAM, then "
            "wait "
            "5 minutes."
        ),
    ),
    (
        404,
        "ResourceNotFoundException",
        (
            "Access denied. This Model is marked by provider as Legacy and you have not been "
            "actively "
            "using the model in the last 30 days. Please upgrade to an active model on Amazon "
            "Bedrock"
        ),
        ModelDenied,
        LIFE_CYCLE_ADVICE,
    ),
    (
        404,
        "ResourceNotFoundException",
        "This model version has reached the end of its life.",
        ModelDenied,
        LIFE_CYCLE_ADVICE,
    ),
    (
        404,
        "ResourceNotFoundException",
        "Could not resolve the foundation model from the provided model identifier.",
        ModelDenied,
        REGION_ADVICE,
    ),
    (
        403,
        "ExpiredTokenException",
        "The security token included in the request is expired",
        CredentialsRefused,
        REFRESH_ADVICE,
    ),
    (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        CredentialsRefused,
        KEYS_ADVICE,
    ),
]


class TestMessages:
    @pytest.mark.parametrize(
        ("status", "code", "message", "error", "sentence"),
        MESSAGES,
        ids=[message[:60].replace("\n", " ") for _, _, message, _, _ in MESSAGES],  # one line each
    )
    def test_a_real_message_is_understood(self, status, code, message, error, sentence):
        """What the service is known to say leads to the right class and the right advice."""
        ours = reply_error(status, code, message, "r-1")
        assert type(ours) is error
        assert (ours.message, ours.code, ours.request_id) == (message, code, "r-1")
        assert ours.advice == sentence == advice(code, message)

    @pytest.mark.parametrize(("code", "words", "meaning"), WORDINGS)
    def test_every_wording_counts_in_any_case(self, code, words, meaning):
        """Each entry is reached, wherever its words stand and however they are cased."""
        for text in (words, f"Sorry: {words.upper()}!", f"... {words.lower()}"):
            ours = reply_error(400, code, text, None)
            assert type(ours) is meaning.error
            assert advice(code, text) == meaning.advice

    @pytest.mark.parametrize(("code", "words", "meaning"), WORDINGS)
    def test_a_wording_counts_for_its_code_only(self, code, words, meaning):
        """A prompt that is quoted under another code changes nothing."""
        other = "ThrottlingException"
        assert code != other
        assert meaning.error is not Throttled
        assert type(reply_error(429, other, words, None)) is Throttled

    def test_a_filter_by_error_has_no_reasons_and_no_image(self):
        """An HTTP 400 brought nothing: nothing is assumed billed."""
        ours = reply_error(400, "ValidationException", FILTERS, "r-1")
        assert (ours.finish_reasons, ours.image_came) == ((), False)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            (" 0 ", 0.0),
            ("86401", LONGEST_WAIT),
            ("Sat, 21 Nov 2026", None),
            ("9" * 400, None),
            ("", None),
            ("soon", None),
            ("-5", None),
            ("1.5", 1.5),
            ("1e3", None),
            ("nan", None),
            ("١٢", None),
            ("inf", None),
            ("Sat, 21 Nov 2026 12:00:00 -0000", None),
        ],
    )
    @pytest.mark.parametrize(("status", "error"), [(429, Throttled), (503, Unavailable)])
    def test_seconds(self, status, error, value, seconds):
        """A whole number within bounds; what is none asks for nothing."""
        found = reply_error(status, str(status), "words", None, {"retry-after": value})
        assert (type(found), found.retry_after) == (error, seconds)

    @pytest.mark.parametrize(
        ("ahead", "seconds"), [(90, 90.0), (-90, 0.0), (100_000, LONGEST_WAIT)]
    )
    def test_a_time_of_day_counts_by_the_clock_of_who_says_it(self, ahead, seconds):
        """This machine's clock may be wrong."""
        theirs = datetime.now(UTC) - timedelta(hours=5)
        headers = {
            "date": format_datetime(theirs, usegmt=True),
            "retry-after": format_datetime(theirs + timedelta(seconds=ahead), usegmt=True),
        }
        assert reply_error(429, "429", "words", None, headers).retry_after == seconds

    def test_without_their_clock_this_machine_s_counts(self):
        """A reply may have no date, and a time of day all the same."""
        until = datetime.now(UTC) + timedelta(minutes=10)
        for date in ({}, {"date": "noon"}, {"date": "Sat, 21 Nov 2026 12:00:00 -0000"}):
            headers = {"retry-after": format_datetime(until, usegmt=True), **date}
            assert retry_after(headers) == pytest.approx(600, abs=30)

    def test_what_is_not_asked_is_none(self):
        """Without the header the caller waits as long as it thinks right."""
        assert retry_after({}) is None
        assert retry_after({"date": "Sat, 21 Nov 2026 12:00:00 GMT"}) is None


class TestClockSkew:
    @pytest.mark.parametrize("code", ["InvalidSignatureException", "RequestTimeTooSkewed"])
    @pytest.mark.parametrize("minutes", [0, 20, -20])
    def test_it_is_how_far_this_machine_is_ahead(self, code, minutes):
        """By the date of the reply that refuses the signature; behind is negative."""
        theirs = datetime.now(UTC) - timedelta(minutes=minutes)
        headers = {"date": format_datetime(theirs, usegmt=True)}
        found = reply_error(403, code, "words", None, headers)
        assert found.clock_skew == pytest.approx(60 * minutes, abs=30)

    @pytest.mark.parametrize("date", [None, "", "noon", "Sat, 21 Nov 2026 12:00:00 -0000"])
    def test_it_is_unknown_without_a_date_and_its_zone(self, date):
        """A guess would tell a person to set a clock that is right."""
        assert clock_skew({} if date is None else {"date": date}) is None
        found = reply_error(
            403, "ExpiredToken", "words", None, {} if date is None else {"date": date}
        )
        assert found.clock_skew is None


def raised_by(module):
    """Every exception class of botocore that a module names: what its code may raise."""
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and (value.__module__.startswith(("botocore", "aiobotocore")))
    }


HTTP_LAYER = raised_by(aiobotocore.httpsession) | raised_by(aiobotocore.response)
# Not raised, only caught there: the URL of a proxy's certificate is parsed with it.
HTTP_LAYER.pop("LocationParseError", None)

LOCAL = {
    "AioReadTimeoutError": (AnswerLost, ""),
    "BotoCoreError": (AnswerLost, ""),
    "ClientConnectionError": (AnswerLost, ""),
    "ClientConnectorCertificateError": (
        Misconfigured,
        "The certificate is not trusted: check AWS_CA_BUNDLE, the proxy and the clock.",
    ),
    "ClientOSError": (AnswerLost, ""),
    "ClientPayloadError": (AnswerLost, ""),
    "ClientResponseError": (AnswerLost, ""),
    "ConnectTimeoutError": (NeverSent, NETWORK_ADVICE),
    "ConnectionClosedError": (AnswerLost, ""),
    "ConnectionResetError": (AnswerLost, ""),
    "CredentialRetrievalError": (CredentialsRefused, CREDENTIAL_ADVICE),
    "EndpointConnectionError": (AnswerLost, ""),
    "HTTPClientError": (AnswerLost, ""),
    "IncompleteReadError": (AnswerLost, ""),
    "InvalidURL": (AnswerLost, ""),
    "InvalidProxiesConfigError": (Misconfigured, "Check HTTPS_PROXY."),
    "InvalidRegionError": (Misconfigured, NETWORK_ADVICE),
    "MetadataRetrievalError": (CredentialsRefused, CREDENTIAL_ADVICE),
    "NoCredentialsError": (CredentialsRefused, CREDENTIAL_ADVICE),
    "OSError": (AnswerLost, ""),
    "ParamValidationError": (Rejected, REQUEST_ADVICE),
    "PartialCredentialsError": (CredentialsRefused, CREDENTIAL_ADVICE),
    "ProxyConnectionError": (NeverSent, "Check HTTPS_PROXY and the proxy itself."),
    "ReadTimeoutError": (AnswerLost, ""),
    "RefreshWithMFAUnsupportedError": (CredentialsRefused, REFRESH_ADVICE),
    "NonHttpUrlClientError": (AnswerLost, ""),
    "RedirectClientError": (AnswerLost, ""),
    "UploadAbortedError": (AnswerLost, ""),
    "ResponseParserError": (ServiceFault, ""),
    "ResponseStreamingError": (AnswerLost, ""),
    "SSLError": (NeverSent, "Check that `endpoint` and the proxy speak TLS."),
    "SSOError": (CredentialsRefused, REFRESH_ADVICE),
    "SSOTokenLoadError": (CredentialsRefused, REFRESH_ADVICE),
    "ServerDisconnectedError": (AnswerLost, ""),
    "ServerTimeoutError": (AnswerLost, ""),
    "SocketTimeoutError": (AnswerLost, ""),
    "TimeoutError": (AnswerLost, ""),
    "TokenRetrievalError": (CredentialsRefused, REFRESH_ADVICE),
    "UnauthorizedSSOTokenError": (CredentialsRefused, REFRESH_ADVICE),
}


def bare(name):
    """An exception of a class of this name, without the arguments that its like demand."""
    return type(name, (Exception,), {})("words")


class TestLocalErrors:
    def test_the_http_layer_is_looked_at(self):
        """The list that the test below walks holds what it is meant to."""
        assert {"EndpointConnectionError", "ReadTimeoutError", "ResponseStreamingError"} <= set(
            HTTP_LAYER
        )

    @pytest.mark.parametrize("name", sorted(HTTP_LAYER))
    def test_everything_that_the_http_layer_raises_is_known(self, name):
        """No error of aiobotocore's HTTP session and bodies is missing, under its own name."""
        assert name in LOCAL_ERRORS

    @pytest.mark.parametrize("name", sorted(LOCAL_ERRORS))
    def test_an_error_means_what_the_table_says(self, name):
        """Class, code, words and advice of each entry."""
        error, sentence = LOCAL[name]
        ours = local_error(bare(name), sent=issubclass(error, Ambiguous))
        assert type(ours) is error
        assert (ours.message, ours.code, ours.advice) == ("words", name, sentence)
        assert advice(name, "words") == sentence

    def test_the_table_is_what_stands_here(self):
        """A new entry wants a line in this test."""
        assert sorted(LOCAL_ERRORS) == sorted(LOCAL)

    @pytest.mark.parametrize("name", sorted(LOCAL_ERRORS))
    def test_an_answer_cannot_be_lost_where_nothing_was_sent(self, name):
        """What would be ambiguous is `NeverSent` when not a byte left; nothing else changes."""
        error, sentence = LOCAL[name]
        ours = local_error(bare(name), sent=False)
        lost = issubclass(error, Ambiguous)
        assert (type(ours), ours.advice) == (
            (NeverSent, NETWORK_ADVICE) if lost else (error, sentence)
        )

    @pytest.mark.parametrize("name", sorted(LOCAL_ERRORS))
    def test_whatever_fails_after_a_byte_left_may_be_billed(self, name):
        """The place where an error came from decides, never its class."""
        assert isinstance(local_error(bare(name), sent=True), Ambiguous)

    def test_the_nearest_class_counts(self):
        """A kind of a known error is understood, under its own name."""
        kind = type("Special", (botocore.exceptions.SSLError,), {})
        ours = local_error(kind(endpoint_url="https://x", error="y"), sent=False)
        assert (type(ours), ours.code) == (NeverSent, "Special")
        assert type(local_error(aiohttp.ServerDisconnectedError(), sent=True)) is AnswerLost
        assert type(local_error(TimeoutError(), sent=True)) is AnswerLost

    def test_an_error_without_words_has_its_name(self):
        """There is always something to read."""
        assert local_error(TimeoutError(), sent=True).message == "TimeoutError"

    @pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError(), Exception()])
    def test_what_nobody_foresaw_is_none(self, error):
        """The table does not guess."""
        assert local_error(error, sent=True) is local_error(error, sent=False) is None


def test_a_meaning_has_no_advice_by_default():
    """Where there is nothing to do there is nothing to say."""
    assert Meaning(Throttled).advice == ""


def test_the_messages_are_ascii_but_for_one_apostrophe():
    """The quotes are exact: the service writes U+2019 in one of them."""
    assert [json.dumps(message) for _, _, message, _, _ in MESSAGES if not message.isascii()] == [
        json.dumps(MESSAGES[15][2])
    ]


@pytest.mark.parametrize("code", ["UnrecognizedClient", "InvalidClientTokenIdException"])
def test_a_name_counts_with_and_without_its_ending(code):
    """Services and proxies use both; the advice is the same."""
    found = reply_error(403, code, "words", None)
    assert (type(found), found.advice) == (CredentialsRefused, KEYS_ADVICE)


def test_no_advice_is_to_run_doctor():
    """It is doctor that gives most of them."""
    everything = [*SERVICE_ERRORS.values(), *LOCAL_ERRORS.values()]
    everything += [meaning for _, _, meaning in WORDINGS]
    assert not [meaning for meaning in everything if "doctor" in meaning.advice]
