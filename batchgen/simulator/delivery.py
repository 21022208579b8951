"""Sending an answer over a connection, and everything that can go wrong while it is sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .calls import Answer
    from .clock import Clock

CHUNK = 256 * 1024
"""Bytes written at once: what a slow client can make the server hold for it."""
_LATE = 5.0
_CUT = 1000


class NotDelivered(ConnectionResetError):
    """The answer was not sent whole, on purpose."""


class Sender:
    """Sends answers; `closing` frees the connections that wait for nothing."""

    def __init__(self, clock: Clock, closing: asyncio.Event) -> None:
        self._clock = clock
        self._closing = closing

    async def deliver(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """Send an answer whole.

        Raises:
            ConnectionError: the client went away, or a fault is that it does not arrive whole.
        """
        fault = answer.delivery
        if fault is None:
            return await self._send(request, answer)
        usual = _LATE if fault.action == "late" else 0
        await self._clock.sleep(usual if fault.seconds is None else fault.seconds)
        match fault.action:
            case "late":
                return await self._send(request, answer)
            case "no-answer":
                await self._closing.wait()
            case "reset":
                _linger_not(request)
            case "cut-body" | "stall-body":
                sent = _CUT if fault.bytes is None else fault.bytes
                await self._begin(request, answer, _first(answer.parts, sent))
                if fault.action == "stall-body":
                    await self._closing.wait()
        if request.transport is not None:
            request.transport.close()
        raise NotDelivered(fault.action)

    def date(self, answer: Answer) -> str:
        """The `Date` header of an answer."""
        return formatdate(self._clock.wall() + answer.ahead, usegmt=True)

    async def _send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = await self._begin(request, answer, answer.parts)
        await response.write_eof()
        return response

    async def _begin(
        self, request: web.Request, answer: Answer, parts: Iterable[bytes]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.headers["Date"] = self.date(answer)
        response.content_length = answer.length
        await response.prepare(request)
        for part in parts:
            for start in range(0, len(part), CHUNK):
                await response.write(memoryview(part)[start : start + CHUNK])
        return response


def _first(parts: Iterable[bytes], most: int) -> Iterator[bytes]:
    for part in parts:
        if most <= 0:
            return
        yield part[:most]
        most -= len(part)


def _linger_not(request: web.Request) -> None:
    """Make closing send a reset: nothing unsent is kept for the client."""
    connection = request.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
