"""The AWS SDK as this tool uses it: whose credentials sign, and how its clients connect.

A role is assumed with the credentials of the profile or of this process. Asking for a role costs
nothing, so the SDK may ask again. Its credentials live for an hour; each call that is signed in
their last quarter of an hour brings others first.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aioboto3
import aiobotocore.session
import botocore.exceptions
import botocore.loaders
import botocore.utils
from aiobotocore.config import AioConfig
from aiobotocore.credentials import (
    AioAssumeRoleCredentialFetcher,
    AioDeferredRefreshableCredentials,
)

from batchgen.bedrock.account_errors import failure_of, refusal_of
from batchgen.bedrock.connection import Connection, is_http, is_plain_loopback
from batchgen.bedrock.error_replies import ParserFactory
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE, local_error
from batchgen.bedrock.wire import HttpSession
from batchgen.errors import ServiceUnusable
from batchgen.text import quoted, sentences, system_reason

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 300.0
FIXED_SOURCES = ("env", "explicit")
"""Credential sources (botocore's words) that cannot change while this process lives."""
ROLE_ATTEMPTS = 3
"""Requests that assuming a role may become; none of them costs money."""
ROLE_TIMEOUT = 10.0
SESSION_NAME = "batchgen"
"""In the account's audit trail: who acts as the role."""
LONGEST_PATH = 300
CA_ADVICE = "Correct AWS_CA_BUNDLE, REQUESTS_CA_BUNDLE or the profile's ca_bundle"
METHOD = "assume-role"
"""The SDK's word for credentials that came so."""
PROFILE_ADVICE = "`aws configure list-profiles` lists those that this machine has"

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


def sdk_session(connection: Connection) -> Any:
    """A session of the SDK with this connection's credentials; raises what the SDK raises.

    Raises:
        ServiceUnusable: the CA bundle cannot be read.
    """
    own = _session(connection)
    if not is_http(connection.url):
        _require_ca_bundle(own)
    if connection.role is None:
        return own
    acting = _core(connection)
    acting.register_component("credential_provider", _Role(own, connection.role, connection))
    local = is_plain_loopback(connection.url)
    return aioboto3.Session(
        botocore_session=acting,
        profile_name=None if local else connection.profile,
        region_name=connection.region,
    )


def read_data(session: Any, service: str) -> None:
    """Read the files that a client of a service needs, so that opening it reads none.

    It takes 0.1 s the first time: in a thread, for a client is opened in the event loop.
    """
    loader = session._session.get_component("data_loader")  # noqa: SLF001  # aioboto3 hides it
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model(service, kind)


def _session(connection: Connection) -> Any:
    """A session with the credentials of the profile, or with those that the SDK finds."""
    core = _core(connection)
    if not is_plain_loopback(connection.url):
        return aioboto3.Session(
            botocore_session=core,
            profile_name=connection.profile,
            region_name=connection.region,
        )
    # A local simulator gets made-up keys: real ones have no business on a plain connection. It
    # knows accounts by their keys, so each profile has keys of its own.
    whose = "" if connection.profile is None else f"-{quote(connection.profile, safe='')}"
    return aioboto3.Session(
        botocore_session=core,
        aws_access_key_id=f"AKIASIMULATED{whose}",
        aws_secret_access_key="simulated",  # noqa: S106  # no secret: no service knows it
        region_name=connection.region,
    )


def _unconfigured() -> Any:
    """A session for a simulator, which needs nothing of this machine's AWS configuration.

    A profile that is gone, a file that cannot be parsed or a certificate that is missing would
    otherwise keep a user without AWS from the first images.
    """
    return aiobotocore.session.AioSession(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
        }
    )


def _core(connection: Connection) -> Any:
    """A session of aiobotocore whose clients, those for credentials too, are as careful as ours."""
    local = is_plain_loopback(connection.url)
    core = _unconfigured() if local else aiobotocore.session.get_session()
    core.lazy_register_component(
        "data_loader", lambda: _data_loader(core.get_config_variable("data_path"))
    )
    core.register_component("response_parser_factory", ParserFactory())
    core.set_default_client_config(SdkConfig(http_session_cls=_http_session(connection)))
    return core


@cache
def _data_loader(path: str | None) -> botocore.loaders.Loader:
    """Read the SDK's descriptions of services once for all sessions: it takes 0.1 s each time.

    Args:
        path: where else to look for them, as a person's configuration says.
    """
    places = botocore.loaders.create_loader(path).search_paths
    return _Loader(places, include_default_search_paths=False)


