"""The job language: from YAML to a validated job, or to every complaint at once."""

from __future__ import annotations

from batchgen.job.complaints import Complaints, Path
from batchgen.job.conflicts import conflicts, overlap, same_quota
from batchgen.job.fields import DURATION, Check, FailureLimit, Refused, money, whole
from batchgen.job.loading import load, parse
from batchgen.job.schema import Item, Job, Limits, OnFiltered, Retry, Route, Simulator

__all__ = [
    "DURATION",
    "Check",
    "Complaints",
    "FailureLimit",
    "Item",
    "Job",
    "Limits",
    "OnFiltered",
    "Path",
    "Refused",
    "Retry",
    "Route",
    "Simulator",
    "conflicts",
    "load",
    "money",
    "overlap",
    "parse",
    "same_quota",
    "whole",
]
