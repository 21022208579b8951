"""A raw HTTP server on loopback that counts POSTs and answers, or breaks, as a test says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request that was read to its end."""

    target: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


def response(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    lines = {"Content-Length": str(len(body)), "x-amzn-RequestId": "r-1", **(headers or {})}
    head = f"HTTP/1.1 {status} Reason\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    return head.encode() + b"\r\n" + body


def sends(data: bytes) -> Respond:
    """Answers with these bytes and keeps the connection."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return respond


def cuts(data: bytes = b"") -> Respond:
    """Sends these bytes and closes."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return respond


def resets(data: bytes = b"") -> Respond:
    """Sends these bytes and resets the connection (RST)."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return respond


def stalls(data: bytes = b"") -> Respond:
    """Sends these bytes and nothing more, and keeps the connection open."""

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await asyncio.Event().wait()

    return respond


@dataclass(slots=True)
class Loopback:
    """The server while it runs."""

    port: int = 0
    posts: list[Post] = field(default_factory=list)
    respond: Respond = field(default_factory=lambda: sends(response(200, b"{}")))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                self.posts.append(await _post(reader))
                await self.respond(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # the client went, or the test is over
        finally:
            writer.close()


async def _post(reader: asyncio.StreamReader) -> Post:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Post(target=first.split(" ")[1], headers=headers, body=body)


@asynccontextmanager
async def serving() -> AsyncIterator[Loopback]:
    """The server on a free port; everything it still does ends with the block."""
    loopback = Loopback()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await loopback.serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    loopback.port = server.sockets[0].getsockname()[1]
    try:
        yield loopback
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
