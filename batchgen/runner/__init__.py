"""One run, from its first line to its end line."""

from __future__ import annotations

from batchgen.runner.batch import Batch, require_same_job
from batchgen.runner.deadline import Deadline, deadline_of
from batchgen.runner.options import Observer, Order
from batchgen.runner.progress import Summary
from batchgen.runner.recorder import Concluding
from batchgen.runner.selection import Chosen, Pending, Selection, select

__all__ = [
    "Batch",
    "Chosen",
    "Concluding",
    "Deadline",
    "Observer",
    "Order",
    "Pending",
    "Selection",
    "Summary",
    "deadline_of",
    "require_same_job",
    "select",
]
