"""The figures of the throughput benchmark, from measurements that were made up."""

import pytest

from benchmarks.throughput import __main__ as benchmark
from benchmarks.throughput import ways
from benchmarks.throughput.__main__ import Case, compare
from benchmarks.throughput.meter import Load, Meter


def used(cpu, stop=None):
    return {"cpu_ms": cpu, "wall_ms": cpu, "peak_mb": 50.0, "stop_ms": stop, "faults": 0.0}


def test_a_ratio_is_the_median_of_pairs(monkeypatch, capsys):
    """A machine that becomes slower in between slows both of a pair: the medians alone say 5.0."""
    rounds = {"floor": [1.0, 10.0, 4.0], "batchgen": [2.0, 20.0, 28.0]}
    monkeypatch.setattr(
        benchmark, "measure", lambda _, way: used(rounds[way].pop(0), None if "f" in way else 7.0)
    )
    compare(Case(size="5KB", in_flight=16), ["floor", "batchgen"], 3)
    *_, floor, ours = capsys.readouterr().out.splitlines()
    assert floor.split() == ["bare", "work", "4.00", "ms", "1.00", "4.00", "ms", "50", "MB", "-"]
    assert ours.split() == ["batchgen", "20.00", "ms", "2.00", "20.00", "ms", "50", "MB", "7", "ms"]


def test_what_is_not_installed_is_said(monkeypatch):
    """LiteLLM is no dependency: its row tells how to have it."""
    monkeypatch.setattr(ways, "find_spec", lambda _: None)
    told = benchmark.measure(Case(size="5KB", in_flight=16), "litellm")
    assert told == "LiteLLM is not installed: `.venv/bin/pip install litellm` adds its row"


def test_an_image_that_is_missing_ends_the_measurement(tmp_path):
    """Figures of fewer images than were asked for would be too good."""
    meter = Meter(Load(port=1, folder=tmp_path, warm=1, count=2, in_flight=1))
    meter.made(2)
    with pytest.raises(SystemExit, match="2 images of 3 were made"):
        meter.figures()
    meter.made()
    assert meter.figures()["stop_ms"] is None
