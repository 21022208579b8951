"""One run, from its first line to its end line."""

from __future__ import annotations

from batchgen.runner.account import left_of_budget, shortage
from batchgen.runner.batch import Batch
from batchgen.runner.deadline import Deadline, deadline_of
from batchgen.runner.forecast import CONFIDENCE, Forecast, forecast
from batchgen.runner.options import Observer, RunOptions
from batchgen.runner.pending import Pending, TaskSet
from batchgen.runner.progress import Summary
from batchgen.runner.recorder import Recorder
from batchgen.runner.selection import Selection, read_output, reseed, select

__all__ = [
    "CONFIDENCE",
    "Batch",
    "Deadline",
    "Forecast",
    "Observer",
    "Pending",
    "Recorder",
    "RunOptions",
    "Selection",
    "Summary",
    "TaskSet",
    "deadline_of",
    "forecast",
    "left_of_budget",
    "read_output",
    "reseed",
    "select",
    "shortage",
]
