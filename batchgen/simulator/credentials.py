"""Who calls: the key id, account and Region of a request's `Authorization`, and whether it is good.

The signature itself is not checked: the simulator knows no secret keys.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .clock import Clock
    from .options import Options

_SCOPE = re.compile(
    r"Credential=(?P<key>[^,\s]+?)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)/aws4_request"
)
TOLERANCE = 300.0
"""Seconds that a signature may be older or newer than the service's clock."""
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose request it is."""

    key_id: str
    """Access key id, or `bearer-` and eight digits of the token's hash."""
    account: str
    """Twelve digits."""
    region: str


class Credentials:
    """Which credentials are good, and whose they are."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._accounts = dict(options.account)
        self._expire = dict(options.expire)
        self._used: Counter[str] = Counter()

    def admit(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request.

        Raises:
            Refused: no credentials, unknown or expired ones, or a signature of another time.
        """
        authorization = headers.get("Authorization", "").strip()
        if not authorization:
            raise Refused("MissingAuthenticationTokenException")
        caller = self._read(authorization)
        if not caller.key_id.startswith("bearer-"):
            self._check_date(headers.get("X-Amz-Date", ""))
        token = headers.get("X-Amz-Security-Token") or _secret(authorization) or caller.key_id
        self._check_use(caller.key_id, token)
        return caller

    def enrol(self, key_id: str, account: str) -> None:
        """Make a key id one of an account's."""
        self._accounts[key_id] = account

    def now(self) -> float:
        """Seconds since the epoch by the simulator's clock, which may be wrong on purpose."""
        return self._clock.wall() + self._options.clock_skew

    def _read(self, authorization: str) -> Caller:
        scope = _SCOPE.search(authorization)
        if scope:
            key_id, region = scope["key"], scope["region"]
        else:
            token = _digest(_secret(authorization) or authorization)
            key_id, region = f"bearer-{token[:8]}", self._options.region
        account = self._accounts.get(key_id) or account_of(key_id)
        return Caller(key_id=key_id, account=account, region=region)

    def _check_use(self, key_id: str, token: str) -> None:
        if {key_id, token} & set(self._options.reject):
            raise Refused("UnrecognizedClientException")
        self._used[token] += 1
        limits = [self._expire[name] for name in (token, key_id, "*") if name in self._expire]
        if limits and self._used[token] > limits[0]:
            raise Refused("ExpiredTokenException")

    def _check_date(self, stamp: str) -> None:
        if self._options.ignore_dates or not stamp:
            return
        try:
            signed = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            raise Refused("IncompleteSignatureException") from None
        now = self.now()
        if abs(signed.timestamp() - now) > TOLERANCE:
            raise Refused("InvalidSignatureException", _out_of_date(signed.timestamp(), now))


def signing_name(headers: Mapping[str, str]) -> str:
    """The service that a request is signed for: `bedrock` where nothing says another."""
    scope = _SCOPE.search(headers.get("Authorization", ""))
    return scope["service"] if scope else "bedrock"


def account_of(key_id: str) -> str:
    """The account of a key id that no option gives one: twelve digits made from the id."""
    return f"{int(_digest(key_id), 16) % 10**12:012}"


def _digest(text: str) -> str:
    # A header may hold bytes that are no text; they come as lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _secret(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _out_of_date(signed: float, now: float) -> str:
    if signed < now:
        return (
            f"Signature expired: {_stamp(signed)} is now earlier than {_stamp(now - TOLERANCE)} "
            f"({_stamp(now)} - 5 min.)"
        )
    return (
        f"Signature not yet current: {_stamp(signed)} is still later than "
        f"{_stamp(now + TOLERANCE)} ({_stamp(now)} + 5 min.)"
    )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_STAMP)
