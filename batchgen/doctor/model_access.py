"""Before a run: may each model of the job be called in its Region?"""

from __future__ import annotations

from dataclasses import dataclass

from batchgen.bedrock import (
    LIFE_CYCLE_ADVICE,
    REGION_ADVICE,
    Access,
    Account,
    AccountError,
    AccountErrorReason,
)
from batchgen.doctor.findings import Check, Finding
from batchgen.errors import ExitCode
from batchgen.models import Kind, LifeCycle, Model, foundation_of
from batchgen.text import sentences

ASK_ADVICE = "Allow bedrock:GetFoundationModel and bedrock:GetFoundationModelAvailability in IAM"
PERMISSION_ADVICE = "Allow bedrock:InvokeModel on it in IAM and in your organisation's policies"
MARKETPLACE_ADVICE = (
    "Allow aws-marketplace:Subscribe and aws-marketplace:ViewSubscriptions in IAM for the first "
    "call, or have an administrator call the model once"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One answer about a model."""

    text: str
    advice: str = ""
    doubtful: bool = False
    """A person should know it."""
    final: bool = False
    """Calls of this model will fail."""


async def look_at_model(
    account: Account, region: str, model_id: str, known: Model | None
) -> Finding:
    """State of a model, and whether the account may call it in the job's Region."""
    check = Check("model", model_id)
    if foundation_of(model_id).kind is Kind.OTHER:
        text = "A custom or provisioned model: whether it can be called shows with the first call"
        return check.warning(sentences(text))
    parts = (
        await _life_cycle(account, model_id, known, region),
        await _access(account, model_id, region),
    )
    advice = dict.fromkeys(part.advice for part in parts)  # each only once
    text = sentences(*dict.fromkeys(part.text for part in parts), *advice)
    if any(part.final for part in parts):
        return check.failed(ExitCode.SERVICE, text)
    return check.warning(text) if any(part.doubtful for part in parts) else check.ok(text)


async def _life_cycle(account: Account, model_id: str, known: Model | None, region: str) -> Part:
    try:
        status = await account.life_cycle(model_id)
    except AccountError as error:
        if error.reason is not AccountErrorReason.UNKNOWN:
            return _not_known(error, "Its state")
        retired = known is not None and known.life_cycle is LifeCycle.RETIRED
        advice = LIFE_CYCLE_ADVICE if retired else error.advice or REGION_ADVICE
        return Part(f"Not served in {region}: {error}", advice, final=True)
    if status == "ACTIVE":
        return Part(f"Active in {region}")
    ends = None if known is None else known.end_of_life
    day = "" if ends is None else f", with its end on {ends}"
    return Part(f"{status.capitalize()} in {region}{day}", LIFE_CYCLE_ADVICE, doubtful=True)


async def _access(account: Account, model_id: str, region: str) -> Part:
    try:
        access = await account.access(model_id)
    except AccountError as error:
        return _not_known(error, "Whether the account may call it")
    return _granted(access, region)


def _granted(access: Access, region: str) -> Part:
    """What GetFoundationModelAvailability means; source: Bedrock User Guide, "Model access"."""
    if not access.in_region:
        return Part(f"The account cannot call it in {region}", REGION_ADVICE, final=True)
    if not access.authorized:
        return Part("The account is not authorised to call it", PERMISSION_ADVICE, final=True)
    if access.agreement == "ERROR":
        text = f"Its AWS Marketplace agreement failed: {access.message or 'no reason given'}"
        return Part(text, MARKETPLACE_ADVICE, final=True)
    return _agreed(access)


def _agreed(access: Access) -> Part:
    if access.agreement == "PENDING":
        return Part("Its AWS Marketplace agreement is being made: wait 15 minutes", doubtful=True)
    if access.agreement == "NOT_AVAILABLE":
        text = "It has no AWS Marketplace agreement yet: the first call makes one if it may"
        return Part(text, MARKETPLACE_ADVICE, doubtful=True)
    if not access.entitled:
        return Part("The account may have to ask AWS for access to it", doubtful=True)
    return Part("The account has access")


def _not_known(error: AccountError, what: str) -> Part:
    """An answer that is missing is no failure: the calls themselves need other permissions."""
    match error.reason:
        case AccountErrorReason.DENIED:
            return Part(f"{what} may not be asked", ASK_ADVICE, doubtful=True)
        case AccountErrorReason.NO_CREDENTIALS | AccountErrorReason.REFUSED:
            return Part("Not known, for no credentials are good", doubtful=True)
        case _:
            return Part(f"{what} is not known: {error}", error.advice, doubtful=True)
