"""Open a client of Bedrock Runtime and make one call; errors leave here as ours.

One call is one POST: the SDK's own retries are off, for an InvokeModel that is repeated unseen may
be paid for twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aioboto3
import botocore.exceptions
import botocore.utils
from aiobotocore.config import AioConfig

from batchgen.errors import AttemptError, ServiceUnusable, UnusableReply
from batchgen.role import assuming, unusable
from batchgen.sdk_errors import translated
from batchgen.sdk_http import HttpSession
from batchgen.sdk_log import quiet_sdk
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
ROLE_ATTEMPTS = 3
"""Requests that assuming a role may become; none of them costs money."""
ROLE_TIMEOUT = 10.0
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
    role: str | None = None
    """ARN of a role to assume with the credentials of the profile, or of this process."""

    @property
    def names_credentials(self) -> bool:
        """Whether it says who calls: no key of the environment signs in place of that."""
        return self.profile is not None or self.role is not None


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
            ServiceUnusable: there are no credentials, the Region or the profile is unknown, or the
                role cannot be assumed.
        """
        connection = self._connection
        try:
            session = sdk_session(connection)
            source = await _credential_source(session, connection)
            client = session.client(
                "bedrock-runtime",
                endpoint_url=connection.url,
                config=sdk_config(connection),
            )
            self._client = await self._stack.enter_async_context(client)
        except (
            botocore.exceptions.BotoCoreError,
            botocore.exceptions.ClientError,  # a role that cannot be assumed
            AttemptError,  # nor could STS be asked
            OSError,  # a `credential_process` that is not there
            ValueError,  # a URL that is none
        ) as error:
            raise unusable(error, profile=connection.profile, role=connection.role) from error
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
        ServiceUnusable: as `Bedrock.renew`.
    """
    quiet_sdk()
    async with AsyncExitStack() as stack:
        bedrock = Bedrock(connection, stack)
        await bedrock.renew()
        yield bedrock


def is_plain_loopback(url: str | None) -> bool:
    """Whether the endpoint is plain HTTP on this machine: no credentials are shown to it."""
    if url is None:
        return False
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def sdk_session(connection: Connection) -> Any:
    """A session of the SDK with this connection's credentials; raises what the SDK raises."""
    own = _session(connection)
    if connection.role is None:
        return own
    local = is_plain_loopback(connection.url)
    acting = assuming(
        own,
        connection.role,
        url=connection.url if local else None,
        config=sdk_config(connection, attempts=ROLE_ATTEMPTS, read_timeout=ROLE_TIMEOUT),
    )
    return aioboto3.Session(
        botocore_session=acting,
        profile_name=None if local else connection.profile,
        region_name=connection.region,
    )


def _session(connection: Connection) -> Any:
    """A session with the credentials of the profile, or with those that the SDK finds."""
    if not is_plain_loopback(connection.url):
        return aioboto3.Session(profile_name=connection.profile, region_name=connection.region)
    # A local simulator gets made-up keys: real ones have no business on a plain connection. It
    # knows accounts by their keys, so each profile has keys of its own.
    whose = "" if connection.profile is None else f"-{quote(connection.profile, safe='')}"
    return aioboto3.Session(
        aws_access_key_id=f"AKIASIMULATED{whose}",
        aws_secret_access_key="simulated",  # noqa: S106  # no secret: no service knows it
        region_name=connection.region,
    )


async def _credential_source(session: Any, connection: Connection) -> str:
    """Where the SDK found credentials, in its own words."""
    credentials = await session.get_credentials()
    if credentials is not None:
        if connection.names_credentials:
            # Those of a role or of a login are fetched when they are first used: not by a call.
            await credentials.get_frozen_credentials()
        return str(credentials.method)
    if connection.names_credentials:
        raise botocore.exceptions.NoCredentialsError
    if botocore.utils.get_token_from_environment("bedrock") is None:
        raise ServiceUnusable(f"No AWS credentials were found. {CREDENTIAL_ADVICE}")
    return "env"


def sdk_config(
    connection: Connection, *, attempts: int = 1, read_timeout: float | None = None
) -> AioConfig:
    """How the SDK's clients connect; `attempts` stays 1 wherever a call costs money."""
    ours: dict[str, Any] = {}
    # A bearer token of the environment is nobody's but the environment's ...
    if connection.names_credentials:
        ours = {"signature_version": "v4"}
    if is_plain_loopback(connection.url):
        # ... and neither it nor a proxy is meant for this machine's own server.
        ours = {"proxies": {}, "signature_version": "v4"}
    return AioConfig(
        http_session_cls=HttpSession,
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT if read_timeout is None else read_timeout,
        max_pool_connections=connection.calls_in_flight,
        tcp_keepalive=True,
        # Both: without `mode` a variable of the environment fills it in and brings retries back.
        retries={"total_max_attempts": attempts, "mode": "standard"},
        user_agent_extra="batchgen",
        **ours,
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
