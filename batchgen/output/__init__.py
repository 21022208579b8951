"""One output folder: lock, manifest, history and image files."""

from __future__ import annotations

from batchgen.output.folder import (
    Leftover,
    LockWait,
    OutputFolder,
    network_file_system,
    open_output,
)
from batchgen.output.history import ATTEMPT, TASK_ID, History, load_history
from batchgen.output.images import BrokenImage, Inspected, inspect_image
from batchgen.output.lock import LOCK_NAME, lock_holder
from batchgen.output.manifest import (
    MANIFEST_NAME,
    Manifest,
    parse_line,
    parse_object,
    read_manifest,
)
from batchgen.output.store import EXTENSIONS, SUPERSEDED, UNUSABLE, Store
from batchgen.output.threads import in_thread, worker_threads

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
    "in_thread",
    "inspect_image",
    "load_history",
    "lock_holder",
    "network_file_system",
    "open_output",
    "parse_line",
    "parse_object",
    "read_manifest",
    "worker_threads",
]