class _Loader(botocore.loaders.Loader):  # type: ignore[misc]  # botocore ships no types
    @property
    def search_paths(self) -> list[str]:
        """A copy: each session adds a folder to it, of resources, which nobody here asks for."""
        return [*super().search_paths]

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002  # botocore's
        """All folders of services: a look into each of the 400 takes a 20th of a start.

        What one that has no such type is asked for is found missing, as in any other.
        """
        return [each.name for path in self._potential_locations() for each in Path(path).iterdir()]


def _require_ca_bundle(session: Any) -> None:
    """Read the certificates that calls are checked against: without them not one can be sent."""
    path = session._session.get_config_variable("ca_bundle")  # noqa: SLF001  # aioboto3 hides it
    path = path or os.environ.get("REQUESTS_CA_BUNDLE")
    if not path:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = system_reason(error) if isinstance(error, OSError) else str(error)
        text = f"The CA bundle {quoted(path, LONGEST_PATH)} cannot be read: {why}"
        raise ServiceUnusable(sentences(text, CA_ADVICE)) from error


class _Role:
    """What the SDK asks for credentials, in place of its chain of files and variables."""

    def __init__(self, source: Any, role: str, connection: Connection) -> None:
        """Assume a role (its ARN) with the credentials of a session of the SDK."""
        self._source = source
        self._role = role
        self._client = partial(
            source.client,
            endpoint_url=connection.url if is_plain_loopback(connection.url) else None,
            config=sdk_config(connection, attempts=ROLE_ATTEMPTS, read_timeout=ROLE_TIMEOUT),
        )

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


async def credential_source(session: Any, connection: Connection) -> str:
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


def service_unusable(error: Exception, connection: Connection) -> ServiceUnusable:
    """Why no client can be opened, with what a person can do.

    Args:
        error: what the SDK raised on the way to credentials.
        connection: whose profile and role are named as far as the job names them.
    """
    profile, role = connection.profile, connection.role
    if isinstance(error, botocore.exceptions.ProfileNotFound) and profile is not None:
        return ServiceUnusable(sentences(f"There is no profile {quoted(profile)}", PROFILE_ADVICE))
    if not connection.names_credentials:
        return ServiceUnusable(f"AWS cannot be used: {error}")
    client_error = isinstance(error, botocore.exceptions.ClientError)
    why = refusal_of(error, "") if client_error else failure_of(error)
    by = f" with the profile {quoted(profile)}" if profile is not None else ""
    what = f"The profile {quoted(profile or '')} cannot be used"
    if role is not None:
        what = f"The role {role} cannot be assumed{by}"
    return ServiceUnusable(sentences(f"{what}: {why}", why.advice))


def sdk_config(
    connection: Connection, *, attempts: int = 1, read_timeout: float | None = None
) -> SdkConfig:
    """How the SDK's clients connect; `attempts` stays 1 wherever a call costs money."""
    ours: dict[str, Any] = {}
    # A bearer token of the environment does not sign for a profile or a role ...
    if connection.names_credentials:
        ours = {"signature_version": "v4"}
    if is_plain_loopback(connection.url):
        # ... and neither it nor a proxy is meant for this machine's own server.
        ours = {"proxies": {}, "signature_version": "v4"}
    return SdkConfig(
        http_session_cls=_http_session(connection, watched=attempts == 1),
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT if read_timeout is None else read_timeout,
        max_pool_connections=connection.calls_in_flight,
        tcp_keepalive=True,
        # Both: without `mode` a variable of the environment fills it in and brings retries back.
        retries={"total_max_attempts": attempts, "mode": "standard"},
        user_agent_extra="batchgen",
        **ours,
    )


def _http_session(connection: Connection, *, watched: bool = False) -> Callable[..., HttpSession]:
    return partial(HttpSession, plain_http=connection.allow_plain_http, watched=watched)


class SdkConfig(AioConfig):  # type: ignore[misc]  # aiobotocore ships no types
    """A configuration that keeps its HTTP session when another one is laid over it."""

    def merge(self, other_config: Any) -> AioConfig:
        """This configuration with what another one sets."""
        merged = super().merge(other_config)
        mine = isinstance(other_config, SdkConfig)
        merged.http_session_cls = (other_config if mine else self).http_session_cls
        return merged
