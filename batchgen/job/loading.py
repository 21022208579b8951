"""From a job file to a `Job`, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import Any

from pydantic import ValidationError

from batchgen.errors import Complaint
from batchgen.job import yaml_document
from batchgen.job.complaints import Complaints, Path
from batchgen.job.conflicts import conflicts
from batchgen.job.schema import Job
from batchgen.job.validation_errors import wrongs
from batchgen.job.yaml_document import Source


def load(path: File, *, defer: bool = False) -> Job:
    """The job in a file.

    Args:
        path: the YAML file.
        defer: if what is wrong does not touch the tasks (an unknown key, a limit), leave it out and
            return the job with the complaints in its `source`: `plan.check` raises them beside its
            own, and `plan.expand` makes nothing of such a job.

    Raises:
        JobError: with all that is wrong, each with file, line, key, value and what is allowed.
    """
    return _job(yaml_document.read(path), defer=defer)


def parse(file: str, data: bytes, *, defer: bool = False) -> Job:
    """The job in these bytes of YAML; `file` is its name in complaints. As `load` otherwise."""
    return _job(yaml_document.parse(file, data), defer=defer)


def _job(document: yaml_document.Document, *, defer: bool) -> Job:
    source = document.source
    found = Complaints(document.complaints)
    job: Job | None
    value = document.value
    try:
        job = Job.model_validate(value, context={"source": source})
    except ValidationError as error:
        job, value = _bearing(value, error, found, source)
    if job is not None:
        for complaint in (*conflicts(job), *_unused_options(job)):
            found.add(complaint.path, complaint.text)
        if not found:
            return job
    raised = source.error(found.listed())
    if job is None or not defer:
        raise raised
    return Job.model_validate(
        value, context={"source": replace(source, complaints=raised.complaints)}
    )


def _bearing(
    value: Any, error: ValidationError, found: Complaints, source: Source
) -> tuple[Job | None, Any]:
    """The job without what is wrong, and the value it was made of; None if the tasks need that."""
    wrong = list(wrongs(error))
    for each in wrong:
        found.add(each.complaint.path, each.complaint.text)
    if any(each.affects_plan for each in wrong):
        return None, value
    rest = _without(value, [each.complaint.path for each in wrong])
    try:
        return Job.model_validate(rest, context={"source": source}), rest
    except ValidationError:
        return None, value


def _without(value: Any, paths: Iterable[Path]) -> Any:
    """A copy without the keys at these paths, of which none ends at a list."""
    below: dict[str | int, list[Path]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    if isinstance(value, list):
        return [
            _without(each, below[index]) if index in below else each
            for index, each in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _without(each, below[key]) if key in below else each
        for key, each in value.items()
        if () not in below.get(key, ())
    }


def _unused_options(job: Job) -> Iterable[Complaint]:
    if job.endpoint != "simulator" and "simulator" in job.model_fields_set:
        text = f'counts only with "endpoint: simulator", and the endpoint is {job.endpoint}'
        yield Complaint(path=("simulator",), text=text)
