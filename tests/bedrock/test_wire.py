"""Credentials never go in clear to another machine, and what was never sent is never billed."""

import asyncio
import json
import socket
import ssl
from asyncio.selector_events import BaseSelectorEventLoop
from collections import Counter
from contextlib import asynccontextmanager, suppress

import pytest
from fakes import settle, until
from loopback import response, serving
from tls import CERTIFICATE, KEY

import batchgen
from batchgen import job as jobs
from batchgen.bedrock import client as client_module
from batchgen.bedrock import open_accounts, open_endpoint
from batchgen.bedrock import wire as wire_module
from batchgen.bedrock.account import open_account
from batchgen.bedrock.account_errors import AccountError
from batchgen.bedrock.client import connect
from batchgen.bedrock.connection import Connection
from batchgen.bedrock.reply_memory import ReplyMemory
from batchgen.bedrock.sdk_errors import only_tls
from batchgen.bedrock.wire import READ_AHEAD, unread
from batchgen.errors import (
    AnswerLost,
    BatchgenFault,
    JobError,
    Misconfigured,
    NeverSent,
    ServiceUnusable,
)

MODEL = "stability.stable-image-core-v1:1"
ELSEWHERE = "http://192.0.2.7:8080"
"""An address of nobody (RFC 5737)."""


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "real-secret")


@pytest.fixture
def sent(monkeypatch):
    """Addresses that somebody tries to connect to; no way leads to any of them."""
    tried = []

    async def connect_nowhere(_, __, address):
        tried.append(address[:2])
        raise ConnectionRefusedError(111, "refused")

    def resolve(host, port, *_, **__):
        if not host[:1].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", connect_nowhere)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return tried


def job_of(**values):
    whole = {
        "name": "shop",
        "model": MODEL,
        "region": "us-west-2",
        "items": [{"id": "mug", "prompt": "a mug"}],
        **values,
    }
    return jobs.parse("shop.yaml", json.dumps(whole, indent=1).encode())


def elsewhere(**values):
    return Connection(region="us-west-2", url=ELSEWHERE, calls_in_flight=1, **values)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://127.0.0.1:80", False),
        ("http://127.0.0.2", False),
        ("http://127.255.255.254:1/x", False),
        ("http://localhost", False),
        ("http://localhost.:1", False),
        ("HTTP://LocalHost", False),
        ("http://[::1]:80", False),
        ("http://[::ffff:127.0.0.1]", False),
        ("https://example.com", False),
        ("http://128.0.0.1", True),
        ("http://0.0.0.0", True),
        ("http://[::]", True),
        ("http://[::ffff:10.0.0.1]", True),
        ("http://2130706433", True),
        ("http://127.1", True),
        ("http://0x7f000001", True),
        ("http://0177.0.0.1", True),
        ("http://localhost.example.com", True),
        ("http://127.0.0.1.example.com", True),
        ("http://localhost@example.com", True),
        ("http://sub.localhost", True),
    ],
)
def test_only_this_machine_is_called_in_clear(url, plain):
    """All of 127.0.0.0/8, `::1` and `localhost`; a spelling that a resolver has to guess is not."""
    assert jobs.is_plain_http(url) is plain


