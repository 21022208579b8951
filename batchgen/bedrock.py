"""Open a client of Bedrock Runtime and make one call; errors leave here as ours.

The only importer of aioboto3, aiobotocore and botocore. One call is one POST: the SDK's own retries
are off, for an InvokeModel that is repeated unseen may be paid for twice.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aioboto3
import aiohttp
import botocore.exceptions
import botocore.utils
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession

from batchgen.errors import AttemptError, ServiceUnusable, UnusableReply
from batchgen.sdk_errors import translated
from batchgen.service_errors import CREDENTIAL_ADVICE

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 300.0
CALL_TIMEOUT = 330.0
"""Seconds around a whole call, for an answer that trickles in without ever pausing long enough."""
BODY_LIMIT = 25_000_000
"""Bytes of a response body (InvokeModel's shape Body in botocore's service model)."""
FIXED_SOURCES = ("env", "explicit")
"""Credential sources (botocore's words) that cannot change while this process lives."""
CHUNK = 1 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the calls of a run go."""

    region: str
    url: str | None = None
    """None: the endpoint that AWS has for the Region."""
    calls_in_flight: int
    """Size of the connection pool: a call must never wait inside the SDK, after it was signed."""
    profile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The body of one HTTP 200, as it came."""

    body: bytes
    request_id: str | None
    latency_ms: int


class Bedrock:
    """A client that can be renewed when its credentials were refused."""

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        self._connection = connection
        self._stack = stack
        self._client: Any = None

    async def renew(self) -> bool:
        """Open a client with credentials read anew; calls in flight end on the old one.

        Returns:
            Whether reading them once more later may bring others: not if they stand in this
            process's environment.

        Raises:
            ServiceUnusable: there are no credentials, or the Region or the profile is unknown.
        """
        try:
            session = sdk_session(self._connection)
            source = await _credential_source(session)
            client = session.client(
                "bedrock-runtime",
                endpoint_url=self._connection.url,
                config=sdk_config(self._connection),
            )
            self._client = await self._stack.enter_async_context(client)
        except (
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,  # a role that cannot be assumed
            ValueError,  # a URL that is none
        ) as error:
            raise ServiceUnusable(f"AWS cannot be used: {error}") from error
        return source not in FIXED_SOURCES

    async def invoke(self, model_id: str, body: bytes) -> Answer:
        """One InvokeModel, one POST.

        Raises:
            AttemptError: every way in which it can fail; see `batchgen.service_errors`.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                reply = await self._client.invoke_model(
                    modelId=model_id,
                    body=body,
                    contentType="application/json",
                    accept="application/json",
                )
                request_id = reply["ResponseMetadata"].get("RequestId")
                content = await _read(reply["body"], request_id)
        except AttemptError:
            raise
        except Exception as error:
            ours = translated(error)
            if ours is None:
                raise  # nobody foresaw it: a fault of ours, and not for a retry to cover up
            raise ours from error
        latency = round((time.monotonic() - started) * 1000)
        return Answer(body=content, request_id=request_id, latency_ms=latency)


@asynccontextmanager
async def connect(connection: Connection) -> AsyncIterator[Bedrock]:
    """One client for a whole run.

    Raises:
        ServiceUnusable: there are no credentials, or the Region or the profile is unknown.
    """
    quiet_sdk()
    async with AsyncExitStack() as stack:
        bedrock = Bedrock(connection, stack)
        await bedrock.renew()
        yield bedrock


def quiet_sdk() -> None:
    """Keep the SDK's loggers at INFO or above: its DEBUG lines hold tokens, keys and prompts.

    Each gets a level of its own, so that a root logger that is turned up later does not matter.
    """
    for name in ("boto3", "botocore", "aioboto3", "aiobotocore", "aiohttp", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))


def is_plain_loopback(url: str | None) -> bool:
    """Whether the endpoint is plain HTTP on this machine: no credentials are shown to it."""
    if url is None:
        return False
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


class _HttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
    """aiobotocore's session with TCP keep-alive, and with one request for one call.

    aiobotocore 2.25 takes the first and ignores it; idle connections die after 350 s behind a NAT
    or a VPC endpoint (Bedrock User Guide). And it follows redirects, which Bedrock never sends: a
    proxy that does would get a second, signed POST, or have its login page taken for a reply.
    """

    def __init__(self, connector_args: dict[str, Any] | None = None, **arguments: Any) -> None:
        with_factory = {**(connector_args or {}), "socket_factory": _keep_alive_socket}
        super().__init__(connector_args=with_factory, **arguments)

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        return _Direct(await super()._get_session(proxy_url))


class _Direct:
    """An aiohttp session that follows no redirect."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> aiohttp.ClientResponse:
        return await self._session.request(method, allow_redirects=False, **arguments)


def _keep_alive_socket(address: Sequence[Any]) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made


def sdk_session(connection: Connection) -> Any:
    """A session of the SDK with this connection's credentials; raises what the SDK raises."""
    if is_plain_loopback(connection.url):
        # A local simulator gets made-up keys: real ones have no business on a plain connection.
        return aioboto3.Session(
            aws_access_key_id="AKIASIMULATED",
            aws_secret_access_key="simulated",  # noqa: S106  # no secret: no service knows it
            region_name=connection.region,
        )
    return aioboto3.Session(profile_name=connection.profile, region_name=connection.region)


async def _credential_source(session: Any) -> str:
    """Where the SDK found credentials, in its own words."""
    credentials = await session.get_credentials()
    if credentials is not None:
        return str(credentials.method)
    if botocore.utils.get_token_from_environment("bedrock") is None:
        raise ServiceUnusable(f"No AWS credentials were found. {CREDENTIAL_ADVICE}")
    return "env"


def sdk_config(
    connection: Connection, *, attempts: int = 1, read_timeout: float | None = None
) -> AioConfig:
    """How the SDK's clients connect; `attempts` stays 1 wherever a call costs money."""
    loopback: dict[str, Any] = {}
    if is_plain_loopback(connection.url):
        # A proxy or a bearer token of the environment is not meant for this machine's own server.
        loopback = {"proxies": {}, "signature_version": "v4"}
    return AioConfig(
        http_session_cls=_HttpSession,
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT if read_timeout is None else read_timeout,
        max_pool_connections=connection.calls_in_flight,
        tcp_keepalive=True,
        # Both: without `mode` a variable of the environment fills it in and brings retries back.
        retries={"total_max_attempts": attempts, "mode": "standard"},
        user_agent_extra="batchgen",
        **loopback,
    )


async def _read(stream: Any, request_id: str | None) -> bytes:
    """The whole body, bounded: what the service cannot have sent is not worth the memory."""
    chunks: list[bytes] = []
    size = 0
    async with stream:
        while chunk := await stream.read(CHUNK):
            size += len(chunk)
            chunks.append(chunk)
            if size > BODY_LIMIT:
                text = f"the reply is larger than {BODY_LIMIT} bytes, the most that Bedrock sends"
                raise UnusableReply(text, body=b"".join(chunks), request_id=request_id)
    return b"".join(chunks)
