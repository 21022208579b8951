"""One output folder: lock, manifest, history and image files."""

from __future__ import annotations

from batchgen.output.folder import (
    Leftover,
    Output,
    Turn,
    network_file_system,
    opened_output,
)
from batchgen.output.history import ATTEMPT, TASK_ID, History
from batchgen.output.images import BrokenImage, Inspected, inspect
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
    "Manifest",
    "Output",
    "Store",
    "Turn",
    "inspect",
    "network_file_system",
    "opened_output",
    "parse_line",
    "parse_object",
]
