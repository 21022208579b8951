"""One output folder: lock, manifest, history and image files."""

from __future__ import annotations

from batchgen.output.adopt import Adopted, adopt_images
from batchgen.output.derive import derive, plain_label
from batchgen.output.export import COLUMNS, rows_of, to_csv, to_json_lines, to_parquet
from batchgen.output.folder import (
    FILES_BESIDE,
    Leftover,
    LockWait,
    OutputFolder,
    network_file_system,
    open_output,
    refuse_lost_manifest,
    require_limits,
)
from batchgen.output.history import History, Refresh
from batchgen.output.images import (
    BrokenImage,
    Inspected,
    hash_pixels,
    inspect_image,
    read_structure,
)
from batchgen.output.lock import LOCK_NAME, lock_holder
from batchgen.output.made import Made, MadeImage
from batchgen.output.manifest import (
    ATTEMPT,
    MANIFEST_NAME,
    RUN,
    TASK_ID,
    Manifest,
    open_manifest,
    parse_line,
    parse_object,
    read_manifest,
    require_lines,
)
from batchgen.output.manifest_schema import manifest_schema
from batchgen.output.merge import Merged, merge
from batchgen.output.metadata.credentials import (
    Credentials,
    CredentialsUnusable,
    Signer,
    open_signer,
    read_credentials,
)
from batchgen.output.metadata.label import (
    Asked,
    Embedded,
    Label,
    Provenance,
    SourceType,
)
from batchgen.output.metadata.reading import embedded, inspect_stored, read_embedded
from batchgen.output.metadata.writing import labelled
from batchgen.output.origin import Origin, find_named, find_origin, is_manifest
from batchgen.output.originals import Originals, read_image, read_originals
from batchgen.output.paths import inner_path, open_regular, require_names
from batchgen.output.read_history import load_history
from batchgen.output.records import manifest_of, read_records
from batchgen.output.repair import (
    Obsolete,
    Repaired,
    find_obsolete,
    prune_output,
    repair_output,
)
from batchgen.output.replacing import replacing
from batchgen.output.store import SPOOL, SUPERSEDED, UNUSABLE, Saving, Store
from batchgen.output.threads import COMPUTING, cores, in_thread, worker_threads
from batchgen.output.verify import ASIDE, Finding, Kind, Verified, verify_output

__all__ = [
    "ASIDE",
    "ATTEMPT",
    "COLUMNS",
    "COMPUTING",
    "FILES_BESIDE",
    "LOCK_NAME",
    "MANIFEST_NAME",
    "RUN",
    "SPOOL",
    "SUPERSEDED",
    "TASK_ID",
    "UNUSABLE",
    "Adopted",
    "Asked",
    "BrokenImage",
    "Credentials",
    "CredentialsUnusable",
    "Embedded",
    "Finding",
    "History",
    "Inspected",
    "Kind",
    "Label",
    "Leftover",
    "LockWait",
    "Made",
    "MadeImage",
    "Manifest",
    "Merged",
    "Obsolete",
    "Origin",
    "Originals",
    "OutputFolder",
    "Provenance",
    "Refresh",
    "Repaired",
    "Saving",
    "Signer",
    "SourceType",
    "Store",
    "Verified",
    "adopt_images",
    "cores",
    "derive",
    "embedded",
    "find_named",
    "find_obsolete",
    "find_origin",
    "hash_pixels",
    "in_thread",
    "inner_path",
    "inspect_image",
    "inspect_stored",
    "is_manifest",
    "labelled",
    "load_history",
    "lock_holder",
    "manifest_of",
    "manifest_schema",
    "merge",
    "network_file_system",
    "open_manifest",
    "open_output",
    "open_regular",
    "open_signer",
    "parse_line",
    "parse_object",
    "plain_label",
    "prune_output",
    "read_credentials",
    "read_embedded",
    "read_image",
    "read_manifest",
    "read_originals",
    "read_records",
    "read_structure",
    "refuse_lost_manifest",
    "repair_output",
    "replacing",
    "require_limits",
    "require_lines",
    "require_names",
    "rows_of",
    "to_csv",
    "to_json_lines",
    "to_parquet",
    "verify_output",
    "worker_threads",
]
