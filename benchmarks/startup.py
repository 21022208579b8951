"""How long the commands take that a person waits for: `python -m benchmarks.startup`.

Prints the median of ten runs of each, and ends with 1 if one of them is over its limit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from batchgen.cli import COMMANDS

ROOT = Path(__file__).parents[1]
RUNS = 10
LIMITS = {
    ("--help",): 0.2,
    **{(name, "--help"): 0.2 for name in COMMANDS},
    ("validate", str(ROOT / "jobs/catalog.yaml")): 0.5,
}
"""Arguments of `batchgen` -> most seconds."""


def seconds(arguments: tuple[str, ...]) -> list[float]:
    """Wall time of each run of the installed command, its interpreter's start included."""
    command = [str(Path(sys.prefix) / "bin/batchgen"), *arguments]
    taken = []
    for _ in range(RUNS + 1):  # the first one fills caches
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return taken[1:]


def main() -> int:
    """Measure, print, judge."""
    slow = 0
    for arguments, limit in LIMITS.items():
        taken = seconds(arguments)
        median = statistics.median(taken)
        slow += median > limit
        name = " ".join(Path(part).name for part in arguments)
        spread = f"{min(taken):.3f} to {max(taken):.3f}"
        print(f"batchgen {name}: {median:.3f} s ({spread}); at most {limit} s")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