@pytest.mark.usefixtures("keys")
class TestInClear:
    @pytest.mark.parametrize(
        "url",
        [
            ELSEWHERE,
            "HTTP://EXAMPLE.COM",
            "http://localhost.example.com",
            "http://[::ffff:10.0.0.1]:80",
            "http://134744072",
            "http://2130706433",
            "http://0.0.0.0:80",
        ],
    )
    async def test_a_job_that_names_such_an_endpoint_is_refused(self, url):
        """The line is named, and what would allow it."""
        with pytest.raises(JobError) as caught:
            job_of(endpoint=url)
        (complaint,) = caught.value.complaints
        assert (complaint.path, complaint.line) == (("endpoint",), 11)
        assert "`allow_plain_http: true`" in complaint.text

    @pytest.mark.parametrize(
        "url", ["http://me:secret@192.0.2.7", "http://me@127.0.0.1", "http://@x"]
    )
    async def test_an_endpoint_with_a_name_and_password_is_refused(self, url):
        """Secrets have no place in a URL, which logs and manifests repeat."""
        with pytest.raises(JobError) as caught:
            job_of(endpoint=url, allow_plain_http=True)
        assert [each.path for each in caught.value.complaints] == [("endpoint",)]

    @pytest.mark.parametrize("opened", [lambda job: open_endpoint(job, 1), open_accounts])
    async def test_another_endpoint_than_the_jobs_is_refused_too(self, opened, sent):
        """As `--endpoint` gives it: neither a call nor a question goes there."""
        job = job_of(endpoint="aws").model_copy(update={"endpoint": ELSEWHERE})
        with pytest.raises(ServiceUnusable, match="`allow_plain_http: true`"):
            async with opened(job):
                pass
        assert sent == []

    async def test_a_job_that_allows_it_is_warned_at_each_run(self):
        """The endpoint is opened, and the first thing to read is what that means."""
        job = job_of(endpoint=ELSEWHERE, allow_plain_http=True)
        async with open_endpoint(job, 1) as endpoint:
            assert "go unencrypted to http://192.0.2.7:8080" in endpoint.notices[0]
        async with open_endpoint(job_of(endpoint="http://127.0.0.1:9"), 1) as endpoint:
            assert endpoint.notices == ()

    async def test_what_is_allowed_is_sent(self, sent):
        """The call tries to reach the machine that the job names."""
        async with connect(elsewhere(allow_plain_http=True)) as client:
            with pytest.raises(NeverSent):
                await client.invoke(MODEL, b"{}")
        assert sent == [("192.0.2.7", 8080)]

    async def test_no_call_goes_there(self, sent):
        """Whoever made the connection: the wire itself refuses, before it looks for a way."""
        async with connect(elsewhere()) as client:
            with pytest.raises(Misconfigured, match=r"192\.0\.2\.7:8080"):
                await client.invoke(MODEL, b"{}")
        assert sent == []

    async def test_no_bearer_token_goes_there(self, sent, monkeypatch):
        """An API key of the environment is a secret like any other."""
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-secret")
        async with connect(elsewhere()) as client:
            with pytest.raises(Misconfigured):
                await client.invoke(MODEL, b"{}")
        assert sent == []

    @pytest.mark.parametrize("service", ["", "_STS", "_BEDROCK", "_BEDROCK_RUNTIME"])
    async def test_no_variable_of_the_environment_sends_them_there(
        self, sent, monkeypatch, service
    ):
        """The SDK takes endpoints from there as well."""
        monkeypatch.setenv(f"AWS_ENDPOINT_URL{service}", ELSEWHERE)
        everywhere = Connection(region="us-west-2", calls_in_flight=1)
        async with open_account(everywhere) as account:
            for question in (account.identity(), account.life_cycle(MODEL), account.reach()):
                with pytest.raises(AccountError):
                    await question
        assert ("192.0.2.7", 8080) not in sent

    async def test_no_role_is_asked_for_there(self, sent, monkeypatch, tmp_path):
        """Neither by the job's role, nor by one of a profile, which the SDK assumes by itself."""
        config = tmp_path / "config"
        config.write_text(
            "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = x\n"
            "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/night\n"
            f"source_profile = base\nservices = far\n[services far]\nsts =\n"
            f"  endpoint_url = {ELSEWHERE}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", ELSEWHERE)
        by = {"profile": "role"}, {"role": "arn:aws:iam::123456789012:role/night"}
        for given in by:
            with pytest.raises(ServiceUnusable):
                async with connect(Connection(region="us-west-2", calls_in_flight=1, **given)):
                    pass
        assert ("192.0.2.7", 8080) not in sent


@asynccontextmanager
async def tls_server(tmp_path, body=b"{}"):
    """A server that speaks TLS and answers each request with a body; gives port and requests."""
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    requests = []

    async def answer(reader, writer):
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


def at(url):
    return Connection(region="us-west-2", url=url, calls_in_flight=1)


