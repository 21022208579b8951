"""Before a run: is the job right, what is left of it to make, and what will that cost?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchgen.errors import JobError
from batchgen.findings import Check, Finding, Trouble, sentences
from batchgen.job import Job
from batchgen.models.base import Model
from batchgen.select import Selection, select

JOB = Check("job")
MANIFEST = Check("manifest")
COST = Check("cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run would make now."""

    tasks: Mapping[str, int]
    """Model id, as the job names it -> tasks to make; of a job that is wrong, all that it names."""
    models: Mapping[str, Model]
    """What is known of those models; one that nobody knows is missing."""

    @property
    def total(self) -> int:
        """Tasks of all models."""
        return sum(self.tasks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the job, with what earlier runs left of it, comes to."""

    findings: tuple[Finding, ...]
    workload: Workload


def broken(error: JobError) -> Finding:
    """A job file with mistakes."""
    first, *more = str(error).splitlines()
    rest = f"{len(more)} more: `batchgen validate {error.file}` lists them" if more else ""
    return JOB.failed(Trouble.JOB, sentences(first, rest), mistakes=len(error.complaints))


def survey(job: Job) -> Survey:
    """Look at a job and at the manifest of its output; blocks, for a job can be large."""
    outline, findings = _outline(job)
    history, about_manifest = _history(job)
    tasks: Mapping[str, int] = _named(job)
    if outline is not None and history is not None:
        pending = select(job, history, Selection(), history.random_seed_key or "doctor")
        tasks = pending.wanted.models()
        cost = None if outline.price_usd is None else pending.cost(outline)
        about_manifest = _progress(outline, history, sum(tasks.values()))
        findings = [*findings, about_manifest, _cost(job, cost, history.spent)]
    else:
        findings = [*findings, about_manifest]
    workload = Workload(tasks=tasks, models=_models(job))
    return Survey(findings=tuple(findings), workload=workload)


def _outline(job: Job) -> ...:
    ...
