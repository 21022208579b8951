"""A server that answers every POST at once with the same body; it costs as little as can be.

Started as a process of its own, so that its CPU is not counted:
`python -m benchmarks.throughput.answers --image-bytes N [--gather N [--after N]]
[--tls CERTIFICATE KEY]`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import ssl
import sys

from PIL import Image

PIECE = 1 << 18


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

    after = 0
    """Requests that are answered at once, before the gathering."""
    gather = 0
    waiting: list[Answering]
    most = 0

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._buffer = b""
        self._rest = memoryview(b"")
        self._is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

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

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._is_full = True

    def resume_writing(self) -> None:
        """The client has read some."""
        self._is_full = False
        self._write()

    def _answer(self) -> None:
        kind = type(self)
        kind.waiting.append(self)
        kind.most = max(kind.most, len(kind.waiting))
        if kind.after > 0:
            kind.after -= 1
        elif len(kind.waiting) < kind.gather:
            return
        else:
            kind.gather = 0
        ready, kind.waiting = kind.waiting, []
        for each in ready:
            each.send()

    def send(self) -> None:
        """Send the answer, as fast as it is read."""
        self._rest = memoryview(self._response)
        self._write()

    def _write(self) -> None:
        # In pieces: a thousand whole answers in the buffers of transports are gigabytes.
        while self._rest and not self._is_full:
            self._transport.write(self._rest[:PIECE])
            self._rest = self._rest[PIECE:]


async def serve(arguments: argparse.Namespace) -> None:
    Answering.gather, Answering.waiting = arguments.gather, []
    Answering.after = arguments.after
    response = reply(png(arguments.image_bytes))
    loop = asyncio.get_running_loop()
    tls = None
    if arguments.tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*arguments.tls)
    server = await loop.create_server(
        lambda: Answering(response), "127.0.0.1", 0, backlog=4096, ssl=tls
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # ends with its parent
    print(Answering.most, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-bytes", type=int, default=1_500_000)
    parser.add_argument("--gather", type=int, default=0)
    parser.add_argument("--after", type=int, default=0)
    parser.add_argument("--tls", nargs=2, help="files of a certificate and its key")
    asyncio.run(serve(parser.parse_args()))
