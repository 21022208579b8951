"""Credentials of a role that is assumed; and what is wrong with a role or a profile, as a sentence.

Asking for a role costs nothing, so the SDK may ask again. Its credentials live for an hour; each
call that is signed in their last quarter of an hour brings others first.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import aioboto3
import aiobotocore.session
import aiohttp
import botocore.exceptions
import botocore.utils
from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)
from aiobotocore.httpsession import AIOHTTPSession

from batchgen.bedrock.account_errors import failed, refused
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE, local_error
from batchgen.errors import ServiceUnusable
from batchgen.text import quoted, sentences

SESSION_NAME = "batchgen"
"""In the account's audit trail: who acts as the role."""
METHOD = "assume-role"
"""The SDK's word for credentials that came so."""
PROFILE_ADVICE = "`aws configure list-profiles` lists those that this machine has"


def assuming(source: Any, role: str, *, url: str | None, config: AioConfig) -> Any:
    """A session of aiobotocore that acts as a role.

    Args:
        source: session of the SDK whose credentials may assume it.
        role: its ARN.
        url: of STS; None: the endpoint that AWS has for the Region.
        config: how STS is asked.
    """
    acting = aiobotocore.session.get_session()
    acting.register_component("credential_provider", _Role(source, role, url, config))
    return acting


class _Role:
    """What the SDK asks for credentials, in place of its chain of files and variables."""

    def __init__(self, source: Any, role: str, url: str | None, config: AioConfig) -> None:
        self._source = source
        self._role = role
        self._client = partial(source.client, endpoint_url=url, config=config)

    async def load_credentials(self) -> Any:
        """Credentials that assume the role when they are first used."""
        found = await self._source.get_credentials()
        if found is None:
            raise botocore.exceptions.NoCredentialsError
        fetcher = AioAssumeRoleCredentialFetcher(
            self._client, found, self._role, extra_args={"RoleSessionName": SESSION_NAME}
        )
        return AioDeferredRefreshableCredentials(partial(_fetch, fetcher), METHOD)


async def _fetch(fetcher: AioAssumeRoleCredentialFetcher) -> Any:
    """What STS says; a call that waits for its signature was not sent, whatever happens here."""
    try:
        return await fetcher.fetch_credentials()
    except Exception as error:
        ours = local_error(error, sent=False)
        if ours is None:
            raise
        raise ours from error


def unusable(error: Exception, *, profile: str | None, role: str | None) -> ServiceUnusable:
    """Why no client can be opened, with what a person can do.

    Args:
        error: what the SDK raised on the way to credentials.
        profile: whose name the job gives, if it gives one.
        role: the same, an ARN.
    """
    if isinstance(error, botocore.exceptions.ProfileNotFound) and profile is not None:
        return ServiceUnusable(sentences(f"There is no profile {quoted(profile)}", PROFILE_ADVICE))
    client_error = isinstance(error, botocore.exceptions.ClientError)
    why = refused(error, "") if client_error else failed(error)
    if role is not None:
        by = f" with the profile {quoted(profile)}" if profile is not None else ""
        text = f"The role {role} cannot be assumed{by}: {why}"
        return ServiceUnusable(sentences(text, why.advice))
    if profile is not None:
        text = f"The profile {quoted(profile)} cannot be used: {why}"
        return ServiceUnusable(sentences(text, why.advice))
    return ServiceUnusable(f"AWS cannot be used: {error}")


class HttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
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


LOGGERS = ("boto3", "botocore", "aioboto3", "aiobotocore", "aiohttp", "urllib3")


REFRESHES = "aiobotocore.credentials"


def quiet_sdk() -> None:
    """Keep the SDK's loggers at INFO or above: its DEBUG lines hold tokens, keys and prompts.

    Each gets a level of its own, so that a root logger that is turned up later does not matter.
    Warnings of a refresh that failed are whole tracebacks, of what the call that needed it says.
    """
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
    logging.getLogger(REFRESHES).setLevel(logging.ERROR)


CONNECT_TIMEOUT = 10.0


READ_TIMEOUT = 300.0


FIXED_SOURCES = ("env", "explicit")
"""Credential sources (botocore's words) that cannot change while this process lives."""


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
