"""The job language: from YAML to a validated job, or to every complaint at once."""

from __future__ import annotations

from batchgen.job.axes import PARAMETER
from batchgen.job.complaints import Complaints, Path
from batchgen.job.conflicts import conflicts, is_model_open, overlap, same_quota
from batchgen.job.endpoint_url import PLAIN_HTTP, is_plain_http
from batchgen.job.fields import FailureLimit
from batchgen.job.images import InputGone, InputImages
from batchgen.job.json_schema import describe, schema_text
from batchgen.job.loading import load, parse
from batchgen.job.matrix import Expansion
from batchgen.job.option_value import read_value
from batchgen.job.price_file import read_prices
from batchgen.job.rows import Row
from batchgen.job.schema import Job
from batchgen.job.sections import (
    ContentCredentials,
    Derivative,
    Item,
    Limits,
    Metadata,
    OnFiltered,
    Retry,
    Route,
    Simulator,
    Step,
)
from batchgen.job.steps import Reference, Steps, references

__all__ = [
    "PARAMETER",
    "PLAIN_HTTP",
    "Complaints",
    "ContentCredentials",
    "Derivative",
    "Expansion",
    "FailureLimit",
    "InputGone",
    "InputImages",
    "Item",
    "Job",
    "Limits",
    "Metadata",
    "OnFiltered",
    "Path",
    "Reference",
    "Retry",
    "Route",
    "Row",
    "Simulator",
    "Step",
    "Steps",
    "conflicts",
    "describe",
    "is_model_open",
    "is_plain_http",
    "load",
    "overlap",
    "parse",
    "read_prices",
    "read_value",
    "references",
    "same_quota",
    "schema_text",
]
