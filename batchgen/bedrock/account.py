"""Read-only facts about an account: who calls, what may be called, how fast; asking costs nothing.

A plain loopback URL, a simulator, answers for all services; any other URL stands for Bedrock
Runtime alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchgen.bedrock.account_errors import AccountError, AccountErrorReason
from batchgen.bedrock.connection import Connection, Credentials
from batchgen.models import Foundation, Kind, foundation_of

if TYPE_CHECKING:
    from batchgen.bedrock.questions import Questions

PAGES = 100
"""Of a hundred quotas each: more than any service has."""


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


class Account:
    """Answers questions about an account; each raises `AccountError` if it has no answer."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which this machine's clock is ahead, by the last answer; None: not known."""
        return self._questions.clock_skew

    async def credentials(self) -> Credentials:
        """The credentials that the SDK finds; nothing is sent unless it has to fetch them."""
        return await self._questions.credentials()

    async def identity(self) -> Identity:
        """Who calls (STS GetCallerIdentity, which needs no permission)."""
        answer = await self._ask("sts", "get_caller_identity")
        return Identity(account=str(_part(answer, "Account")), arn=str(_part(answer, "Arn")))

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
        answer = await self._ask("bedrock", "get_foundation_model", modelIdentifier=name)
        details = _part(answer, "modelDetails")
        return str(details.get("modelLifecycle", {}).get("status", "ACTIVE"))

    async def access(self, model_id: str) -> Access:
        """Whether the account may call the foundation model behind an id."""
        name = await self._foundation(model_id)
        answer = await self._ask("bedrock", "get_foundation_model_availability", modelId=name)
        agreement = answer.get("agreementAvailability", {})
        return Access(
            authorized=_part(answer, "authorizationStatus") != "NOT_AUTHORIZED",
            in_region=answer.get("regionAvailability") != "NOT_AVAILABLE",
            entitled=answer.get("entitlementAvailability") != "NOT_AVAILABLE",
            agreement=str(agreement.get("status", "AVAILABLE")),
            message=str(agreement.get("errorMessage") or ""),
        )

    async def behind(self, model_id: str) -> Foundation:
        """What stands behind an id; a profile is looked up (GetInferenceProfile)."""
        spelled = foundation_of(model_id)
        if spelled.kind is not Kind.PROFILE:
            return spelled
        question = {"inferenceProfileIdentifier": model_id}
        try:
            answer = await self._ask("bedrock", "get_inference_profile", **question)
        except AccountError as error:
            if error.reason is AccountErrorReason.UNKNOWN or spelled.model_id is None:
                raise
            return spelled
        return spelled.routed_to(str(each.get("modelArn")) for each in answer.get("models", ()))

    async def quotas(self) -> Mapping[str, float]:
        """Name of a quota of Bedrock in this Region -> what the account has (ListServiceQuotas)."""
        if self._questions.has_api_key():
            # Other keys that there may be besides can belong to another account.
            text = "a Bedrock API key cannot ask Service Quotas"
            raise AccountError(AccountErrorReason.DENIED, text)
        found: dict[str, float] = {}
        question: dict[str, Any] = {"ServiceCode": "bedrock", "MaxResults": 100}
        for _ in range(PAGES):
            answer = await self._ask("service-quotas", "list_service_quotas", **question)
            for quota in _part(answer, "Quotas"):
                if isinstance(value := quota.get("Value"), int | float):
                    found[str(quota.get("QuotaName"))] = float(value)
            if not answer.get("NextToken"):
                break
            question["NextToken"] = answer["NextToken"]
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
            text = "what is behind this ARN cannot be looked up"
            raise AccountError(AccountErrorReason.DENIED, text)
        return name

    async def _ask(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        return await self._questions.ask(service, operation, **arguments)


@asynccontextmanager
async def open_account(connection: Connection) -> AsyncIterator[Account]:
    """An account to ask; its connections end with the block."""
    # The SDK takes a third of a second to import; only those who ask pay for it.
    from batchgen.bedrock.questions import Questions  # noqa: PLC0415  # needs the SDK

    async with AsyncExitStack() as stack:
        yield Account(Questions(connection, stack))


async def quotas_of(connection: Connection, model_ids: Iterable[str]) -> dict[str, float | None]:
    """Calls a minute that Service Quotas has for each model in this account and Region.

    Returns:
        None for a model whose quota is not known: the account may not ask, the service does not
        answer, or no quota has the model's name. 0 where the account may not call it at all.
    """
    asked = tuple(model_ids)
    async with open_account(connection) as account:
        try:
            return await account.quotas_of(asked)
        except AccountError:
            return dict.fromkeys(asked)


def _part(answer: Mapping[str, Any], name: str) -> Any:
    """What every answer of the service has, and one of somebody else perhaps not."""
    if name not in answer:
        raise AccountError(AccountErrorReason.UNREACHABLE, f"an answer came that has no {name}")
    return answer[name]
