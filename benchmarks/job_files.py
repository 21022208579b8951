"""How long the largest job files take to validate: `python -m benchmarks.job_files`.

Files of 16 MB, the most that a job file may have, with items as a catalogue has them, with as many
items as fit, with long prompts, and with a mistake in the last line. Prints CPU seconds and the
largest memory of each, and ends with 1 if one of them takes longer than ten seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import load
from batchgen.job.yaml_document import MAX_BYTES

LIMIT = 10.0
HEAD = """\
name: big
endpoint: simulator
model: stability.stable-image-core-v1:1
prompt: "{product} on a {backdrop} background"
vars: {backdrop: white}
items:
"""
ITEM = """\
  - id: item-{number}
    vars: {{product: blue ceramic mug number {number}}}
    parameters: {{aspect_ratio: "1:1"}}
"""
SMALL = "  - {{id: item-{number}, prompt: mug {number}}}\n"
LONG = "  - {{id: item-{number}, prompt: mug {number} {words}}}\n"
CASES = {
    "a catalogue": (ITEM, ""),
    "items of one short prompt": (SMALL, ""),
    "long prompts": (LONG, ""),
    "a misspelt key in the last line": (ITEM, "regoin: us-west-2\n"),
    "no YAML in the last line": (ITEM, "seed: a: b\n"),
}


def text_of(row: str, end: str) -> str:
    rows, size, number = [HEAD], len(HEAD) + len(end), 0
    while True:
        number += 1
        made = row.format(number=number, words="in a shop window " * 100)
        size += len(made)
        if size > MAX_BYTES:
            return "".join((*rows, end))
        rows.append(made)


def measure(path: Path) -> None:
    start = time.process_time()
    try:
        said = f"{plan.check(load(path, defer=True)).tasks:,} tasks"
    except JobError as error:
        said = f"{len(error.complaints)} complaint"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{time.process_time() - start:.1f} {memory} {said}")


def main() -> int:
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (row, end) in CASES.items():
            path = Path(folder) / "job.yaml"
            path.write_text(text_of(row, end), encoding="utf-8")
            command = [sys.executable, "-m", "benchmarks.job_files", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, memory, said = done.stdout.split(maxsplit=2)
            slow += float(seconds) > LIMIT
            print(f"{name:32} {seconds:>5} s {memory:>5} MB  {said.strip()}", flush=True)
    return 1 if slow else 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        sys.exit(main())
