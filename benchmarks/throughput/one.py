"""`python -m benchmarks.throughput.one WAY ...`: measures one way in a process of its own."""

from __future__ import annotations

import argparse
import json
import resource
from dataclasses import replace
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
    parser.add_argument("--wave", action="store_true", help="warm up apart, then all at once")
    given = vars(parser.parse_args())
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    _, make = WAYS[given.pop("way")]
    is_wave = given.pop("wave")
    load = Load(**given)
    if is_wave:
        before = replace(load, folder=load.folder / "warm", warm=0, count=load.warm, in_flight=16)
        before.folder.mkdir()
        make(before, Meter(before))
        load = replace(load, warm=0)
    meter = Meter(load)
    make(load, meter)
    print(json.dumps(meter.figures()))


if __name__ == "__main__":
    main()
