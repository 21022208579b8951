"""HTTP under the SDK: one request for one call, what of it left, and how much of an answer is read.

aiobotocore's own session takes `tcp_keepalive` and ignores it (2.25), follows redirects, looks at
no certificate through a proxy, and reads an error body of any size.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from batchgen.errors import Misconfigured
from batchgen.job import PLAIN_HTTP, is_plain_http

ERROR_BODY = 64 * 1024
"""Bytes of an error body that are read; Bedrock's have a few hundred, a proxy's page a few
thousand."""
LONGEST_LINE = 128 * 1024
"""Bytes of one line of a head; with aiohttp's 8 KB a proxy's long header hides the status."""
READ_AHEAD = 32 * 1024
"""Bytes of an answer that a connection holds before somebody reads it, twice that at most beyond
what one read of its socket brings; with aiohttp's 256 KB a thousand connections hold 0.5 GB."""
ERROR_PATIENCE = 10.0
"""Seconds for an error body, whose status is known already."""
ANSWER_BODY = 25_000_000
"""Bytes of any other body that is read as a whole: the most that Bedrock sends."""
PROBE_PATIENCE = 2.0
"""Seconds to find out whether a port speaks TLS."""
CLOSED_AT_ONCE = 50
"""Connections that are closed in one turn of the loop, which takes 50 µs for each."""
ERROR_STATUS = 300
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
STATUS_LENGTH = 13
"""Bytes that `STATUS` looks at."""


_CURRENT: ContextVar[Request | None] = ContextVar("request", default=None)


class Request:
    """The request that the body of a `with` makes.

    What that raises before `may_have_left` was never sent.
    """

    def __init__(self) -> None:
        self.may_have_left = False
        """Whether it had a connection: from then on a byte of it may have reached the service."""

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)


class HttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
    """aiobotocore's session with TCP keep-alive, certificates, no redirects, and bounded bodies.

    Idle connections die after 350 s behind a NAT or a VPC endpoint (Bedrock User Guide). Bedrock
    never redirects: a proxy that does would get a second, signed POST, or have its login page taken
    for a reply.
    """

    def __init__(
        self,
        connector_args: dict[str, Any] | None = None,
        *,
        plain_http: bool = False,
        watched: bool = False,
        **arguments: Any,
    ) -> None:
        """Take what aiobotocore gives, and how careful to be.

        Args:
            connector_args: of aiohttp.
            plain_http: whether credentials may go unencrypted to another machine.
            watched: whether its requests are those that a `Request` watches, and not one for
                the credentials that sign them.
            arguments: of aiobotocore's session.
        """
        with_factory = {**(connector_args or {}), "socket_factory": _keep_alive_socket}
        super().__init__(connector_args=with_factory, **arguments)
        self._plain_http = plain_http
        self._ways: dict[str, dict[str, Any]] = {}
        """URL -> how requests to it go."""
        self._request_class = _Watched if watched else aiohttp.ClientRequest

    def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:  # noqa: ARG002  # aiobotocore's
        # With a proxy's URL it would look at no certificate (2.25), neither the proxy's nor the
        # service's.
        connector: aiohttp.TCPConnector = super()._create_connector(None)
        kind: type[ResponseHandler] = _Protocol
        connector._factory = partial(kind, asyncio.get_running_loop())  # noqa: SLF001  # no other way to it
        return connector

    async def send(self, request: Any) -> Any:
        """Send a request that is signed: never in clear to another machine.

        Whatever named the address, the job or a variable of the environment, it is looked at here.
        """
        self._require_private(request.url)
        return await super().send(request)

    async def post(self, request: Any) -> aiohttp.ClientResponse:
        """Send one of many requests to the same URL, whose body and that of the reply are bytes.

        `send` works out anew for each what follows from its URL, and copies its headers both ways.

        Args:
            request: as `send` takes it, a POST.

        Raises:
            Exception: whatever `send` raises.
        """
        if request.url not in self._ways:
            self._require_private(request.url)
        request.headers["Accept-Encoding"] = "identity"
        try:
            way = self._way(request.url)
            session = await self._get_session(way["proxy"])
            return await session.request("POST", headers=request.headers, data=request.body, **way)
        except Exception as error:
            teller = _Teller(error, self._proxy_config)
            await teller.send(request)
            raise

    def _way(self, url: str) -> dict[str, Any]:
        """How requests to a URL go, as aiohttp takes it."""
        if url not in self._ways:
            self._ways[url] = {
                "url": URL(url, encoded=True),
                "proxy": self._proxy_config.proxy_url_for(url),
                "proxy_headers": self._proxy_config.proxy_headers_for(url),
            }
        return self._ways[url]

    def _require_private(self, url: str) -> None:
        if is_plain_http(url) and not self._plain_http:
            text = f"the endpoint is http://{urlsplit(url).netloc}"
            raise Misconfigured(text, code="PlainHttp", advice=PLAIN_HTTP)

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        session = self._sessions.get(proxy_url)
        if session is None:
            session = await self._exit_stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=self._create_connector(proxy_url),
                    timeout=self._timeout,
                    skip_auto_headers={"CONTENT-TYPE"},
                    auto_decompress=False,
                    read_bufsize=READ_AHEAD,
                    max_line_size=LONGEST_LINE,
                    max_field_size=LONGEST_LINE,
                    request_class=self._request_class,
                    response_class=_Response,
                )
            )
            self._sessions[proxy_url] = session
            self._exit_stack.push_async_callback(_close_idle, session.connector)
        return _Direct(session)


