"""Before a run: whose credentials are they, does the service answer, is the clock right?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from batchgen.bedrock import (
    CLOCK_ADVICE,
    Account,
    AccountError,
    AccountErrorReason,
    Credentials,
    Identity,
)
from batchgen.doctor.findings import Check, Finding
from batchgen.errors import ExitCode
from batchgen.job import is_plain_http
from batchgen.text import duration, sentences

CREDENTIALS = Check("credentials")
SERVICE = Check("service")
CLOCK = Check("clock")

SKEW_FAILED = 240.0
"""Seconds by which the clock may be wrong; the service refuses signatures at 300."""
SKEW_NOTICED = 30.0
MADE_UP = "explicit"
"""The SDK's word for keys that a program gave it: ours, for a simulator."""


async def look_at_credentials(account: Account, now: datetime) -> Finding:
    """Which credentials there are, and whose."""
    try:
        found = await account.credentials()
        identity = None if found.api_key else await account.identity()
    except AccountError as error:
        return _refused(error, account.clock_skew)
    if identity is None:
        text = f"A Bedrock API key of {found.source}: it does not tell whose it is, or how long"
        return CREDENTIALS.ok(sentences(text, "It is good if the service takes it"))
    text = _whose(found, identity)
    values = {"account": identity.account, "arn": identity.arn, "source": found.source}
    return _lasting(found, text, values, now)


def _whose(found: Credentials, identity: Identity) -> str:
    source = "made up for a simulator" if found.source == MADE_UP else f"from {found.source}"
    return f"{identity.arn} of account {identity.account}, {source}"


def _lasting(found: Credentials, text: str, values: Mapping[str, object], now: datetime) -> Finding:
    """How long the credentials last, and who brings others then."""
    if not found.temporary:
        return CREDENTIALS.ok(sentences(text), **values)
    if found.expires_at is None:
        until = "They are temporary, and it is not known until when"
        return CREDENTIALS.warning(sentences(text, until, _KEEP), **values, expires_at=None)
    left = duration((found.expires_at - now).total_seconds())
    until = f"They expire at {found.expires_at:%Y-%m-%d %H:%M %Z}, in {left}"
    values = {**values, "expires_at": found.expires_at.isoformat()}
    if found.renewable:
        return CREDENTIALS.ok(sentences(text, f"{until}, and the SDK renews them"), **values)
    return CREDENTIALS.warning(sentences(text, until, _KEEP), **values)


_KEEP = "For a long run use a profile or a role, which the SDK renews by itself"


def _refused(error: AccountError, skew: float | None) -> Finding:
    if error.reason not in (AccountErrorReason.NO_CREDENTIALS, AccountErrorReason.REFUSED):
        # The run does not need to know whose they are.
        text = f"STS could not be asked whose the credentials are: {error}"
        return CREDENTIALS.warning(sentences(text, error.advice))
    return CREDENTIALS.failed(ExitCode.SERVICE, sentences(str(error), _advice(error, skew)))


def _advice(error: AccountError, skew: float | None) -> str:
    """A wrong clock makes every signature wrong, and then nothing else need be looked for."""
    wrong_clock = skew is not None and abs(skew) > SKEW_FAILED
    return CLOCK_ADVICE if wrong_clock else error.advice


async def look_at_service(account: Account, endpoint: str, region: str) -> Finding:
    """Whether Bedrock Runtime answers where the calls will go, and takes the credentials.

    Args:
        endpoint: as the job has it.
    """
    named = endpoint in ("aws", "simulator")
    where = f"in {region}" if named else f"at {urlsplit(endpoint).netloc}"
    try:
        await account.reach()
    except AccountError as error:
        if error.reason is AccountErrorReason.NO_CREDENTIALS:
            return SERVICE.warning(sentences("Not asked, for there are no credentials"))
        if error.reason is AccountErrorReason.ODD:
            text = f"What answers {where} is not Bedrock Runtime as it is known: {error}"
            return SERVICE.warning(sentences(text, error.advice))
        refused = error.reason is AccountErrorReason.REFUSED
        what = "refuses the credentials" if refused else "does not answer"
        text = f"Bedrock Runtime {where} {what}: {error}"
        advice = _advice(error, account.clock_skew)
        return SERVICE.failed(ExitCode.SERVICE, sentences(text, advice))
    text = f"Bedrock Runtime {where} answers"
    if is_plain_http(endpoint):
        clear = "Credentials and prompts go there unencrypted, as `allow_plain_http: true` allows"
        return SERVICE.warning(sentences(text, clear))
    return SERVICE.ok(sentences(text))


def look_at_clock(skew: float | None) -> Finding:
    """Whether this machine's clock is near that of the service.

    Args:
        skew: seconds by which this machine is ahead; None if no answer came.
    """
    if skew is None:
        return CLOCK.warning(sentences("Not known: no service gave its time"))
    off = f"{duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the service's"
    text = f"This machine's clock is {off}"
    values = {"seconds_ahead": round(skew)}
    if abs(skew) > SKEW_FAILED:
        return CLOCK.failed(ExitCode.SERVICE, sentences(text, CLOCK_ADVICE), **values)
    if abs(skew) > SKEW_NOTICED:
        return CLOCK.warning(sentences(text, CLOCK_ADVICE), **values)
    return CLOCK.ok(sentences("This machine's clock is right to half a minute"), **values)
