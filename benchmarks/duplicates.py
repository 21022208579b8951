"""How long it takes to find that no two of so many tasks are alike, and in how much memory.

`python -m benchmarks.duplicates [TASKS]`
"""

import resource
import sys
import time
from hashlib import blake2b

from batchgen.plan.duplicates import Repeats


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    before, start = memory(), time.perf_counter()
    repeats = Repeats()
    for number in range(tasks):
        key = int.from_bytes(blake2b(b"%d" % number, digest_size=8).digest(), signed=True)
        repeats.note(key)
    found = list(repeats.found(lambda: iter(())))
    took = time.perf_counter() - start
    print(f"{tasks:,} tasks: {took:.1f} s, {memory() - before:.0f} MB, {len(found)} alike")


def memory() -> float:
    """Most that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


main()
