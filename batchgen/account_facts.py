"""What can be known of an account, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
