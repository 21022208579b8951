"""Where the calls of a run go, and what signs them: plain values, read without the AWS SDK."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from batchgen.job import Job, Route

SIMULATORS = ("127.0.0.1", "::1", "localhost")
"""Hosts that get made-up keys on a plain connection."""
SPARE_CONNECTIONS = 8
"""Connections beyond the calls in flight, so that none waits for one that is just closing."""


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
    allow_plain_http: bool = False
    """Whether credentials may go unencrypted to another machine."""

    @classmethod
    def of(cls, job: Job, route: Route, url: str | None, calls_in_flight: int) -> Connection:
        """Where the calls of a route of a job go."""
        return cls(
            region=route.region or "",
            url=url,
            calls_in_flight=calls_in_flight + SPARE_CONNECTIONS,
            profile=route.profile,
            role=route.role,
            allow_plain_http=job.allow_plain_http,
        )

    @property
    def names_credentials(self) -> bool:
        """Whether it says who calls: no key of the environment signs in place of that."""
        return self.profile is not None or self.role is not None


def is_http(url: str | None) -> bool:
    """Whether the endpoint is called without TLS."""
    return url is not None and url.lower().startswith("http://")


def is_plain_loopback(url: str | None) -> bool:
    """Whether the endpoint is plain HTTP where a simulator is: it is sent no real credentials.

    Other addresses of this machine, as 127.0.0.2, may be tunnels or proxies that need them.
    """
    return url is not None and is_http(url) and urlsplit(url).hostname in SIMULATORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What signs the calls."""

    source: str
    """Where the SDK found them, in its own words: `env`, `shared-credentials-file`, `sso`."""
    api_key: bool = False
    """A Bedrock API key, which does not tell whose it is."""
    temporary: bool = False
    expires_at: datetime | None = None
    """None: never, or not known."""
    renewable: bool = False
    """The SDK can read others by itself when these expire."""
