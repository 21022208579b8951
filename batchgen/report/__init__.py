"""What past runs made and came to: reads manifests and image files only."""

from __future__ import annotations

from batchgen.report.difference_page import write_page
from batchgen.report.nights import Night, RunFigures, Tally, nights_of, read_runs
from batchgen.report.pictures import THRESHOLD
from batchgen.report.verdicts import Judged, Verdict, judge

__all__ = [
    "THRESHOLD",
    "Judged",
    "Night",
    "RunFigures",
    "Tally",
    "Verdict",
    "judge",
    "nights_of",
    "read_runs",
    "write_page",
]
