"""`python -m benchmarks.burst [--calls N] [--image-bytes N] [--tls CERTIFICATE KEY]`.

Many calls that are answered at once; with TLS by the files of a certificate for localhost.

Prints the most memory of the whole process, and the longest stop of its event loop until the first
image and from then on: in seconds that passed, and in CPU of the loop itself, which no neighbour on
the machine makes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import batchgen

BEAT_S = 0.001
KEYS = {"AWS_ACCESS_KEY_ID": "AKIABENCHMARK", "AWS_SECRET_ACCESS_KEY": "benchmark"}
"""Nobody's: what is called with TLS is signed by keys of the environment."""


class Stop(NamedTuple):
    """A time in which the loop did nothing of what was due."""

    ended_at: float
    seconds: float
    cpu_s: float
    """Of the loop's thread."""


@dataclass(slots=True)
class Pulse:
    """How long the loop did nothing of what was due."""

    stops: list[Stop] = field(default_factory=list)

    async def watch(self) -> None:
        """Beat, and note each beat that came late."""
        last, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(BEAT_S)
            now, used = time.perf_counter(), time.thread_time()
            self.stops.append(Stop(now, now - last - BEAT_S, used - cpu))
            last, cpu = now, used

    def longest(self, after: float, before: float) -> str:
        """The longest stop between two instants."""
        within = [stop for stop in self.stops if after < stop.ended_at <= before]
        seconds = max((stop.seconds for stop in within), default=0.0)
        cpu = max((stop.cpu_s for stop in within), default=0.0)
        return f"{seconds * 1000:.0f} ms ({cpu * 1000:.0f} ms of CPU)"


@contextmanager
def answering(image_bytes: int, calls: int, tls: Sequence[str]) -> Iterator[str]:
    """The URL of a server that answers all calls at once when so many wait."""
    command = [sys.executable, "-m", "benchmarks.throughput.answers"]
    command += [f"--image-bytes={image_bytes}", f"--gather={calls}"]
    command += ["--tls", *tls] if tls else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
        server.stdin.close()
        server.stdout.read()


def job(url: str, folder: Path, calls: int) -> batchgen.Job:
    """So many equal tasks, all of them in flight together."""
    return batchgen.Job(
        name="burst",
        endpoint=url,
        model="stability.stable-image-core-v1:1",
        output=str(folder),
        prompt="a benchmark",
        items=[batchgen.Item(id="x", variants=calls)],
        limits={"concurrency": calls, "requests_per_minute": 1_000_000.0},
    )


async def burst(url: str, folder: Path, calls: int) -> str:
    """One run, watched."""
    pulse, ends = Pulse(), []
    watching = asyncio.create_task(pulse.watch())
    await asyncio.sleep(0)
    began = time.perf_counter()
    summary = await batchgen.run(
        job(url, folder, calls), on_record=lambda _: ends.append(time.perf_counter())
    )
    over = time.perf_counter()
    watching.cancel()
    if summary.succeeded != calls:
        raise SystemExit(f"{summary}")
    return (
        f"{calls} calls in {over - began:.1f} s: peak {peak_mb():.0f} MB; longest stop of the loop "
        f"{pulse.longest(began, ends[0])} until the first image, "
        f"{pulse.longest(ends[0], over)} after it"
    )


def peak_mb() -> float:
    """Most resident memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--image-bytes", type=int, default=1_500_000)
    parser.add_argument("--tls", nargs=2, default=())
    given = parser.parse_args()
    if given.tls:
        os.environ |= {**KEYS, "AWS_CA_BUNDLE": given.tls[0]}
    _ = batchgen.run  # imports what a run needs, which is the caller's to do, before the loop runs
    with (
        tempfile.TemporaryDirectory() as folder,
        answering(given.image_bytes, given.calls, given.tls) as url,
    ):
        print(asyncio.run(burst(url, Path(folder), given.calls)))


if __name__ == "__main__":
    main()
