"""What is sent is what the SDK itself would send, signed by its own signer for each call."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from threading import current_thread

import botocore.auth
import pytest
from botocore.loaders import JSONFileLoader
from loopback import serving

from batchgen.bedrock import connection, session
from batchgen.bedrock.account import open_account
from batchgen.bedrock.account_errors import AccountError
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.session import sdk_config, sdk_session

MODEL = "stability.stable-image-core-v1:1"
PROFILE = "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.stability.x-v1:0"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "real-secret"}
SIGNERS = {
    "keys": KEYS,
    "a session": {**KEYS, "AWS_SESSION_TOKEN": "token-secret"},
    "an API key": {"AWS_BEARER_TOKEN_BEDROCK": "bearer-secret"},
    "an API key beside keys": {**KEYS, "AWS_BEARER_TOKEN_BEDROCK": "bearer-secret"},
    "in AWS Lambda": {
        **KEYS,
        "AWS_LAMBDA_FUNCTION_NAME": "night",
        "_X_AMZN_TRACE_ID": "Root=1-2;Parent=3",
    },
}
BODIES = {"ASCII": b'{"prompt": "a mug"}', "empty": b"", "a megabyte": bytes(range(256)) * 4096}


@pytest.fixture
async def server():
    async with serving() as loopback:
        yield loopback


@pytest.fixture
def _frozen(monkeypatch):
    """The same second for every signature."""
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: noon)
    monkeypatch.setattr(connection, "SIMULATORS", ())


def essence(post):
    """A request without what is never the same twice, and without the statistics in its agent."""
    agent = re.sub(r" m/\S+", "", post.headers["user-agent"])
    rest = {**post.headers, "user-agent": agent}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", rest.pop(INVOCATION))
    return post.target, post.body, rest


INVOCATION = "amz-sdk-invocation-id"


@pytest.mark.usefixtures("_frozen")
@pytest.mark.parametrize("signer", SIGNERS)
async def test_the_request_is_the_sdks(server, monkeypatch, signer):
    """Address, headers, body and signature, whoever signs, for every model and body."""
    for name, value in SIGNERS[signer].items():
        monkeypatch.setenv(name, value)
    to = Connection(region="us-west-2", url=server.url, calls_in_flight=1)
    calls = [(model, body) for model in (MODEL, PROFILE) for body in BODIES.values()]
    plain = sdk_session(to).client(
        "bedrock-runtime", endpoint_url=server.url, config=sdk_config(to)
    )
    async with plain as client:
        for model, body in calls:
            kind = "application/json"
            await client.invoke_model(modelId=model, body=body, contentType=kind, accept=kind)
    async with connect(to) as client:
        for model, body in calls:
            await client.invoke(model, body)
    theirs, ours = server.posts[: len(calls)], server.posts[len(calls) :]
    assert [essence(post) for post in ours] == [essence(post) for post in theirs]
    assert len({post.headers[INVOCATION] for post in server.posts}) == 2 * len(calls)


async def test_a_proxy_of_the_environment_is_asked(server, monkeypatch):
    """As the SDK would: the whole address goes to the proxy, and the answer comes from it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    to = Connection(
        region="us-west-2",
        url="http://192.0.2.7:8080",
        calls_in_flight=1,
        allow_plain_http=True,
    )
    async with connect(to) as client:
        assert (await client.invoke(MODEL, b"{}")).body == b"{}"
    (post,) = server.posts
    assert post.target == "http://192.0.2.7:8080/model/stability.stable-image-core-v1%3A1/invoke"


async def test_the_event_loop_reads_no_data_of_the_sdk(server, monkeypatch):
    """Opening a client takes 0.1 s of reading and parsing: in threads, for calls or questions."""
    load, readers = JSONFileLoader.load_file, []

    def note(self, path):
        data = load(self, path)
        if data is not None:
            readers.append(current_thread())
        return data

    session._data_loader.cache_clear()
    monkeypatch.setattr(JSONFileLoader, "load_file", note)
    to = Connection(region="us-west-2", url=server.url, calls_in_flight=1)
    async with connect(to) as client, open_account(to) as account:
        await client.invoke(MODEL, b"{}")
        read = len(readers)
        with suppress(AccountError):  # nobody here knows who asks
            await account.identity()
    assert 0 < read < len(readers)
    assert current_thread() not in readers
