"""The contract with the SDK: one call is one POST, and every fault leaves as one of our errors."""

import asyncio
import gc
import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import botocore.exceptions
import pytest
import pytest_asyncio
from botocore.loaders import JSONFileLoader
from fakes import until
from loopback import cuts, free_port, resets, response, sends, serving, stalls

from batchgen.bedrock import client as client_module
from batchgen.bedrock import connection, session
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection, is_plain_loopback
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE
from batchgen.bedrock.session import LOGGERS, REFRESHES, quiet_sdk, sdk_config
from batchgen.errors import (
    AnswerLost,
    CredentialsRefused,
    Filtered,
    Misconfigured,
    ModelDenied,
    NeverSent,
    Permanent,
    Rejected,
    ServiceFault,
    ServiceUnusable,
    Throttled,
    Unavailable,
    UnusableReply,
)
from batchgen.output import in_thread

MODEL = "stability.stable-image-core-v1:1"
CORAL = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


@pytest.fixture(autouse=True)
def _sdk_loggers():
    """What a test does to the SDK's loggers ends with it."""
    levels = {name: logging.getLogger(name).level for name in (*LOGGERS, REFRESHES)}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
async def server():
    async with serving() as loopback:
        yield loopback


def to(server, **changes):
    values = {"region": "us-west-2", "url": server.url, "calls_in_flight": 4}
    return Connection(**{**values, **changes})


async def invoke(server, **changes):
    async with connect(to(server, **changes)) as client:
        return await client.invoke(MODEL, b'{"prompt": "a mug"}')


one_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_line():
    """A server and a client that many tests share, for opening a client takes long."""
    async with serving() as loopback, connect(to(loopback)) as client:
        yield loopback, client


@pytest.fixture
def line(open_line):
    """The shared server, without what earlier tests sent, and a call to it."""
    loopback, client = open_line
    loopback.posts.clear()
    loopback.respond = sends(response(200, b"{}"))
    return loopback, partial(client.invoke, MODEL, b'{"prompt": "a mug"}')


def failing(status, kind=None, message="words", **headers):
    if kind is not None:
        headers["x-amzn-ErrorType"] = kind + CORAL
    return sends(response(status, json.dumps({"message": message}).encode(), headers))


HTML = {"Content-Type": "text/html"}
PAGE = b"<html><body>502 Bad Gateway</body></html>"
WHOLE = response(200, b"x" * 1000)
BODY_STARTS = len(WHOLE) - 1000
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amzn-RequestId: r-1\r\n\r\n"
    b'4\r\n{"a"\r\n5\r\n: 1 }\r\n'
)

