"""What an image costs, as times the bare work: CPU, wall, memory, and stops of the loop.

Each way runs in a process of its own, into a new folder, in turn with the others, against a server
that answers at once. Without arguments: batchgen and boto3 at 5 KB and 1.5 MB, in two minutes.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.throughput.floor import NO_FAULTS
from benchmarks.throughput.ways import WAYS, missing

SIZES = {"5KB": 5_000, "1.5MB": 1_500_000, "8MB": 8_000_000}
COUNTS = {"5KB": 600, "1.5MB": 200, "8MB": 60}
"""Images that are measured with few calls in flight; with many, as many as there are calls."""
WARM = 60
MANY = 100
"""Calls in flight from which on all are answered together."""
FOLDER = Path("out")
"""Where images go for the time being: on a disk, where `/tmp` may be memory."""
PATIENCE = 240.0
"""Seconds that one way may take."""
FAULT_FREE = 20
"""Page faults an image up to which the bare work counts as free of them."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One block of the table."""

    size: str
    in_flight: int

    @property
    def gathers(self) -> bool:
        """Whether the server answers when all calls are there."""
        return self.in_flight >= MANY

    @property
    def count(self) -> int:
        """Images that are measured."""
        return self.in_flight if self.gathers else COUNTS[self.size]


@contextmanager
def answering(case: Case, *, gather: bool) -> Iterator[int]:
    """The port of a server, for the length of the block."""
    command = [sys.executable, "-m", "benchmarks.throughput.answers"]
    command += [f"--image-bytes={SIZES[case.size]}"]
    if gather:
        command += [f"--gather={case.in_flight}", f"--after={WARM}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield int(process.stdout.readline())
        process.stdin.close()
        process.stdout.read()


@contextmanager
def emptied() -> Iterator[str]:
    """A new folder, whose files lose their contents at the end, and their names with the process.

    For minutes after a file was removed ext4 passes its inode over, and looks at each of those that
    it passes: after 600 images a new one costs whoever comes next 0.5 ms more.
    """
    folder = tempfile.mkdtemp(dir=FOLDER, prefix="throughput-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        yield folder
    finally:
        for path in Path(folder).rglob("*"):
            if path.is_file():
                os.truncate(path, 0)


def measure(case: Case, way: str) -> Figures | str:
    """What one way takes; or why there is nothing to say."""
    if (why := missing(way)) is not None:
        return why
    is_floor = way == "floor"
    with (
        emptied() as folder,
        answering(case, gather=case.gathers and not is_floor) as port,
    ):
        command = [sys.executable, "-m", "benchmarks.throughput.one", way]
        command += [f"--port={port}", f"--folder={folder}", f"--warm={WARM}"]
        command += [f"--count={case.count}", f"--in-flight={case.in_flight}"]
        command += ["--wave"] if case.gathers and not is_floor else []
        environment = {**os.environ, **(NO_FAULTS if is_floor else {})}
        try:
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                env=environment,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return f"not done within {PATIENCE:.0f} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"failed: {lines[-1][:80]}"
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    if is_floor and found["faults"] > FAULT_FREE:
        print(f"  note: the bare work took {found['faults']:.0f} page faults an image")
    return found


def compare(case: Case, ways: Sequence[str], rounds: int) -> None:
    """Print a block of the table."""
    found: dict[str, list[Figures | str]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(measure(case, way))
    print(f"\n{case.size} an image, {case.in_flight} in flight, {case.count} images, ", end="")
    print(f"median of {rounds} rounds")
    print(f"  {'':26}{'CPU':>9}{'x floor':>9}{'wall':>12}{'peak':>9}{'stop':>9}")
    for way in ways:
        print(f"  {WAYS[way][0]:26}{_row(found[way], found['floor'])}")


def _row(mine: list[Any], floor: list[Any]) -> str:
    if (why := next((each for each in mine if isinstance(each, str)), None)) is not None:
        return f"  {why}"
    ratios = [one["cpu_ms"] / other["cpu_ms"] for one, other in zip(mine, floor, strict=True)]
    cpu, wall, peak = (
        median(each[key] for each in mine) for key in ("cpu_ms", "wall_ms", "peak_mb")
    )
    stops = [each["stop_ms"] for each in mine]
    stop = "-" if None in stops else f"{median(stops):.0f} ms"
    return f"{cpu:6.2f} ms{median(ratios):9.2f}{wall:9.2f} ms{peak:6.0f} MB{stop:>9}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole table: some 25 minutes")
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--in-flight", type=int, action="append")
    parser.add_argument("--way", choices=[way for way in WAYS if way != "floor"], action="append")
    parser.add_argument("--rounds", type=int, help="3 for the whole table, else 5")
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sizes = given.size or (list(SIZES) if given.all else ["5KB", "1.5MB"])
    flights = given.in_flight or ([16, 1000] if given.all else [16])
    ways = given.way or ([*WAYS][1:] if given.all else ["batchgen", "boto3"])
    rounds = given.rounds or 3
    FOLDER.mkdir(exist_ok=True)
    started = time.monotonic()
    for size in sizes:
        for in_flight in flights:
            compare(Case(size=size, in_flight=in_flight), ["floor", *ways], rounds)
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
