"""One output folder: lock, manifest, history and image files."""

from __future__ import annotations

from batchgen.output.folder import (
    Leftover,
    LockWait,
    OutputFolder,
    network_file_system,
    open_output,
)
from batchgen.output.history import ATTEMPT, TASK_ID, History
from batchgen.output.images import BrokenImage, Inspected, inspect_image
from batchgen.output.lock import LOCK_NAME
from batchgen.output.manifest import MANIFEST_NAME, Manifest, parse_line, parse_object
from batchgen.output.store import EXTENSIONS, SUPERSEDED, UNUSABLE, Store

__all__ = [
    "ATTEMPT",
    "EXTENSIONS",
    "LOCK_NAME",
    "MANIFEST_NAME",
    "SUPERSEDED",
    "TASK_ID",
    "UNUSABLE",
    "BrokenImage",
    "History",
    "Inspected",
    "Leftover",
    "LockWait",
    "Manifest",
    "OutputFolder",
    "Store",
    "inspect_image",
    "network_file_system",
    "open_output",
    "parse_line",
    "parse_object",
]
