"""The figures of past runs, from manifests alone: nothing is called, made or moved."""

from __future__ import annotations

from batchgen.report.nights import Night, RunFigures, Tally, nights_of, read_runs

__all__ = ["Night", "RunFigures", "Tally", "nights_of", "read_runs"]
