"""From a job file to a `Job`, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path as File

from pydantic import ValidationError

from batchgen.errors import Complaint
from batchgen.job import yaml_document
from batchgen.job.complaints import Complaints
from batchgen.job.conflicts import conflicts
from batchgen.job.include import with_includes
from batchgen.job.mending import Mending
from batchgen.job.plain_items import make_plain
from batchgen.job.schema import Job

MOST_PASSES = 4
"""A value below a misspelt key is looked at once the key is mended."""


def load(path: File, *, defer: bool = False, endpoint: str | None = None) -> Job:
    """The job in a file.

    Args:
        path: the YAML file.
        defer: if the rest of the job can be judged without what is wrong, return that rest, with
            the complaints in its `source`: `plan.check` raises them beside its own, and
            `plan.expand` makes nothing of such a job.
        endpoint: what is called in place of the file's own, of which nothing is said then.

    Raises:
        JobError: with all that is wrong, each with file, line, key, value and what is allowed.
    """
    return _job(yaml_document.read(path), defer=defer, endpoint=endpoint)


def parse(file: str, data: bytes, *, defer: bool = False) -> Job:
    """The job in these bytes of YAML; `file` is its name in complaints. As `load` otherwise."""
    return _job(yaml_document.parse(file, data), defer=defer)


def _job(document: yaml_document.Document, *, defer: bool, endpoint: str | None = None) -> Job:
    document = with_includes(document)
    make_plain(document.value)
    mending = Mending(document.value)
    found = Complaints(document.complaints, mended=mending.mended)
    job = _validated(document, mending, found)
    source = replace(document.source, mended=mending.mended, renamed=mending.renamed)
    if job is None:
        raise source.error(found.listed())
    unused = [] if endpoint else _unused_options(job)
    job = job.model_copy(update={"endpoint": endpoint} if endpoint else {})
    for complaint in (*conflicts(job), *unused):
        found.add(complaint.path, complaint.text)
    if found:
        error = source.error(found.listed())
        if not defer:
            raise error
        source = replace(source, complaints=error.complaints)
    return job.of_source(source)


def _validated(document: yaml_document.Document, mending: Mending, found: Complaints) -> Job | None:
    """The job, without what is wrong with it; None if the rest cannot be judged by itself."""
    for _ in range(MOST_PASSES):
        try:
            return Job.model_validate(document.value, context={"source": document.source})
        except ValidationError as error:
            for complaint in mending.mend(error):
                found.keep(complaint)
            if mending.is_hopeless:
                return None
    return None


def _unused_options(job: Job) -> Iterable[Complaint]:
    if job.endpoint != "simulator" and "simulator" in job.model_fields_set:
        text = f'counts only with "endpoint: simulator", and the endpoint is {job.endpoint}'
        yield Complaint(path=("simulator",), text=text)