@pytest.mark.usefixtures("keys")
class TestTls:
    @pytest.mark.parametrize("by", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
    @pytest.mark.parametrize("broken", ["missing", "empty", "garbage", "a folder", "NUL"])
    async def test_a_ca_bundle_that_cannot_be_read_is_named(
        self, tmp_path, monkeypatch, by, broken, sent
    ):
        """No call could be made: said before the first one, with the file; nothing is opened."""
        path = tmp_path / "bundle.pem"
        if broken == "a folder":
            path.mkdir()
        elif broken in ("empty", "garbage"):
            path.write_text("" if broken == "empty" else "-----BEGIN CERTIFICATE-----\nxx\n")
        elif broken == "NUL" and by != "ca_bundle":
            return  # no variable of the environment holds one
        name = str(path) + ("\0" if broken == "NUL" else "")
        if by == "ca_bundle":
            (tmp_path / "config").write_text(f"[default]\nca_bundle = {name}\n")
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        else:
            monkeypatch.setenv(by, name)
        for url in (None, "https://192.0.2.7"):
            with pytest.raises(ServiceUnusable, match=r"bundle\.pem.* cannot be read"):
                async with connect(at(url)):
                    pass
            async with open_account(at(url)) as account:
                with pytest.raises(AccountError, match=r"bundle\.pem"):
                    await account.reach()
        assert sent == []

    async def test_plain_http_needs_no_certificates(self, monkeypatch):
        """A simulator works on a machine whose certificates are broken."""
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/bundle.pem")
        async with serving() as server, connect(at(server.url)) as client:
            assert (await client.invoke(MODEL, b"{}")).body == b"{}"

    async def test_a_bundle_that_vanishes_has_sent_nothing(self, tmp_path, monkeypatch):
        """A file that goes between the first look and the first call: free, and tried again."""
        async with tls_server(tmp_path) as (port, requests):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
            async with connect(at(f"https://127.0.0.1:{port}")) as client:
                (tmp_path / "cert.pem").unlink()
                with pytest.raises(NeverSent, match="No such file"):
                    await client.invoke(MODEL, b"{}")
        assert requests == []

    async def test_a_good_bundle_lets_calls_through(self, tmp_path, monkeypatch):
        """What the refusals above are measured against."""
        async with tls_server(tmp_path) as (port, requests):
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
            async with connect(at(f"https://127.0.0.1:{port}")) as client:
                assert (await client.invoke(MODEL, b"{}")).body == b"{}"
        assert len(requests) == 1

    async def test_what_waits_is_kept_from_the_connection_and_comes_whole(
        self, tmp_path, monkeypatch
    ):
        """A connection with TLS holds no more of a reply that nobody reads than is said."""
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        transports, body, memory = [], bytes(range(256)) * 16_000, ReplyMemory(1)

        def noted_unread(response):
            transports.append(response.connection.protocol.transport)
            return unread(response)

        monkeypatch.setattr(client_module, "unread", noted_unread)
        async with (
            tls_server(tmp_path, body) as (port, _),
            connect(at(f"https://127.0.0.1:{port}"), memory) as client,
        ):
            earlier = await memory.take(1_000_000)
            call = asyncio.create_task(client.invoke(MODEL, b"{}"))
            await until(lambda: transports or call.done())
            await settle()
            assert transports[0].get_read_buffer_limits()[1] == READ_AHEAD
            earlier.release()
            answer = await call
        assert answer.body == body

    async def test_a_certificate_that_is_not_trusted(self, tmp_path):
        """No retry makes it trusted."""
        async with (
            tls_server(tmp_path) as (port, requests),
            connect(at(f"https://127.0.0.1:{port}")) as client,
        ):
            with pytest.raises(Misconfigured, match="certificate"):
                await client.invoke(MODEL, b"{}")
        assert requests == []

    async def test_a_tls_port_that_is_called_without(self, tmp_path):
        """The port is asked and named: nothing was read there, and nothing can be billed."""
        async with tls_server(tmp_path) as (port, requests):
            url = f"http://127.0.0.1:{port}"
            async with connect(at(url)) as client:
                for _ in range(2):
                    with pytest.raises(Misconfigured) as caught:
                        await client.invoke(MODEL, b"{}")
                    assert str(caught.value) == str(only_tls(url))
                    assert f"127.0.0.1:{port} speaks TLS" in str(caught.value)
            async with open_account(at(url)) as account:
                with pytest.raises(AccountError, match=f"127.0.0.1:{port} speaks TLS"):
                    await account.reach()
        assert requests == []

    async def test_calls_in_flight_learn_it_together(self, tmp_path):
        """One of them asks the port; none counts as maybe billed meanwhile."""
        async with tls_server(tmp_path) as (port, requests):
            url = f"http://127.0.0.1:{port}"
            async with connect(at(url)) as client:
                calls = (client.invoke(MODEL, b"{}") for _ in range(8))
                found = await asyncio.gather(*calls, return_exceptions=True)
            async with open_account(at(url)) as account:
                questions = (account.identity() for _ in range(8))
                told = await asyncio.gather(*questions, return_exceptions=True)
        assert {type(each) for each in found} == {Misconfigured}
        assert {str(each) for each in told} == {str(only_tls(url))}
        assert requests == []

    @pytest.mark.parametrize("scheme", ["http", "https"])
    async def test_a_run_ends_at_once_and_its_tasks_stay_open(self, tmp_path, scheme):
        """A wrong scheme, or a certificate that is not trusted, is no fault of a task."""
        async with tls_server(tmp_path) as (port, requests):
            url = f"{scheme}://127.0.0.1:{port}"
            job = job_of(endpoint=url, output=str(tmp_path / "out"), limits={"budget_usd": 1})
            summary = await batchgen.run(job)
        assert (summary.exit_code, summary.left, summary.failed) == (4, 1, 0)
        assert summary.maybe_billed_usd == summary.billed_usd == 0
        assert requests == []

    async def test_a_plain_port_that_is_called_with_tls(self):
        """A question names it as a call does."""

        async def plain(_, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with open_account(at(f"https://127.0.0.1:{port}")) as account:
                with pytest.raises(AccountError, match=f"127.0.0.1:{port} speaks no TLS"):
                    await account.reach()


@pytest.mark.usefixtures("keys")
class TestNeverSentOrLost:
    async def test_a_fault_before_anything_is_sent_costs_nothing(self, monkeypatch):
        """It is recorded with its task as ours, and it is not ambiguous."""
        async with serving() as server, connect(at(server.url)) as client:

            def break_down(*_, **__):
                raise LookupError("a bug")

            monkeypatch.setattr(client._client, "invoke_model", break_down)
            with pytest.raises(BatchgenFault, match="LookupError: a bug"):
                await client.invoke(MODEL, b"{}")
        assert server.posts == []

    async def test_a_call_that_finds_no_connection_in_time_was_not_sent(self, monkeypatch):
        """Whatever the time was spent on: there was no connection to send anything on."""
        async with serving() as server, connect(at(server.url)) as client:
            monkeypatch.setattr("batchgen.bedrock.client.CALL_TIMEOUT", 0.05)

            async def hang(*_, **__):
                await asyncio.Event().wait()

            monkeypatch.setattr(client._client, "invoke_model", hang)
            with pytest.raises(NeverSent):
                await client.invoke(MODEL, b"{}")

    async def test_a_role_that_is_asked_for_is_not_the_call(self, monkeypatch, tmp_path):
        """A request for credentials that got an answer says nothing of the call they were for."""
        async with serving() as server:
            config = tmp_path / "config"
            config.write_text(
                "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = x\n"
                "[default]\nrole_arn = arn:aws:iam::123456789012:role/night\n"
                f"source_profile = base\nservices = here\n[services here]\nsts =\n"
                f"  endpoint_url = {server.url}\n"
            )
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                monkeypatch.delenv(name)
            monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
            async with connect(at("https://192.0.2.7")) as client:
                with pytest.raises(Exception) as caught:  # noqa: PT011  # its class is judged below
                    await client.invoke(MODEL, b"{}")
        assert server.posts
        assert not isinstance(caught.value, AnswerLost)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"])
async def test_a_tunnel_that_is_not_made_carried_nothing(data, monkeypatch):
    """A proxy that refuses the tunnel, or goes away, has read no request of ours: it is free."""

    async def refuse(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(data)
        writer.close()

    asked = []
    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    to = Connection(region="us-west-2", url="https://192.0.2.7", calls_in_flight=1)
    async with proxy, connect(to) as client:
        with pytest.raises(NeverSent):
            await client.invoke(MODEL, b"{}")
    assert [each.split()[0] for each in asked] == [b"CONNECT"]


@asynccontextmanager
async def proxy():
    """A proxy that makes a tunnel to whatever port of this machine it is asked for; its port."""
    ends = []

    async def carry(reader, writer):
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def tunnel(reader, writer):
        port = int((await reader.readuntil(b"\r\n\r\n")).split()[1].rpartition(b":")[2])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = await asyncio.open_connection("127.0.0.1", port)
        ways = ((reader, inner[1]), (inner[0], writer))
        ends.extend(asyncio.create_task(carry(*way)) for way in ways)

    server = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*ends)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("trusted", [True, False])
async def test_certificates_are_looked_at_through_a_proxy_too(tmp_path, monkeypatch, trusted):
    """Whoever sits in the tunnel would else read credentials and prompts, and write the replies."""
    async with tls_server(tmp_path) as (port, requests), proxy() as by:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{by}")
        if trusted:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        async with connect(at(f"https://127.0.0.1:{port}")) as client:
            if trusted:
                assert (await client.invoke(MODEL, b"{}")).body == b"{}"
            else:
                with pytest.raises(Misconfigured, match="certificate"):
                    await client.invoke(MODEL, b"{}")
    assert len(requests) == trusted


async def test_connections_are_closed_some_in_each_turn_of_the_loop(keys, monkeypatch):
    """A thousand of them take the loop 50 ms, in which nothing else of the program would go on."""
    loop, turn, closed = asyncio.get_running_loop(), 0, Counter()
    close = wire_module._Protocol.close

    def count_turns():
        nonlocal turn
        turn += 1
        loop.call_soon(count_turns)

    def noted(protocol):
        closed[turn] += protocol.transport is not None
        close(protocol)

    async def respond(writer):
        await until(lambda: len(server.posts) == 10)
        writer.write(response(200, b"{}"))

    monkeypatch.setattr(wire_module, "CLOSED_AT_ONCE", 3)
    monkeypatch.setattr(wire_module._Protocol, "close", noted)
    async with serving() as server:
        server.respond = respond
        connection = Connection(region="us-west-2", url=server.url, calls_in_flight=10)
        async with connect(connection) as client:
            await asyncio.gather(*(client.invoke(MODEL, b"{}") for _ in range(10)))
            loop.call_soon(count_turns)
    assert sorted(closed.values())[-4:] == [1, 3, 3, 3]
