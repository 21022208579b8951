"""A signature that is worked out once a day is the one that botocore works out each time."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import botocore.auth
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st
from loopback import serving
from multidict import CIMultiDict

from batchgen.bedrock import connection
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.invocation import JSON
from batchgen.bedrock.session import sdk_config, sdk_session
from batchgen.bedrock.signature import Signature, Unsigned, now

MODEL = "stability.stable-image-core-v1:1"
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis takes no others
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
KEYS = st.builds(ReadOnlyCredentials, WORDS, WORDS, st.none() | WORDS)
URLS = st.sampled_from(
    (
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/stability.x-v1%3A1/invoke",
        "http://127.0.0.1:8000/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A1%3Ainference-profile%2Fx/invoke",
    )
)


def request(url, body=b"", **context):
    headers = CIMultiDict({"Content-Type": "application/json", "User-Agent": "Boto3 m/D"})
    return Unsigned(url, headers, body, context)


def at(time):
    """Let botocore take this for the present."""
    return patch.object(botocore.auth, "get_current_datetime", lambda: time)


@given(
    url=URLS,
    keys=KEYS,
    calls=st.lists(st.tuples(st.binary(max_size=200), st.integers(0, 86_399)), min_size=1),
    day=TIMES,
    signs_body=st.booleans(),
)
def test_it_is_botocores(url, keys, calls, day, signs_body):
    """For every body and each second of the day, with or without a token."""
    signer = botocore.auth.SigV4Auth(keys, "bedrock", "us-west-2")
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    context = {"payload_signing_enabled": signs_body}
    with at(day):
        signature = Signature(signer, request(url, **context), now())
    for body, second in calls:
        with at(midnight + timedelta(seconds=second)):
            theirs = request(url, body, **context)
            signer.add_auth(theirs)
            assert signature.holds(keys, now())
            assert dict(signature.headers(body, now())) == dict(theirs.headers)


@given(
    keys=KEYS, others=KEYS, time=TIMES, later=st.timedeltas(timedelta(days=-2), timedelta(days=2))
)
def test_it_holds_for_a_day_and_its_credentials(keys, others, time, later):
    """The key is made of them."""
    signer = botocore.auth.SigV4Auth(keys, "bedrock", "us-west-2")
    with at(time):
        signature = Signature(signer, request("https://x/"), now())
    with at(time + later):
        is_same_day = (time + later).date() == time.date()
        assert signature.holds(others, now()) == (is_same_day and keys == others)


async def test_a_run_goes_on_past_midnight(monkeypatch):
    """The first call of a new day is signed by a key of that day, as the SDK's would be."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
    monkeypatch.setattr(connection, "SIMULATORS", ())
    last = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    async with serving() as server:
        to = Connection(region="us-west-2", url=server.url, calls_in_flight=1)
        plain = sdk_session(to).client(
            "bedrock-runtime", endpoint_url=server.url, config=sdk_config(to)
        )
        async with plain as theirs, connect(to) as ours:
            for time in (last, last + timedelta(seconds=1)):
                with at(time):
                    await theirs.invoke_model(
                        modelId=MODEL, body=b"{}", contentType=JSON, accept=JSON
                    )
                    await ours.invoke(MODEL, b"{}")
        signed = [post.headers["authorization"] for post in server.posts]
    assert signed[0] == signed[1]
    assert signed[2] == signed[3]
    assert [each.partition("/")[2][:8] for each in signed[::2]] == ["20261121", "20261122"]
