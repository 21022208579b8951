"""Before a run: is the job right, what is left of it to make, and what will that cost?"""

from __future__ import annotations

import errno
import stat
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchgen import plan
from batchgen.doctor.findings import Check, Finding
from batchgen.errors import ExitCode, JobError, ManifestError
from batchgen.job import Complaints, Expansion, Job
from batchgen.models import Model
from batchgen.output import MANIFEST_NAME, History
from batchgen.plan import JobModels, PlanSummary
from batchgen.record import is_simulated
from batchgen.runner import Pending, Selection, read_output, select, shortage
from batchgen.text import sentences, usd

JOB = Check("job")
MANIFEST = Check("manifest")
COST = Check("cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run would make now."""

    tasks: Mapping[str, int]
    """Every model, as the job names it -> tasks to make; of a job that is wrong, all its tasks."""
    models: Mapping[str, Model]
    """What is known of these models; an unknown one is missing."""
    stand_ins: Mapping[str, Model] = field(default_factory=dict)
    """Models that only stand in for others: no task is theirs."""
    fallbacks: Mapping[str, frozenset[tuple[str, ...]]] = field(default_factory=dict)
    """Model -> what its items name to stand in for it, each list once."""

    @property
    def total(self) -> int:
        """Tasks of all models."""
        return sum(self.tasks.values())

    @property
    def named(self) -> dict[str, Model | None]:
        """Every model that a run may call -> what is known of it."""
        return {**{name: self.models.get(name) for name in self.tasks}, **self.stand_ins}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a job comes to, with what earlier runs left of it."""

    findings: tuple[Finding, ...]
    workload: Workload


def broken(error: JobError) -> Finding:
    """A job file with mistakes."""
    more = len(error.complaints) - 1
    rest = f"{more} more: `batchgen validate {error.file}` lists them" if more else ""
    first = error.said(replace(error.complaints[0], excerpt=""))
    return JOB.failed(
        ExitCode.USAGE,
        sentences(first, rest),
        mistakes=len(error.complaints),
        complaints=error.to_json(),
    )


def survey(job: Job) -> Survey:
    """Look at a job and at the manifest of its output; blocks, for both can be large."""
    findings = []
    outline = history = None
    try:
        outline = plan.check(job)
        findings.append(_right(job, outline))
    except JobError as error:
        findings.append(broken(error))
    try:
        history = _history(job)
    except ManifestError as error:
        findings.append(MANIFEST.failed(ExitCode.USAGE, sentences(str(error))))
    if outline is None or history is None:
        return Survey(findings=tuple(findings), workload=_all_named(job))
    pending = select(plan.JobPlan(job), history, Selection(), history.random_seed_key or "doctor")
    findings += [_progress(history, pending), _cost(job, outline, history, pending)]
    counts = pending.to_make.models()
    workload = Workload(
        tasks={each.model_id: counts.get(each.model_id, 0) for each in outline.models},
        models={each.model_id: each.model for each in outline.models},
        stand_ins={each.model_id: each.model for each in outline.fallbacks},
        fallbacks=_fallbacks(job),
    )
    return Survey(findings=tuple(findings), workload=workload)


def _fallbacks(job: Job) -> dict[str, frozenset[tuple[str, ...]]]:
    lists: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for row in Expansion(job, Complaints()):
        named = job.fallback if row.item.fallback is None else row.item.fallback
        lists[row.item.model or job.model or ""].add(named)
    return {model_id: frozenset(found) for model_id, found in lists.items()}


def _right(job: Job, outline: PlanSummary) -> Finding:
    file = f"job {job.name}" if job.source is None else job.source.file
    price = usd(outline.price_usd)
    text = f"{file} is right. Tasks: {outline.tasks}, for {price} in all"
    finding = JOB.warning if outline.warnings else JOB.ok
    return finding(sentences(text, *outline.warnings), tasks=outline.tasks)


def _history(job: Job) -> History:
    path = Path(job.output) / MANIFEST_NAME
    # What is no folder, or has a pipe or device in its place, is another check's to say.
    return read_output(job) if _may_be_read(path) else History(path=path)


def _may_be_read(path: Path) -> bool:
    """Whether a file or folder lies there, or nothing at all: opening a pipe waits for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return error.errno not in (errno.ENOTDIR, errno.ENAMETOOLONG)
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _progress(history: History, pending: Pending) -> Finding:
    left, done = len(pending.to_make), pending.earlier.done
    text = f"Tasks done by earlier runs: {done}, to make: {left}"
    if history.unreadable:
        lost = f"Lines of {history.path} that cannot be read: {history.unreadable}"
        return MANIFEST.warning(sentences(text, *pending.notices(), lost), to_make=left)
    return MANIFEST.ok(sentences(text, *pending.notices()), to_make=left)


def _cost(job: Job, outline: PlanSummary, history: History, pending: Pending) -> Finding:
    cost = None if outline.price_usd is None else pending.cost(outline)
    simulated = is_simulated(job.endpoint)
    kind = " (simulated)" if simulated else ""
    text = f"What is to make costs {usd(cost)}{kind} if each call succeeds at once"
    values = {"cost_usd": None if cost is None else float(cost)}
    budget = job.limits.budget_usd
    if cost is None:
        return COST.warning(sentences(text, "`prices` in the job gives the price"), **values)
    if (short := shortage(job, history, pending, outline)) is not None:
        none = sentences(text, f"Not one image fits: {short}")
        return COST.failed(ExitCode.RESUMABLE, none, **values)
    run_budget, spent = job.limits.run_budget_usd, history.accounts[simulated]
    if run_budget is not None and run_budget < cost:
        each = f"Each run may spend {usd(run_budget)}: it takes several"
        text = sentences(text, each)
    if budget is None:
        return COST.ok(sentences(text, "The job sets no budget for all runs"), **values)
    if spent + cost > budget:
        used = f", of which {usd(spent)} are spent," if spent else ""
        ends = f"The budget of {usd(budget)}{used} ends the run before that"
        raise_it = f"Raise limits.budget_usd to {usd(spent + cost)} to finish"
        return COST.warning(sentences(text, ends, raise_it), **values)
    return COST.ok(sentences(text, f"The budget of {usd(budget)} covers it"), **values)


def _all_named(job: Job) -> Workload:
    """Every task that a job names, for one whose plan does not work out."""
    tasks: Counter[str] = Counter()
    for row in Expansion(job, Complaints()):
        tasks[row.item.model or job.model or ""] += row.item.variants or job.variants
    del tasks[""]  # items without a model are a mistake that is on the list already
    return Workload(tasks=tasks, models=JobModels(job).known(tasks))
