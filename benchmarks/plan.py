"""What a plan of a long data file takes: `python -m benchmarks.plan [ROWS]`.

Prints wall seconds, CPU seconds and the largest memory of `batchgen plan` over a CSV of 1,000,000
rows and of `batchgen validate` over a YAML of 10,000 items, and how long after its start a
`run --limit 10` over that CSV makes its first call. Ends with 1 if one of them misses its goal.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = 1_000_000
HEAD = """\
name: big
endpoint: {endpoint}
model: stability.stable-image-core-v1:1
prompt: "{{product}} in {{colour}} on a {{backdrop}} background"
vars: {{backdrop: white}}
parameters: {{aspect_ratio: "1:1"}}
limits: {{requests_per_minute: 60000}}
"""
ITEM = "  - {{id: item-{n}, vars: {{product: blue ceramic mug number {n}, colour: blue}}}}\n"
BATCHGEN = (sys.executable, "-m", "batchgen")


def write(folder: Path, rows: int, endpoint: str) -> None:
    with (folder / "rows.csv").open("w", encoding="utf-8") as file:
        file.write("id,product,colour\n")
        for n in range(rows):
            file.write(f"item-{n},blue ceramic mug number {n},deep blue\n")
    head = HEAD.format(endpoint=endpoint)
    (folder / "rows.yaml").write_text(f"{head}items_from: rows.csv\n", "utf-8")
    items = "".join(ITEM.format(n=n) for n in range(10_000))
    (folder / "items.yaml").write_text(f"{head}items:\n{items}", "utf-8")


def measured(*arguments: str, cwd: Path) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and megabytes of a command."""
    began = time.monotonic()
    with subprocess.Popen([*BATCHGEN, *arguments], cwd=cwd, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    taken = time.monotonic() - began
    return taken, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def first_call(folder: Path) -> float:
    """Seconds from the start of a limited run to its first attempt on record."""
    began = time.time()
    arguments = ["run", "rows.yaml", "--limit=10", "--quiet"]
    process = subprocess.Popen([*BATCHGEN, *arguments], cwd=folder, stderr=subprocess.DEVNULL)
    manifest = folder / "out" / "big" / "manifest.jsonl"
    while process.poll() is None and not _has_attempt(manifest):
        time.sleep(0.005)
    taken = time.time() - began
    if process.wait():
        raise SystemExit(f"the limited run ended with {process.returncode}")
    return taken


def _has_attempt(manifest: Path) -> bool:
    return manifest.exists() and b'"attempt"' in manifest.read_bytes()


def main() -> int:
    rows = int(sys.argv[1]) if sys.argv[1:] else ROWS
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    options = ["--latency=0", "--meter=none", "--picture=plain"]
    missed = 0
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            command + options, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as simulator,
    ):
        folder = Path(name)
        assert simulator.stdout is not None
        url = json.loads(simulator.stdout.readline())["url"]
        write(folder, rows, url)
        for text, goal, memory, arguments in (
            (f"plan, {rows:,} rows of a CSV", 30.0, 150, ("plan", "rows.yaml")),
            ("validate, 10,000 items of YAML", 3.0, 1_000, ("validate", "items.yaml")),
        ):
            wall, cpu, megabytes = measured(*arguments, cwd=folder)
            missed += wall > goal or megabytes > memory
            print(f"{text:36} {wall:6.1f} s (CPU {cpu:.1f} s), {megabytes} MB; goal {goal:g} s")
        taken = first_call(folder)
        missed += taken > 1
        print(f"{'first call of run --limit 10':36} {taken:6.2f} s; goal 1 s", flush=True)
        simulator.communicate()
    return 1 if missed else 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
