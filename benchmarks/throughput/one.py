"""`python -m benchmarks.throughput.one WAY ...`: measures one way in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path

from benchmarks.throughput.meter import Load, Meter
from benchmarks.throughput.ways import WAYS

MEMORY = 8 << 30
"""Bytes that a way may use; a thousand answers of 8 MB held at once are more."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    for name in ("port", "warm", "count", "in-flight"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = vars(parser.parse_args())
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    _, make = WAYS[given.pop("way")]
    load = Load(**given)
    meter = Meter(load)
    make(load, meter)
    print(json.dumps(meter.figures()))


if __name__ == "__main__":
    main()
