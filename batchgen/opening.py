"""How a run begins: whose output it is, what a person should know, and the line that opens it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from importlib.metadata import version

from batchgen import __version__
from batchgen.errors import ManifestError
from batchgen.filesystem import network_file_system
from batchgen.history import History
from batchgen.job import Job
from batchgen.output import Output
from batchgen.record import RunLine, utc_now
from batchgen.select import Pending
from batchgen.text import quoted

SDK = ("aioboto3", "aiobotocore", "botocore", "aiohttp")
"""The packages that make the calls; their versions stand in the manifest."""


def opening_notices(pending: Pending, output: Output, earlier: int) -> Iterator[str]:
    """What a person should know before the first call."""
    history = output.history
    if len(history):
        yield (
            f"Tasks done in earlier runs and skipped: {earlier}; to make: {len(pending.wanted)}, "
            f"of them again: {pending.again}; no longer in the job: {pending.unknown}."
        )
    if history.unreadable:
        yield (
            f"Lines of {history.path} that cannot be read: {history.unreadable}; "
            "they count as not written."
        )
    kind = network_file_system(output.folder)
    if kind is not None:
        yield (
            f"{output.folder} lies on a network file system ({kind}), where locks and syncs "
            "promise less; a local disk is safer."
        )


def require_same_job(job: Job, history: History) -> None:
    """An output belongs to one job: another one's names and seeds would mix with its images."""
    name = history.job_name
    if name is not None and name != job.name:
        raise ManifestError(
            f"{history.path.parent} holds the images of the job {quoted(name)}, and this job is "
            f"{quoted(job.name)}: give it an output of its own."
        )


def run_line(job: Job, run_id: str, random_seed_key: str) -> RunLine:
    """The line that opens a run."""
    return RunLine(
        run_id=run_id,
        batchgen_version=__version__,
        sdk_versions={name: version(name) for name in SDK},
        job_name=job.name,
        job_file=job.source.file if job.source else None,
        job_sha256=job.source.sha256 if job.source else None,
        endpoint=job.endpoint,
        region=job.region,
        random_seed_key=random_seed_key,
        started_at=utc_now(),
    )


def random_seed_key(output: Output, *, fresh: bool) -> str:
    """What `seed: random` draws from: the same for all runs of an output, until `--fresh`."""
    known = output.history.random_seed_key
    return known if known and not fresh else secrets.token_hex(8)