FAULTS = {
    "reset after the request": (resets(), AnswerLost),
    "closed before the headers": (cuts(), AnswerLost),
    "closed in the status line": (cuts(b"HTTP/1."), AnswerLost),
    "closed in the headers": (cuts(WHOLE[:30]), AnswerLost),
    "reset in the headers": (resets(WHOLE[:30]), AnswerLost),
    "no HTTP at all": (cuts(b"SSH-2.0-OpenSSH_9.6\r\n"), AnswerLost),
    "body cut at its start": (cuts(WHOLE[:BODY_STARTS]), AnswerLost),
    "body cut after a byte": (cuts(WHOLE[: BODY_STARTS + 1]), AnswerLost),
    "body cut in the middle": (cuts(WHOLE[: BODY_STARTS + 500]), AnswerLost),
    "body cut before its last byte": (cuts(WHOLE[:-1]), AnswerLost),
    "body reset in the middle": (resets(WHOLE[: BODY_STARTS + 500]), AnswerLost),
    "chunked body without its end": (cuts(CHUNKED), AnswerLost),
    "chunked body with a broken size": (cuts(CHUNKED + b"zz\r\n"), AnswerLost),
    "500 without a name": (failing(500), ServiceFault),
    "500 InternalServerException": (failing(500, "InternalServerException"), ServiceFault),
    "502 HTML": (sends(response(502, PAGE, HTML)), ServiceFault),
    "504 HTML": (sends(response(504, PAGE, HTML)), ServiceFault),
    "500 without a body": (sends(response(500)), ServiceFault),
    "503 HTML": (sends(response(503, PAGE, HTML)), Unavailable),
    "503 ServiceUnavailableException": (failing(503, "ServiceUnavailableException"), Unavailable),
    "429 ThrottlingException": (failing(429, "ThrottlingException"), Throttled),
    "429 ModelNotReadyException": (failing(429, "ModelNotReadyException"), Unavailable),
    "429 without a name": (failing(429), Throttled),
    "408 ModelTimeoutException": (failing(408, "ModelTimeoutException"), ServiceFault),
    "424 ModelErrorException": (failing(424, "ModelErrorException"), ServiceFault),
    "400 ValidationException": (failing(400, "ValidationException"), Rejected),
    "400 content filters": (
        failing(400, "ValidationException", "blocked by our content filters"),
        Filtered,
    ),
    "400 without a name": (failing(400), Permanent),
    "403 AccessDeniedException": (failing(403, "AccessDeniedException"), ModelDenied),
    "403 ExpiredTokenException": (failing(403, "ExpiredTokenException"), CredentialsRefused),
    "403 HTML": (sends(response(403, PAGE, HTML)), ModelDenied),
    "404 HTML": (sends(response(404, PAGE, HTML)), ModelDenied),
    "301": (sends(response(301, headers={"Location": "/other"})), ModelDenied),
    "302": (sends(response(302, headers={"Location": "/other"})), ModelDenied),
    "307": (sends(response(307, headers={"Location": "/other"})), ModelDenied),
    "308": (sends(response(308, headers={"Location": "/other"})), ModelDenied),
}
RETRY_SETTINGS = [
    {},
    {"AWS_MAX_ATTEMPTS": "5", "AWS_RETRY_MODE": "legacy"},
    {"AWS_MAX_ATTEMPTS": "7", "AWS_RETRY_MODE": "adaptive"},
]


class TestOnePost:
    @one_loop
    @pytest.mark.parametrize("fault", FAULTS)
    async def test_a_fault_is_one_post_and_one_error(self, line, fault):
        """Whatever goes wrong, the SDK sends nothing twice, and we know what it means."""
        server, call = line
        server.respond, error = FAULTS[fault]
        with pytest.raises(error) as caught:
            await call()
        assert type(caught.value) is error
        assert len(server.posts) == 1
        assert caught.value.message
        assert caught.value.code

    @pytest.mark.parametrize("settings", RETRY_SETTINGS, ids=["none", "legacy", "adaptive"])
    @pytest.mark.parametrize("fault", ["reset after the request", "502 HTML", "429 without a name"])
    async def test_the_environment_brings_no_retries_back(
        self, server, monkeypatch, settings, fault
    ):
        """Neither AWS_MAX_ATTEMPTS nor AWS_RETRY_MODE nor a config file makes a second POST."""
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        server.respond, error = FAULTS[fault]
        with pytest.raises(error):
            await invoke(server)
        assert len(server.posts) == 1
        assert server.posts[0].headers["amz-sdk-request"] == "attempt=1"

    async def test_a_config_file_brings_no_retries_back(self, server, monkeypatch, tmp_path):
        """The same for what `aws configure` may have written."""
        config = tmp_path / "config"
        config.write_text("[default]\nmax_attempts = 9\nretry_mode = adaptive\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        server.respond = failing(503, "ServiceUnavailableException")
        with pytest.raises(Unavailable):
            await invoke(server)
        assert len(server.posts) == 1

    @one_loop
    async def test_success_is_one_post(self, line):
        """A good call is sent once."""
        server, call = line
        await call()
        assert len(server.posts) == 1


def impatient(monkeypatch):
    """A tenth of a second takes the place of the five minutes that an answer may take."""
    monkeypatch.setattr(client_module, "sdk_config", partial(sdk_config, read_timeout=0.1))


class TestTimeouts:
    @pytest.mark.parametrize("sent", [b"", WHOLE[:20], WHOLE[:BODY_STARTS], WHOLE[:-1]])
    async def test_an_answer_that_stalls_is_lost(self, server, monkeypatch, sent):
        """No byte for the read timeout, before, in or after the headers: one POST, answer lost."""
        impatient(monkeypatch)
        server.respond = stalls(sent)
        with pytest.raises(AnswerLost):
            await invoke(server)
        assert len(server.posts) == 1

    async def test_a_late_answer_is_not_waited_for(self, server, monkeypatch):
        """An answer that comes after the timeout changes nothing, and is not asked for again."""
        impatient(monkeypatch)
        given_up = asyncio.Event()

        async def late(writer):
            await given_up.wait()
            writer.write(WHOLE)
            await writer.drain()

        server.respond = late
        with pytest.raises(AnswerLost) as caught:
            await invoke(server)
        assert "timeout" in caught.value.message.lower()
        given_up.set()
        assert len(server.posts) == 1

    @one_loop
    async def test_an_answer_that_trickles_ends_too(self, line, monkeypatch):
        """An answer that never pauses long enough is cut off by the time of the whole call."""
        server, call = line
        monkeypatch.setattr(client_module, "CALL_TIMEOUT", 0.3)

        async def trickle(writer):
            writer.write(WHOLE[:BODY_STARTS])
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        server.respond = trickle
        with pytest.raises(AnswerLost) as caught:
            await call()
        assert caught.value.code == "TimeoutError"
        assert len(server.posts) == 1

    def test_the_times_fit_the_service(self):
        """Five minutes to answer as AWS advises, ten seconds to connect, the call around both."""
        assert (session.CONNECT_TIMEOUT, session.READ_TIMEOUT) == (10.0, 300.0)
        config = sdk_config(Connection(region="us-west-2", calls_in_flight=1))
        assert (config.connect_timeout, config.read_timeout) == (10.0, 300.0)
        assert config.retries == {"total_max_attempts": 1, "mode": "standard"}
        assert client_module.CALL_TIMEOUT > session.CONNECT_TIMEOUT + session.READ_TIMEOUT

    async def test_a_cancelled_call_is_cancelled(self, server):
        """Cancellation passes through untranslated."""
        server.respond = stalls()
        async with connect(to(server)) as client:
            call = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: server.posts)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