class _Teller(AIOHTTPSession):  # type: ignore[misc]  # as above
    """Sends nothing, and says in the SDK's words why."""

    def __init__(self, error: Exception, proxies: Any) -> None:
        self._error = error
        self._proxy_config = proxies

    async def _get_session(self, proxy_url: str | None) -> Any:  # noqa: ARG002  # aiobotocore's
        raise self._error


class _Watched(aiohttp.ClientRequest):
    """A request that says of itself that it has a connection: that of a proxy's tunnel is none."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if (request := _CURRENT.get()) is not None:
            request.may_have_left = True
        return await super().send(conn)


class _Direct:
    """An aiohttp session that follows no redirect."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> aiohttp.ClientResponse:
        return await self._session.request(method, allow_redirects=False, **arguments)


async def _close_idle(connector: Any) -> None:
    """Close connections that no call uses, some in each turn; aiohttp would close all in one."""
    kept = connector._conns.values()  # noqa: SLF001  # no other way to them
    for number, (protocol, _) in enumerate(list(chain.from_iterable(kept)), 1):
        protocol.close()
        if number % CLOSED_AT_ONCE == 0:
            await asyncio.sleep(0)


class _Protocol(ResponseHandler):
    """Keeps how an answer begins: a head that cannot be read has a status all the same."""

    begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection; one with TLS has a buffer of its own, which would hold 512 KB."""
        super().connection_made(transport)
        if (limit := getattr(transport, "set_read_buffer_limits", None)) is not None:
            limit(READ_AHEAD)

    def set_response_params(self, **params: Any) -> None:
        """Another request is sent on this connection."""
        self.begun = b""
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer."""
        if len(self.begun) < STATUS_LENGTH:
            self.begun += data[:STATUS_LENGTH]
        super().data_received(data)


class _Response(aiohttp.ClientResponse):
    """A response whose body is read up to a bound; that of an error as far as it can be read."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head; of that of an error which cannot be read, the status alone."""
        protocol = connection.protocol
        try:
            return await super().start(connection)
        except aiohttp.ClientError:
            found = STATUS.match(protocol.begun)
            if found is None or int(found[1]) < ERROR_STATUS:
                raise
        self.status, self.reason = int(found[1]), ""
        self._headers, self._raw_headers = CIMultiDictProxy(CIMultiDict()), ()
        self._body = b""
        self.close()
        return self

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers as UTF-8, which aiobotocore takes them for."""
        return tuple((_utf8(name), _utf8(value)) for name, value in super().raw_headers)

    async def read(self) -> bytes:
        if self._body is None:
            error = self.status >= ERROR_STATUS
            self._body = await (self._read_error() if error else self._read_answer())
        return self._body

    async def _read_error(self) -> bytes:
        """What can be read of an error body: the status stands, whatever becomes of the rest."""
        data = bytearray()
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(ERROR_PATIENCE):
                while len(data) < ERROR_BODY:
                    chunk = await self.content.read(ERROR_BODY - len(data))
                    if not chunk:
                        break
                    data += chunk
        if not self.content.at_eof():
            self.close()  # the rest is not worth the time
        return unpacked(bytes(data), self.headers.get("Content-Encoding", ""), ERROR_BODY)

    async def _read_answer(self) -> bytes:
        data = bytearray()
        while chunk := await self.content.readany():
            data += chunk
            if len(data) > ANSWER_BODY:
                self.close()
                raise aiohttp.ClientPayloadError(f"the answer is larger than {ANSWER_BODY} bytes")
        return bytes(data)


@contextmanager
def unread(response: aiohttp.ClientResponse) -> Iterator[None]:
    """The rest of a response stays in its socket while the body runs, and is not waited for.

    So no time runs for it: aiohttp gives up a peer that sends nothing, not one that we do not read.
    """
    connection = response.connection  # none if all of it came
    protocol = None if connection is None else connection.protocol
    if protocol is None or not protocol.connected:
        yield
        return
    protocol.pause_reading()
    try:
        yield
    finally:
        protocol.resume_reading()


def _utf8(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def unpacked(data: bytes, coding: str, most: int) -> bytes:
    """A compressed body up to so many bytes; the body as it came where it cannot be unpacked.

    The SDK asks for no compression and unpacks none; a proxy may compress all the same.
    """
    if coding.strip().lower() not in ("gzip", "x-gzip", "deflate") and data[:2] != b"\x1f\x8b":
        return data
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, most)
    except zlib.error:
        return data


def _keep_alive_socket(address: Sequence[Any]) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


class PortProbe:
    """Whether the port of an endpoint speaks TLS and is called without it; asked once."""

    def __init__(self, url: str | None) -> None:
        self._url = url if url is not None and urlsplit(url).scheme == "http" else None
        self._asking: asyncio.Task[bool] | None = None

    async def tls_port(self) -> str | None:
        """The URL, if its port speaks TLS although it says http; all who ask wait for one probe."""
        if self._url is None:
            return None
        if self._asking is None:
            self._asking = asyncio.create_task(_speaks_tls(self._url))
        return self._url if await asyncio.shield(self._asking) else None


async def _speaks_tls(url: str) -> bool:
    """Whether the port of a URL completes a TLS handshake, with any certificate."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent after the handshake
    try:
        async with asyncio.timeout(PROBE_PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True
