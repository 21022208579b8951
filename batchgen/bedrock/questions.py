"""One free question to a service of AWS through the SDK; what fails leaves as `AccountError`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import botocore.credentials
import botocore.exceptions
import botocore.parsers
import botocore.utils

from batchgen.bedrock.account_errors import (
    AccountError,
    AccountErrorReason,
    failure_of,
    no_credentials,
    refusal_of,
)
from batchgen.bedrock.connection import Connection, Credentials, is_http, is_plain_loopback
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE, clock_skew
from batchgen.bedrock.sdk_errors import only_tls, without_tls
from batchgen.bedrock.session import (
    FIXED_SOURCES,
    quiet_sdk,
    read_data,
    sdk_config,
    sdk_session,
)
from batchgen.bedrock.wire import PortProbe
from batchgen.errors import AttemptError, ServiceUnusable
from batchgen.output import in_thread

ATTEMPTS = 2
"""Requests that one question may become; none of them costs money."""
READ_TIMEOUT = 10.0
PATIENCE = 30.0
"""Seconds for one question in all."""
LOCAL_FAILURES = (
    botocore.exceptions.BotoCoreError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    AttemptError,  # a role that cannot be assumed now
    ServiceUnusable,  # a CA bundle that cannot be read
    ValueError,  # a URL that is none
    botocore.parsers.ResponseParserError,  # an answer of somebody else
)
NO_ANSWER = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)
"""What the network raises where no answer in HTTP came."""


class Questions:
    """The clients that ask for one connection, opened when they are first needed."""

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        quiet_sdk()
        self._connection = connection
        self._stack = stack
        self._opening = asyncio.Lock()
        self._opened: Any = None
        self._clients: dict[str, Any] = {}
        self._port = PortProbe(connection.url)
        self.clock_skew: float | None = None
        """Seconds by which this machine's clock is ahead, by the last answer; None: not known."""

    async def ask(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer of a service, as the SDK parses it.

        Raises:
            AccountError: no answer, or a refusal.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                client = await self._client(service)
                answer: dict[str, Any] = await getattr(client, operation)(**arguments)
        except botocore.exceptions.ClientError as error:
            self._note_date(error.response.get("ResponseMetadata", {}))
            raise refusal_of(error, operation) from error
        except LOCAL_FAILURES as error:
            raise failure_of(await self._explained(error)) from error
        self._note_date(answer.get("ResponseMetadata", {}))
        return answer

    async def credentials(self) -> Credentials:
        """The credentials that the SDK finds; nothing is sent unless it has to fetch them.

        Raises:
            AccountError: there are none, or they cannot be fetched.
        """
        if self.has_api_key():
            return Credentials(source="AWS_BEARER_TOKEN_BEDROCK", api_key=True)
        try:
            async with asyncio.timeout(PATIENCE):
                async with self._opening:
                    session = await self._session()
                found = await session.get_credentials()
                # Only now a role is assumed, a file read, a token exchanged.
                keys = None if found is None else await found.get_frozen_credentials()
        except botocore.exceptions.ClientError as error:
            raise refusal_of(error, "") from error
        except LOCAL_FAILURES as error:
            raise no_credentials(error) from error
        if found is None or keys is None:
            text = "No AWS credentials were found."
            raise AccountError(AccountErrorReason.NO_CREDENTIALS, text, CREDENTIAL_ADVICE)
        renewable = isinstance(found, botocore.credentials.RefreshableCredentials)
        return Credentials(
            source=str(found.method),
            temporary=keys.token is not None,
            expires_at=getattr(found, "_expiry_time", None),  # the SDK has no public name for it
            renewable=renewable and found.method not in FIXED_SOURCES,
        )

    async def _explained(self, error: Exception) -> Exception:
        """The error, or what is wrong with the endpoint's port."""
        if isinstance(error, NO_ANSWER) and (url := await self._port.tls_port()) is not None:
            return only_tls(url)
        return without_tls(error) or error

    def has_api_key(self) -> bool:
        """Whether the environment has a key that the SDK prefers for all services of Bedrock."""
        if is_plain_loopback(self._connection.url) or self._connection.names_credentials:
            return False
        return botocore.utils.get_token_from_environment("bedrock") is not None

    async def _session(self) -> Any:
        if self._opened is None:
            self._opened = await in_thread(sdk_session, self._connection)
        return self._opened

    async def _client(self, service: str) -> Any:
        async with self._opening:
            if service not in self._clients:
                self._clients[service] = await self._open(service)
        return self._clients[service]

    async def _open(self, service: str) -> Any:
        session = await self._session()
        await in_thread(read_data, session, service)
        url = self._connection.url
        here = service == "bedrock-runtime" or is_plain_loopback(url)
        client = session.client(
            service,
            endpoint_url=url if here else None,
            verify=False if here and is_http(url) else None,  # no certificate is looked at
            config=sdk_config(self._connection, attempts=ATTEMPTS, read_timeout=READ_TIMEOUT),
        )
        return await self._stack.enter_async_context(client)

    def _note_date(self, metadata: Mapping[str, Any]) -> None:
        skew = clock_skew(metadata.get("HTTPHeaders", {}))
        if skew is not None:
            self.clock_skew = skew
