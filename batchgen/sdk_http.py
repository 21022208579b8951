"""How the SDK speaks HTTP for us: connections that are kept alive, and one request for one call."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession


class HttpSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
    """aiobotocore's session with TCP keep-alive, and with one request for one call.

    aiobotocore 2.25 takes the first and ignores it; idle connections die after 350 s behind a NAT
    or a VPC endpoint (Bedrock User Guide). And it follows redirects, which Bedrock never sends: a
    proxy that does would get a second, signed POST, or have its login page taken for a reply.
    """

    def __init__(self, connector_args: dict[str, Any] | None = None, **arguments: Any) -> None:
        with_factory = {**(connector_args or {}), "socket_factory": _keep_alive_socket}
        super().__init__(connector_args=with_factory, **arguments)

    async def _get_session(self, proxy_url: str | None) -> _Direct:
        return _Direct(await super()._get_session(proxy_url))


class _Direct:
    """An aiohttp session that follows no redirect."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, method: str, **arguments: Any) -> aiohttp.ClientResponse:
        return await self._session.request(method, allow_redirects=False, **arguments)


def _keep_alive_socket(address: Sequence[Any]) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return made
