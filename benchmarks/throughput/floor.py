"""The same work with nothing around it: a socket, a parser, a decoder, a hash, a durable file."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pybase64
from pydantic_core import from_json

from benchmarks.throughput.meter import Load, Meter

BODY = b'{"prompt": "a benchmark", "seed": 7, "output_format": "png"}'
HEAD = f"POST /model/x/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
NO_FAULTS = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 26),
}
"""Environment in which glibc gives no memory back. By itself it maps each large block anew and lets
it go, until it has learned better from a few; the bare work's few patterns teach it that by luck
alone, and 960 page faults an image are a third of its time."""


def make(load: Load, meter: Meter) -> None:
    with socket.create_connection(("127.0.0.1", load.port)) as connection:
        for number in range(load.total):
            _make_one(connection, load.folder, number)
            meter.made()


def _make_one(connection: socket.socket, folder: Path, number: int) -> None:
    connection.sendall(HEAD + BODY)
    fields = from_json(_read_reply(connection))
    data = pybase64.b64decode(fields["images"][0], validate=True)
    hashlib.sha256(data).hexdigest()
    write_durably(folder, f"{number}.png", data)


def _read_reply(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 16)
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 16)
    head, _, rest = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = bytearray(length)
    body[: len(rest)] = rest
    view, filled = memoryview(body), len(rest)
    while filled < length:
        filled += connection.recv_into(view[filled:])
    return bytes(body)


def write_durably(folder: Path, name: str, data: bytes) -> None:
    """A file that is whole under its name whatever happens, as a careful script writes it."""
    part = folder / f".{name}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    part.rename(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