class TestNeverSent:
    async def test_nobody_listens(self):
        """A refused connection proves that nothing was sent."""
        connection = Connection(
            region="us-west-2", url=f"http://127.0.0.1:{free_port()}", calls_in_flight=1
        )
        async with connect(connection) as client:
            with pytest.raises(NeverSent) as caught:
                await client.invoke(MODEL, b"{}")
        assert caught.value.code == "EndpointConnectionError"
        assert "endpoint" in caught.value.advice

    async def test_no_address_for_the_name(self, monkeypatch):
        """A name that does not resolve proves it too."""

        def resolve(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        connection = Connection(
            region="us-west-2", url="https://nowhere.invalid", calls_in_flight=1
        )
        async with connect(connection) as client:
            with pytest.raises(NeverSent):
                await client.invoke(MODEL, b"{}")

    async def test_a_server_that_speaks_no_tls(self, monkeypatch):
        """A handshake that a port answers in plain HTTP sent no request, and never will."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")

        async def plain(_, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = Connection(
            region="us-west-2", url=f"https://127.0.0.1:{port}", calls_in_flight=1
        )
        async with server, connect(connection) as client:
            with pytest.raises(Misconfigured) as caught:
                await client.invoke(MODEL, b"{}")
        assert str(caught.value).startswith(f"127.0.0.1:{port} speaks no TLS")


class TestAnswer:
    @one_loop
    @pytest.mark.parametrize(
        ("data", "body"),
        [
            (response(200, b'{"images": []}'), b'{"images": []}'),
            (response(200, b""), b""),
            (response(200, b"\x00\xff" * 2_000_000), b"\x00\xff" * 2_000_000),
            (CHUNKED + b"0\r\n\r\n", b'{"a": 1 }'),
        ],
        ids=["json", "empty", "large", "chunked"],
    )
    async def test_the_body_comes_as_it_was_sent(self, line, data, body):
        """A 200 gives the bytes, the request id and the time it took."""
        server, call = line
        server.respond = sends(data)
        answer = await call()
        assert answer.body == body
        assert answer.request_id == "r-1"
        assert 0 <= answer.latency_ms < 10_000
        assert isinstance(answer.latency_ms, int)

    @one_loop
    async def test_a_reply_without_a_request_id_is_an_answer_too(self, line):
        """The service may not say."""
        server, call = line
        server.respond = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        assert (await call()).request_id is None

    @one_loop
    async def test_the_time_is_that_of_the_whole_call(self, line):
        """From before the request to the end of the body, in milliseconds."""
        server, call = line

        async def slow(writer):
            writer.write(WHOLE[:-1])
            await asyncio.sleep(0.05)
            writer.write(WHOLE[-1:])

        server.respond = slow
        assert (await call()).latency_ms >= 50

    @one_loop
    async def test_a_body_over_the_limit_is_not_read_to_its_end(self, line, monkeypatch):
        """What Bedrock cannot have sent is unusable; what came of it is kept."""
        server, call = line
        monkeypatch.setattr(client_module, "BODY_LIMIT", 999)
        server.respond = sends(WHOLE)
        with pytest.raises(UnusableReply, match="larger than 999 bytes") as caught:
            await call()
        assert caught.value.body == b"x" * 1000
        assert caught.value.request_id == "r-1"

    @one_loop
    async def test_a_body_at_the_limit_is_an_answer(self, line, monkeypatch):
        """The limit itself is allowed."""
        server, call = line
        monkeypatch.setattr(client_module, "BODY_LIMIT", 1000)
        server.respond = sends(WHOLE)
        assert len((await call()).body) == 1000

    @one_loop
    @pytest.mark.parametrize(("size", "changes"), [(1000, 0), (3_000_000, 1)])
    async def test_a_large_body_is_put_together_in_a_thread(self, line, monkeypatch, size, changes):
        """To find room for megabytes stops the loop for milliseconds; a small one came whole."""
        server, call = line
        body, threads = bytes(range(250)) * (size // 250), []
        server.respond = sends(response(200, body))

        async def noted(work, *arguments):
            threads.append(work)
            return await in_thread(work, *arguments)

        await call()  # opens the client
        threads.clear()
        monkeypatch.setattr(client_module, "in_thread", noted)
        assert (await call()).body == body
        assert len(threads) == changes

    def test_the_limit_is_that_of_the_service(self):
        """25,000,000 bytes, as botocore's service model has it for InvokeModel's body."""
        assert client_module.BODY_LIMIT == 25_000_000

    @one_loop
    async def test_an_error_carries_code_message_and_request_id(self, line):
        """What a record needs of an error reply."""
        server, call = line
        server.respond = failing(429, "ThrottlingException", "Too many requests")
        with pytest.raises(Throttled, match=r"^Too many requests$") as caught:
            await call()
        assert (caught.value.code, caught.value.request_id) == ("ThrottlingException", "r-1")

    @one_loop
    async def test_a_page_instead_of_an_error_is_kept_short(self, line):
        """A proxy's page of 100 kB is no message for every line of a manifest."""
        server, call = line
        server.respond = sends(response(502, b"<p>" * 50_000, HTML))
        with pytest.raises(ServiceFault) as caught:
            await call()
        assert caught.value.code == "502"
        assert len(caught.value.message) <= 2_000


class TestRequest:
    async def test_the_request_is_what_bedrock_expects(self, server):
        """JSON both ways, signed for bedrock in the Region, the body as given."""
        await invoke(server)
        post = server.posts[0]
        assert post.body == b'{"prompt": "a mug"}'
        assert post.headers["content-type"] == post.headers["accept"] == "application/json"
        assert "/us-west-2/bedrock/aws4_request" in post.headers["authorization"]
        assert "batchgen" in post.headers["user-agent"]

    @pytest.mark.parametrize(
        ("model_id", "target"),
        [
            (MODEL, "/model/stability.stable-image-core-v1%3A1/invoke"),
            (
                "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.stability.x-v1:0",
                (
                    "/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A123456789012%3Ainference-profile%2F"
                    "us.stability.x-v1%3A0/invoke"
                ),
            ),
        ],
    )
    async def test_the_model_id_is_encoded_on_the_wire(self, server, model_id, target):
        """Colons and slashes of an id are percent-encoded, as the signature assumes."""
        async with connect(to(server)) as client:
            await client.invoke(model_id, b"{}")
        assert server.posts[0].target == target

    async def test_as_many_calls_as_allowed_are_in_flight(self, server):
        """The pool is as large as it was asked to be: no signed request waits inside the SDK."""
        everybody = asyncio.Barrier(23)

        async def together(writer):
            await everybody.wait()
            writer.write(response(200, b"{}"))

        server.respond = together
        async with (
            connect(to(server, calls_in_flight=23)) as client,
            asyncio.timeout(10),
            asyncio.TaskGroup() as group,
        ):
            for _ in range(23):
                group.create_task(client.invoke(MODEL, b"{}"))
        assert len(server.posts) == 23

    async def test_connections_are_kept_and_kept_alive(self, server):
        """One connection serves call after call, and the kernel probes it while it is idle."""
        async with connect(to(server)) as client:
            for _ in range(3):
                await client.invoke(MODEL, b"{}")
            ours = sockets_to(server.port)
            assert len(ours) == 1
            assert ours[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert len(server.posts) == 3

    async def test_nothing_stays_open(self, server):
        """Leaving the block closes the connections."""
        await invoke(server)
        assert sockets_to(server.port) == []


def sockets_to(port):
    """Open sockets of this process whose other end is this port."""
    found = []
    for each in gc.get_objects():
        if type(each) is socket.socket and each.fileno() >= 0 and each.family == socket.AF_INET:
            try:
                if each.getpeername()[1] == port:
                    found.append(each)
            except OSError:
                continue  # not connected
    return found


class TestLoopback:
    async def test_a_proxy_is_not_asked(self, server, monkeypatch):
        """A proxy of the environment is for the world, not for this machine's simulator."""
        async with serving() as proxy:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            await invoke(server)
            assert (len(server.posts), len(proxy.posts)) == (1, 0)

    async def test_no_secret_is_shown_to_it(self, server, monkeypatch):
        """Real keys and tokens have no business on a plain connection."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real")
        monkeypatch.setenv("AWS_SESSION_TOKEN", "token-secret")
        await invoke(server)
        headers = server.posts[0].headers
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIASIMULATED/")
        assert "x-amz-security-token" not in headers
        assert "secret" not in str(headers)
        assert "AKIAREAL" not in str(headers)

    async def test_it_needs_no_credentials(self, server):
        """The simulator works on a machine that never heard of AWS."""
        assert (await invoke(server)).body == b"{}"

    @pytest.mark.parametrize(
        ("url", "plain"),
        [
            ("http://127.0.0.1:80", True),
            ("http://localhost", True),
            ("http://LOCALHOST:1/x", True),
            ("http://[::1]:80", True),
            ("https://127.0.0.1", False),
            ("HTTP://LocalHost", True),
            ("http://127.0.0.2", False),
            ("http://localhost.example.com", False),
            ("http://127.0.0.1.example.com", False),
            ("http://localhost@example.com", False),
            ("https://bedrock-runtime.us-west-2.amazonaws.com", False),
            (None, False),
        ],
    )
    def test_only_this_machine_is_loopback(self, url, plain):
        """Made-up keys go to plain HTTP on this machine and nowhere else."""
        assert is_plain_loopback(url) is plain


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets the loopback server pass for a service that gets real credentials."""
    monkeypatch.setattr(connection, "SIMULATORS", ())


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-secret")


@pytest.mark.usefixtures("elsewhere")
class TestCredentials:
    async def test_none_at_all(self, server):
        """Without credentials no run starts, and the sentence says what to do."""
        with pytest.raises(ServiceUnusable) as caught:
            await invoke(server)
        assert str(caught.value) == f"No AWS credentials were found. {CREDENTIAL_ADVICE}"
        assert server.posts == []

    @pytest.mark.parametrize("by", ["connection", "environment"])
    async def test_an_unknown_profile(self, server, monkeypatch, by):
        """The profile's name is in the sentence, and nothing is sent."""
        if by == "environment":
            monkeypatch.setenv("AWS_PROFILE", "nobody")
        words = {
            "environment": r"^AWS cannot be used: .*\(nobody\)",
            "connection": r'^There is no profile "nobody"\. `aws configure list-profiles` ',
        }
        with pytest.raises(ServiceUnusable, match=words[by]):
            await invoke(server, profile="nobody" if by == "connection" else None)
        assert server.posts == []

    async def test_half_a_pair_of_keys(self, server, monkeypatch):
        """A key without its secret is said."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
        with pytest.raises(ServiceUnusable, match="AWS cannot be used: Partial credentials"):
            await invoke(server)

    @pytest.mark.usefixtures("keys")
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"region": "bad region!"}, "Provided region_name"),
            ({"url": "http://bad host/"}, "Invalid endpoint: http://bad host/"),
            ({"url": "nonsense"}, "Invalid endpoint: nonsense"),
        ],
    )
    async def test_a_place_that_cannot_be(self, server, changes, words):
        """A Region or a URL that is none is one sentence, not a traceback."""
        with pytest.raises(ServiceUnusable, match=f"AWS cannot be used: .*{words}"):
            await invoke(server, **changes)

    async def test_a_broken_config_file(self, server, monkeypatch, tmp_path):
        """A file that cannot be parsed is named."""
        config = tmp_path / "config"
        config.write_text("not a section\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        with pytest.raises(ServiceUnusable, match=f"AWS cannot be used: .*{config}"):
            await invoke(server)

    @pytest.mark.usefixtures("keys")
    async def test_keys_sign_the_call(self, server):
        """The keys of the environment sign, and the session token goes with them."""
        await invoke(server)
        headers = server.posts[0].headers
        assert "Credential=AKIAREAL/" in headers["authorization"]
        assert headers["x-amz-security-token"] == "token-secret"

    async def test_a_bearer_token_will_do(self, server, monkeypatch):
        """An API key of Bedrock needs no keys of AWS."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        await invoke(server)
        assert server.posts[0].headers["authorization"] == "Bearer bearer-secret"

    async def test_a_profile_signs_the_call(self, server, monkeypatch, tmp_path):
        """The named profile of the credentials file is used."""
        write_keys(tmp_path / "keys", "night", "AKIANIGHT", monkeypatch)
        await invoke(server, profile="night")
        assert "Credential=AKIANIGHT/" in server.posts[0].headers["authorization"]

    @pytest.fixture
    async def refusing(self, server, monkeypatch, tmp_path):
        """A profile whose role is refused by the token service."""
        config = tmp_path / "config"
        config.write_text(
            "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = x\n"
            "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/night\n"
            "source_profile = base\nservices = local\n"
            f"[services local]\nsts =\n  endpoint_url = {server.url}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        refusal = (
            b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
            b"<Message>not authorized to perform: sts:AssumeRole</Message></Error></ErrorResponse>"
        )
        server.respond = sends(response(403, refusal, {"Content-Type": "text/xml"}))
        return server

    async def test_a_role_that_cannot_be_assumed_is_no_fault_of_the_model(
        self, refusing, monkeypatch
    ):
        """A refusal of the token service speaks of the credentials, and nothing was billed."""
        monkeypatch.setenv("AWS_PROFILE", "role")
        with pytest.raises(CredentialsRefused, match=r"^AssumeRole: not authorized") as caught:
            await invoke(refusing)
        assert caught.value.code == "AccessDenied"
        assert caught.value.advice
        assert [post.target for post in refusing.posts] == ["/"]

    async def test_a_profile_that_is_named_is_tried_at_once(self, refusing):
        """Where a job names it, its credentials are fetched before there is a call to make."""
        with pytest.raises(ServiceUnusable) as caught:
            await invoke(refusing, profile="role")
        assert str(caught.value) == (
            'The profile "role" cannot be used: AssumeRole: AccessDenied: not authorized to '
            "perform: sts:AssumeRole. Allow sts:AssumeRole on the role in IAM, and name who asks "
            "in its trust policy."
        )
        assert [post.target for post in refusing.posts] == ["/"]

    @pytest.mark.usefixtures("keys")
    async def test_nobody_else_signs_for_a_profile(self, server, monkeypatch, tmp_path):
        """Neither an API key nor the keys of the environment take the place of the profile's."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        write_keys(tmp_path / "keys", "night", "AKIANIGHT", monkeypatch)
        await invoke(server, profile="night")
        headers = server.posts[0].headers
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIANIGHT/")
        assert "x-amz-security-token" not in headers

    @pytest.mark.usefixtures("keys")
    async def test_nobody_stands_in_for_a_profile_without_keys(self, server, monkeypatch, tmp_path):
        """A profile that has no credentials is no leave to use others."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        config = tmp_path / "config"
        config.write_text("[profile bare]\nregion = us-west-2\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        with pytest.raises(ServiceUnusable, match=r'^The profile "bare" cannot be used: Unable to'):
            await invoke(server, profile="bare")
        assert server.posts == []

    async def test_a_program_for_credentials_that_is_not_there(self, server, monkeypatch, tmp_path):
        """The profile's name, and what the system says."""
        config = tmp_path / "config"
        config.write_text("[profile ours]\ncredential_process = /nowhere/keys\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        with pytest.raises(
            ServiceUnusable, match=r'^The profile "ours" cannot be used: .*/nowhere'
        ):
            await invoke(server, profile="ours")


def write_keys(path, profile, key, monkeypatch):
    path.write_text(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


@pytest.mark.usefixtures("elsewhere")
class TestRenewal:
    async def test_keys_of_a_file_are_read_anew(self, server, monkeypatch, tmp_path):
        """What was written meanwhile signs the next call, and may change again."""
        write_keys(tmp_path / "keys", "default", "AKIAOLD", monkeypatch)
        async with connect(to(server)) as client:
            await client.invoke(MODEL, b"{}")
            write_keys(tmp_path / "keys", "default", "AKIANEW", monkeypatch)
            assert await client.renew() is True
            await client.invoke(MODEL, b"{}")
        signed = [post.headers["authorization"].split("/")[0] for post in server.posts]
        assert [text.removeprefix("AWS4-HMAC-SHA256 Credential=") for text in signed] == [
            "AKIAOLD",
            "AKIANEW",
        ]

    @pytest.mark.usefixtures("keys")
    async def test_keys_of_the_environment_will_not_change(self, server):
        """Nothing outside can change the environment of this process: renewing has no point."""
        async with connect(to(server)) as client:
            assert await client.renew() is False

    async def test_a_bearer_token_will_not_change(self, server, monkeypatch):
        """It stands in the environment too."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        async with connect(to(server)) as client:
            assert await client.renew() is False

    async def test_made_up_keys_will_not_change(self, server, monkeypatch):
        """The simulator's keys are always the same."""
        monkeypatch.setattr(connection, "SIMULATORS", ("127.0.0.1",))
        async with connect(to(server)) as client:
            assert await client.renew() is False

    @pytest.mark.usefixtures("keys")
    async def test_calls_in_flight_end_on_the_old_client(self, server):
        """A renewal interrupts nobody."""
        go_on = asyncio.Event()

        async def hold(writer):
            await go_on.wait()
            writer.write(response(200, b"{}"))

        server.respond = hold
        async with connect(to(server)) as client:
            call = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: server.posts)
            await client.renew()
            go_on.set()
            assert (await call).body == b"{}"

    async def test_credentials_that_are_gone_are_said(self, server, monkeypatch):
        """Renewing without credentials fails like starting without, and the old client stays."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        async with connect(to(server)) as client:
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
            with pytest.raises(ServiceUnusable):
                await client.renew()
            assert (await client.invoke(MODEL, b"{}")).body == b"{}"


class TestClock:
    @one_loop
    @pytest.mark.parametrize("minutes", [-7, 0, 7])
    async def test_the_skew_is_measured_from_the_date(self, line, minutes):
        """A refused signature tells how far this clock is ahead of the service's."""
        server, call = line
        date = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True)
        server.respond = failing(403, "InvalidSignatureException", "Signature expired", Date=date)
        with pytest.raises(CredentialsRefused) as caught:
            await call()
        assert caught.value.clock_skew == pytest.approx(minutes * 60, abs=5)

    @one_loop
    @pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
    async def test_without_a_date_nothing_is_known(self, line, headers):
        """No date, or one that is none: no skew."""
        server, call = line
        server.respond = failing(403, "InvalidSignatureException", **headers)
        with pytest.raises(CredentialsRefused) as caught:
            await call()
        assert caught.value.clock_skew is None


SECRETS = ("AKIAREAL", "real-secret", "token-secret", "bearer-secret", "Signature=", "a mug")


@pytest.mark.usefixtures("elsewhere", "keys")
class TestLogs:
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_no_secret_and_no_prompt_is_logged(self, server, caplog, when):
        """Whoever turns all logging up, before or after the client was opened, sees no secret."""
        if when == "before":
            caplog.set_level(logging.DEBUG)
        async with connect(to(server)) as client:
            caplog.set_level(logging.DEBUG)
            await client.invoke(MODEL, b'{"prompt": "a mug"}')
            server.respond = failing(429, "ThrottlingException")
            with pytest.raises(Throttled):
                await client.invoke(MODEL, b'{"prompt": "a mug"}')
            server.respond = resets()
            with pytest.raises(AnswerLost):
                await client.invoke(MODEL, b'{"prompt": "a mug"}')
        assert len(server.posts) == 3
        logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
        assert [secret for secret in SECRETS if secret in logged] == []

    @pytest.mark.parametrize(
        ("root", "quiet"),
        [
            (logging.DEBUG, logging.INFO),
            (logging.INFO, logging.INFO),
            (logging.ERROR, logging.ERROR),
        ],
    )
    def test_the_sdk_is_never_below_info(self, caplog, root, quiet):
        """Its loggers get a level of their own: INFO, or what holds already if that is quieter."""
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.NOTSET)
        caplog.set_level(root)
        quiet_sdk()
        caplog.set_level(logging.DEBUG)
        assert {logging.getLogger(name).getEffectiveLevel() for name in LOGGERS} == {quiet}

    def test_a_quieter_sdk_stays_quiet(self):
        """A level that somebody set above INFO is left."""
        logging.getLogger("botocore").setLevel(logging.CRITICAL)
        quiet_sdk()
        assert logging.getLogger("botocore").level == logging.CRITICAL


async def test_what_nobody_foresaw_is_not_translated(server, monkeypatch):
    """A bug of ours or of the SDK is not taken for a fault of the network."""

    def break_down(*_):
        raise LookupError("a bug")

    async with connect(to(server)) as client:
        monkeypatch.setattr(client_module, "_read", break_down)
        with pytest.raises(LookupError, match="a bug"):
            await client.invoke(MODEL, b"{}")


async def test_the_sdks_files_are_read_once(server, monkeypatch):
    """A client that is opened anew, as after a renewal, reads nothing of the SDK again."""
    async with connect(to(server)):
        pass
    read = []
    monkeypatch.setattr(JSONFileLoader, "load_file", lambda _, path: read.append(path))

    async with connect(to(server)) as client:
        await client.invoke(MODEL, b"{}")

    assert read == []


def test_the_folders_of_other_services_are_not_looked_into(monkeypatch):
    """For one of 400 services the SDK would look into the folders of all; none is missed."""
    loader, looked, exists = session._data_loader.__wrapped__(None), [], JSONFileLoader.exists

    def noted(files, path):
        looked.append(path)
        return exists(files, path)

    monkeypatch.setattr(JSONFileLoader, "exists", noted)

    model = loader.load_service_model("bedrock-runtime", "service-2")

    assert model["metadata"]["serviceId"] == "Bedrock Runtime"
    assert 0 < len(looked) < 10
    with pytest.raises(botocore.exceptions.UnknownServiceError):
        loader.load_service_model("none-of-them", "service-2")
    with pytest.raises(botocore.exceptions.DataNotFoundError):
        loader.load_service_model("bedrock-runtime", "no-such-type-1")
