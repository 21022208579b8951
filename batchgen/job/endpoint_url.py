"""Which URLs stay on this machine: credentials go in clear to no other."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

PLAIN_HTTP = (
    "Credentials would go there unencrypted: use https://, or set `allow_plain_http: true` if "
    "everyone on the way may read and use them."
)
"""Of a URL that `is_plain_http` refuses."""


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine: `localhost`, or an address that is one by its spelling.

    `127.1` or a number, which some resolvers take for 127.0.0.1, is not.
    """
    host = (urlsplit(url).hostname or "").removesuffix(".")
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@lru_cache  # each call asks it of its address
def is_plain_http(url: str) -> bool:
    """Whether what is sent to a URL can be read on its way to another machine."""
    return urlsplit(url).scheme == "http" and not is_loopback(url)
