"""Read-only facts about an account: who calls, what may be called, how fast; asking costs nothing.

A plain loopback URL, a simulator, answers for all services; any other URL stands for Bedrock
Runtime alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import botocore.credentials
import botocore.exceptions
import botocore.utils

from batchgen.bedrock.account_errors import (
    AccountError,
    AccountErrorReason,
    failed,
    lacking,
    refused,
)
from batchgen.bedrock.error_table import CREDENTIAL_ADVICE
from batchgen.bedrock.session import (
    FIXED_SOURCES,
    Connection,
    is_plain_loopback,
    quiet_sdk,
    sdk_config,
    sdk_session,
)
from batchgen.errors import AttemptError
from batchgen.models.model_ids import Foundation, Kind, foundation_of
from batchgen.record import utc_now

ATTEMPTS = 2
"""Requests that one question may become; none of them costs money."""
READ_TIMEOUT = 10.0
PATIENCE = 30.0
"""Seconds for one question in all."""
PAGES = 100
"""Of a hundred quotas each: more than any service has."""
LOCAL_FAILURES = (
    botocore.exceptions.BotoCoreError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    AttemptError,  # a role that cannot be assumed now
    ValueError,  # a URL that is none
)


class Account:
    """Answers questions about an account; each raises `AccountError` if it has no answer."""

    def __init__(self, connection: Connection, stack: AsyncExitStack) -> None:
        self._connection = connection
        self._stack = stack
        self._sdk: Any = None
        self._clients: dict[str, Any] = {}
        self.clock_skew: float | None = None
        """Seconds by which this machine's clock is ahead, by the last answer; None: not known."""

    async def credentials(self) -> Credentials:
        """The credentials that the SDK finds; nothing is sent unless it has to fetch them."""
        if self._has_api_key():
            return Credentials(source="AWS_BEARER_TOKEN_BEDROCK", api_key=True)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._session().get_credentials()
                # Only now a role is assumed, a file read, a token exchanged.
                keys = None if found is None else await found.get_frozen_credentials()
        except botocore.exceptions.ClientError as error:
            raise refused(error, "") from error
        except LOCAL_FAILURES as error:
            raise lacking(error) from error
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

    async def identity(self) -> Identity:
        """Who calls (STS GetCallerIdentity, which needs no permission)."""
        told = await self._ask("sts", "get_caller_identity")
        return Identity(account=str(_part(told, "Account")), arn=str(_part(told, "Arn")))

    async def reach(self) -> None:
        """Ask Bedrock Runtime itself, with the credentials of the calls, for what costs nothing.

        Returns if it answers at all: that this question is denied or not known is an answer, too.
        """
        try:
            await self._ask("bedrock-runtime", "list_async_invokes", maxResults=1)
        except AccountError as error:
            if error.reason not in (AccountErrorReason.DENIED, AccountErrorReason.UNKNOWN):
                raise

    async def life_cycle(self, model_id: str) -> str:
        """State of the foundation model behind an id: `ACTIVE` or `LEGACY` (GetFoundationModel)."""
        name = await self._foundation(model_id)
        told = await self._ask("bedrock", "get_foundation_model", modelIdentifier=name)
        details = _part(told, "modelDetails")
        return str(details.get("modelLifecycle", {}).get("status", "ACTIVE"))

    async def access(self, model_id: str) -> Access:
        """Whether the account may call the foundation model behind an id."""
        name = await self._foundation(model_id)
        told = await self._ask("bedrock", "get_foundation_model_availability", modelId=name)
        agreement = told.get("agreementAvailability", {})
        return Access(
            authorized=_part(told, "authorizationStatus") != "NOT_AUTHORIZED",
            in_region=told.get("regionAvailability") != "NOT_AVAILABLE",
            entitled=told.get("entitlementAvailability") != "NOT_AVAILABLE",
            agreement=str(agreement.get("status", "AVAILABLE")),
            message=str(agreement.get("errorMessage") or ""),
        )

    async def behind(self, model_id: str) -> Foundation:
        """What stands behind an id; a profile is looked up (GetInferenceProfile)."""
        spelled = foundation_of(model_id)
        if spelled.kind is not Kind.PROFILE:
            return spelled
        asked = {"inferenceProfileIdentifier": model_id}
        try:
            told = await self._ask("bedrock", "get_inference_profile", **asked)
        except AccountError as error:
            if error.reason is AccountErrorReason.UNKNOWN or spelled.model_id is None:
                raise
            return spelled
        return spelled.routed_to(str(each.get("modelArn")) for each in told.get("models", ()))

    async def quotas(self) -> Mapping[str, float]:
        """Name of a quota of Bedrock in this Region -> what the account has (ListServiceQuotas)."""
        if self._has_api_key():
            # Other keys that there may be besides can belong to another account.
            raise AccountError(
                AccountErrorReason.DENIED, "a Bedrock API key cannot ask Service Quotas"
            )
        found: dict[str, float] = {}
        asked: dict[str, Any] = {"ServiceCode": "bedrock", "MaxResults": 100}
        for _ in range(PAGES):
            told = await self._ask("service-quotas", "list_service_quotas", **asked)
            for quota in _part(told, "Quotas"):
                if "Value" in quota:
                    found[str(quota.get("QuotaName"))] = float(quota["Value"])
            if not told.get("NextToken"):
                break
            asked["NextToken"] = told["NextToken"]
        return found

    async def quotas_of(self, model_ids: Iterable[str]) -> dict[str, float | None]:
        """Calls a minute that the account has for each model; None where no quota is listed."""
        listed = await self.quotas()
        found: dict[str, float | None] = {}
        for model_id in model_ids:
            try:
                name = (await self.behind(model_id)).quota_name
            except AccountError:
                name = None
            found[model_id] = listed.get(name or "")
        return found

    async def _foundation(self, model_id: str) -> str:
        name = (await self.behind(model_id)).model_id
        if name is None:
            raise AccountError(
                AccountErrorReason.DENIED, "what is behind this ARN cannot be looked up"
            )
        return name

    def _has_api_key(self) -> bool:
        """Whether the environment has a key that the SDK prefers for all services of Bedrock."""
        if is_plain_loopback(self._connection.url) or self._connection.names_credentials:
            return False
        return botocore.utils.get_token_from_environment("bedrock") is not None

    def _session(self) -> Any:
        if self._sdk is None:
            self._sdk = sdk_session(self._connection)
        return self._sdk

    async def _client(self, service: str) -> Any:
        if service not in self._clients:
            url = self._connection.url
            here = service == "bedrock-runtime" or is_plain_loopback(url)
            config = sdk_config(self._connection, attempts=ATTEMPTS, read_timeout=READ_TIMEOUT)
            client = self._session().client(
                service, endpoint_url=url if here else None, config=config
            )
            self._clients[service] = await self._stack.enter_async_context(client)
        return self._clients[service]

    async def _ask(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(PATIENCE):
                client = await self._client(service)
                told: dict[str, Any] = await getattr(client, operation)(**arguments)
        except botocore.exceptions.ClientError as error:
            self._note_date(error.response.get("ResponseMetadata", {}))
            raise refused(error, operation) from error
        except LOCAL_FAILURES as error:
            raise failed(error) from error
        self._note_date(told.get("ResponseMetadata", {}))
        return told

    def _note_date(self, metadata: Mapping[str, Any]) -> None:
        try:
            date = parsedate_to_datetime(metadata["HTTPHeaders"]["date"])
            self.clock_skew = (utc_now() - date.astimezone(UTC)).total_seconds()
        except (KeyError, TypeError, ValueError):
            return  # whoever answered did not say


@asynccontextmanager
async def open_account(connection: Connection) -> AsyncIterator[Account]:
    """An account to ask; its connections end with the block."""
    quiet_sdk()
    async with AsyncExitStack() as stack:
        yield Account(connection, stack)


async def quotas_of(connection: Connection, model_ids: Iterable[str]) -> dict[str, float | None]:
    """Calls a minute that Service Quotas has for each model in this account and Region.

    Returns:
        None for a model where nobody can tell: the account may not ask, the service does not
        answer, or no quota has the model's name. 0 where the account may not call it at all.
    """
    asked = tuple(model_ids)
    async with open_account(connection) as account:
        try:
            return await account.quotas_of(asked)
        except AccountError:
            return dict.fromkeys(asked)


async def quota_of(connection: Connection, model_id: str) -> float | None:
    """As `quotas_of`, for one model."""
    return (await quotas_of(connection, (model_id,)))[model_id]


def _part(told: Mapping[str, Any], name: str) -> Any:
    """What every answer of the service has, and one of somebody else perhaps not."""
    if name not in told:
        raise AccountError(AccountErrorReason.UNREACHABLE, f"an answer came that has no {name}")
    return told[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signs the calls."""

    source: str
    """Where the SDK found them, in its own words: `env`, `shared-credentials-file`, `sso`."""
    api_key: bool = False
    """A Bedrock API key, which does not tell whose it is."""
    temporary: bool = False
    expires_at: datetime | None = None
    """None: never, or nobody knows."""
    renewable: bool = False
    """The SDK can read others by itself when these expire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose credentials they are."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Whether the account may call a model, in the words of GetFoundationModelAvailability."""

    authorized: bool
    in_region: bool
    entitled: bool
    agreement: str
    """Of the AWS Marketplace: `AVAILABLE`, `PENDING`, `NOT_AVAILABLE` or `ERROR`."""
    message: str
    """What the service says about the agreement; often nothing."""
