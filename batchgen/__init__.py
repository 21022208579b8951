"""Generate images in bulk on Amazon Bedrock: unattended, within a budget, on record.

What a program needs is here; everything is imported when it is first used, and the AWS SDK only by
a run that calls AWS.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchgen.api import (
        Reproduction,
        load_job,
        plan_job,
        read_manifest,
        records,
        reproduce,
        run,
        verify,
    )
    from batchgen.errors import (
        BatchgenError,
        InputError,
        JobError,
        ManifestError,
        OutputBusy,
        ServiceUnusable,
        StorageError,
    )
    from batchgen.job import (
        ContentCredentials,
        Item,
        Job,
        Limits,
        Metadata,
        OnFiltered,
        Retry,
        Route,
        Simulator,
    )
    from batchgen.plan import Choice
    from batchgen.record import Record, Served, Status, StoredImage
    from batchgen.report import Judged, Verdict
    from batchgen.runner import Selection, Summary
    from batchgen.task import Task

    __version__: str

__all__ = [
    "BatchgenError",
    "Choice",
    "ContentCredentials",
    "InputError",
    "Item",
    "Job",
    "JobError",
    "Judged",
    "Limits",
    "ManifestError",
    "Metadata",
    "OnFiltered",
    "OutputBusy",
    "Record",
    "Reproduction",
    "Retry",
    "Route",
    "Selection",
    "Served",
    "ServiceUnusable",
    "Simulator",
    "Status",
    "StorageError",
    "StoredImage",
    "Summary",
    "Task",
    "Verdict",
    "__version__",
    "load_job",
    "plan_job",
    "read_manifest",
    "records",
    "reproduce",
    "run",
    "verify",
]

_HOMES = {
    "batchgen.errors": "BatchgenError InputError JobError ManifestError OutputBusy ServiceUnusable "
    "StorageError",
    "batchgen.job": "ContentCredentials Item Job Limits Metadata OnFiltered Retry Route Simulator",
    "batchgen.plan": "Choice",
    "batchgen.record": "Record Served Status StoredImage",
    "batchgen.report": "Judged Verdict",
    "batchgen.runner": "Selection Summary",
    "batchgen.task": "Task",
}
"""Module -> the names that are taken from it; all others are those of `api`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("batchgen")
    if name not in __all__:
        raise AttributeError(f"module 'batchgen' has no attribute {name!r}")
    homes = (home for home, names in _HOMES.items() if name in names.split())
    value = getattr(importlib.import_module(next(homes, "batchgen.api")), name)
    globals()[name] = value  # the next time it is there, for a caller who asks at each record
    return value


def __dir__() -> list[str]:
    return __all__
