"""`python -m benchmarks.throughput [cpu|calls|memory]`: the figures of a run, as ratios."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pybase64
from pydantic_core import from_json

import batchgen

IMAGE_BYTES = 1_500_000
WARM, MEASURED = 60, 400
"""Images before and within the measurement; what happens once does not count."""


@dataclass(slots=True)
class Server:
    """The answering process."""

    port: int
    process: subprocess.Popen[str]
    most_waiting: int = 0


@contextmanager
def answering(image_bytes: int, gather: int = 0) -> Iterator[Server]:
    """The server, for the length of the block."""
    command = [sys.executable, "-m", "benchmarks.throughput.answers"]
    command += [f"--image-bytes={image_bytes}", f"--gather={gather}"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    server = Server(int(process.stdout.readline()), process)
    try:
        yield server
    finally:
        process.stdin.close()
        server.most_waiting = int(process.stdout.readline() or 0)
        process.wait(20)
        process.stdout.close()


def cpu() -> float:
    """CPU seconds of this process so far, user and system, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """Most resident memory of this process; getrusage would count the parent's before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# The same work with nothing around it: a socket, a parser, a decoder, a hash, a durable file.


def bare_image(connection: socket.socket, folder: Path, number: int) -> None:
    body = b'{"prompt": "a benchmark", "seed": 7, "output_format": "png"}'
    head = f"POST /model/x/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    fields = from_json(read_reply(connection))
    data = pybase64.b64decode(fields["images"][0], validate=True)
    hashlib.sha256(data).hexdigest()
    write_durably(folder, f"{number}.png", data)


def read_reply(connection: socket.socket) -> memoryview:
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
    part = folder / f".{name}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(descriptor, data)
    os.fsync(descriptor)
    os.close(descriptor)
    part.rename(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def bare(port: int, folder: Path) -> float:
    """CPU milliseconds of one image without batchgen."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for number in range(WARM):
            bare_image(connection, folder, number)
        before = cpu()
        for number in range(WARM, WARM + MEASURED):
            bare_image(connection, folder, number)
    return (cpu() - before) / MEASURED * 1000


def job(port: int, folder: Path, tasks: int, concurrency: int) -> batchgen.Job:
    """So many equal tasks."""
    return batchgen.Job(
        name="benchmark",
        endpoint=f"http://127.0.0.1:{port}",
        model="stability.stable-image-core-v1:1",
        output=str(folder),
        prompt="a benchmark",
        items=[batchgen.Item(id="x", variants=tasks)],
        limits={"concurrency": concurrency, "requests_per_minute": 1_000_000.0},
    )


def batch(port: int, folder: Path) -> float:
    """CPU milliseconds of one image with batchgen."""
    marks: list[float] = []

    def note(record: batchgen.Record) -> None:
        if record.status is not batchgen.Status.SUCCEEDED:
            raise SystemExit(record)
        marks.append(cpu())

    asyncio.run(batchgen.run(job(port, folder, WARM + MEASURED, 16), on_record=note))
    return (marks[-1] - marks[WARM]) / (len(marks) - WARM - 1) * 1000


def measure_cpu() -> None:
    with answering(IMAGE_BYTES) as server, tempfile.TemporaryDirectory() as folder:
        rounds = []
        for number in range(3):
            base = Path(folder) / f"bare{number}"
            base.mkdir()
            rounds.append((bare(server.port, base), batch(server.port, Path(folder, f"b{number}"))))
            print("  bare {:.2f} ms, batchgen {:.2f} ms".format(*rounds[-1]))
    ratio = sorted(with_it / without for without, with_it in rounds)[1]
    print(f"CPU for an image: {ratio:.2f} times that of the bare work (median of 3 rounds)")


def measure_calls(calls: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with answering(IMAGE_BYTES, gather=calls) as server:
            made = job(server.port, Path(folder), calls, calls)
            summary = asyncio.run(batchgen.run(made))
        print(f"{server.most_waiting} calls in flight at once, {summary.succeeded} images")


def measure_memory(few: int = 1_000, many: int = 100_000) -> None:
    peaks = {}
    for tasks in (few, many):
        command = [sys.executable, "-m", "benchmarks.throughput", "memory-of", str(tasks)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[tasks] = json.loads(done.stdout)
        print("  {:,} tasks: peak {peak:.1f} MB, {seconds:.0f} s".format(tasks, **peaks[tasks]))
    ratio = peaks[many]["peak"] / peaks[few]["peak"]
    print(f"memory from {few:,} to {many:,} tasks: {ratio:.2f} times")


def memory_of(tasks: int) -> None:
    started = time.monotonic()
    with answering(100) as server, tempfile.TemporaryDirectory() as folder:
        summary = asyncio.run(batchgen.run(job(server.port, Path(folder), tasks, 16)))
        if summary.succeeded != tasks:
            raise SystemExit(f"{summary}")
    print(json.dumps({"peak": peak_mb(), "seconds": time.monotonic() - started}))


def main(arguments: list[str]) -> None:
    match arguments:
        case ["memory-of", tasks]:
            memory_of(int(tasks))
        case ["cpu"]:
            measure_cpu()
        case ["calls"]:
            measure_calls()
        case ["memory"]:
            measure_memory()
        case []:
            measure_cpu()
            measure_calls()
            measure_memory()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
