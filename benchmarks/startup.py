"""How long a person waits for a command, and for the first call: `python -m benchmarks.startup`.

Prints the median of ten runs of each beside the start of the interpreter alone, in wall and CPU
seconds, and ends with 1 if one of them is over its limit.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from batchgen.cli import COMMANDS

ROOT = Path(__file__).parents[1]
RUNS = 10
BATCHGEN = str(Path(sys.prefix) / "bin/batchgen")
PYTHON = (("-I", "-S", "-c", "pass"), ("-c", "pass"))
LIMITS = {
    ("--help",): 0.1,
    **{(name, "--help"): 0.15 for name in COMMANDS},
    ("validate", str(ROOT / "jobs/catalog.yaml")): 0.3,
}
"""Arguments of `batchgen` -> most seconds."""
FIRST_CALL = 0.7
"""Most seconds from the start of a run to its first request at a server on this machine."""
JOB = """\
name: first
endpoint: http://127.0.0.1:{port}
model: stability.stable-image-core-v1:1
prompt: "{{product}} on a white background"
items: [{{id: mug, vars: {{product: blue mug}}}}, {{id: lamp, vars: {{product: brass lamp}}}}]
"""
TICKS = os.sysconf("SC_CLK_TCK")

Taken = tuple[float, float]
"""Wall seconds and CPU seconds."""


def whole(command: list[str]) -> Taken:
    """What a command takes, the start of its interpreter included."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def first_call() -> Taken:
    """What a run takes until its first request arrives."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        job = Path(folder) / "job.yaml"
        job.write_text(JOB.format(port=server.getsockname()[1]), "utf-8")
        command = [BATCHGEN, "run", str(job), "--quiet"]
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
            server.settimeout(60)
            connection, _ = server.accept()
            with connection:
                if not connection.recv(4).startswith(b"POST"):
                    raise SystemExit("The first request of the run is no POST.")
                taken = time.perf_counter() - began
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            process.kill()
    return taken, (int(fields[11]) + int(fields[12])) / TICKS


def told(name: str, measure: Callable[[], Taken], limit: float | None = None) -> bool:
    """Print a median; whether it is over its limit."""
    measure()  # the first one fills caches
    taken = [measure() for _ in range(RUNS)]
    wall, cpu = (statistics.median(each) for each in zip(*taken, strict=True))
    spread = f"{min(taken)[0]:.3f} to {max(taken)[0]:.3f}"
    at_most = "" if limit is None else f"; at most {limit} s"
    print(f"{name}: {wall:.3f} s ({spread}), CPU {cpu:.3f} s{at_most}", flush=True)
    return limit is not None and wall > limit


def main() -> int:
    """Measure, print, judge."""
    slow = 0
    for arguments in PYTHON:
        told(f"python {' '.join(arguments)}", lambda: whole([sys.executable, *arguments]))  # noqa: B023  # called at once
    for arguments, limit in LIMITS.items():
        name = " ".join(Path(part).name for part in arguments)
        slow += told(f"batchgen {name}", lambda: whole([BATCHGEN, *arguments]), limit)  # noqa: B023  # called at once
    slow += told("first call of a run", first_call, FIRST_CALL)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
