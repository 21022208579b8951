"""A server that answers every POST at once with the same body; it costs as little as can be.

Started as a process of its own, so that its CPU is not counted:
`python -m benchmarks.throughput.answers --image-bytes N --gather N`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import sys

from PIL import Image


def png(size: int) -> bytes:
    """A valid PNG of about this many bytes: noise does not compress."""
    side = max(1, round((size / 3) ** 0.5))
    image = Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0 if size > 1000 else 9)
    return file.getvalue()


def reply(image: bytes) -> bytes:
    """A whole HTTP response as Stable Image Core gives it."""
    fields = {
        "seeds": [7],
        "finish_reasons": [None],
        "images": [base64.b64encode(image).decode()],
    }
    body = json.dumps(fields).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nx-amzn-RequestId: benchmark\r\n\r\n"
    )
    return head.encode() + body


class Answering(asyncio.Protocol):
    """Reads requests by their Content-Length and answers each at once, or all when enough wait."""

    gather = 0
    waiting: list[Answering]
    most = 0

    def __init__(self, response: bytes) -> None:
        self.response = response
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when a request is whole."""
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._answer()

    def _answer(self) -> None:
        kind = type(self)
        kind.waiting.append(self)
        kind.most = max(kind.most, len(kind.waiting))
        if len(kind.waiting) >= kind.gather:
            ready, kind.waiting = kind.waiting, []
            kind.gather = 0
            for each in ready:
                each.transport.write(each.response)


async def serve(image_bytes: int, gather: int) -> None:
    Answering.gather, Answering.waiting = gather, []
    response = reply(png(image_bytes))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(response), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # ends with its parent
    print(Answering.most, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-bytes", type=int, default=1_500_000)
    parser.add_argument("--gather", type=int, default=0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.image_bytes, arguments.gather))
