"""Which tasks of a plan this run makes: those asked for that the history does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from batchgen import plan
from batchgen.errors import BatchgenError, InputError
from batchgen.job import Job, Steps
from batchgen.output import (
    MANIFEST_NAME,
    History,
    Refresh,
    load_history,
    refuse_lost_manifest,
)
from batchgen.plan import Plan, PlanSummary
from batchgen.record import Reseed, Status, is_simulated
from batchgen.runner.fates import Fate, Fates
from batchgen.runner.pending import Pending, TaskSet
from batchgen.runner.progress import Earlier
from batchgen.task import Task, expanded

ZERO = Decimal(0)
AT_ONCE = 1_000
"""Most tasks that are looked for in the history together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a user asks for beyond the job file."""

    limit: int | None = None
    """Most tasks to make now; None: all."""
    only: Sequence[str] = ()
    """Patterns (`mug-*`) of item ids or labels; none: all. One text is one pattern."""
    fresh: bool = False
    """Make again what the manifest has."""
    reseed: bool = False
    """Make the chosen images with new seeds, now and in all later runs; not with a `limit`."""
    retry_filtered: bool = False
    """Make again what the service's moderation refused."""

    def __post_init__(self) -> None:
        only = (self.only,) if isinstance(self.only, str) else tuple(self.only)
        object.__setattr__(self, "only", only)
        if self.limit is not None and self.limit < 0:
            raise InputError(f"limit cannot be {self.limit}; allowed: a whole number from 0 on.")

    @property
    def begun_with(self) -> str | None:
        """The option that must not be said again to continue: it would begin anew."""
        if self.reseed:
            return "--reseed"
        return "--fresh" if self.fresh else None

    def is_done(self, status: Status | None) -> bool:
        """Whether a task with this last status is left as it is."""
        if self.fresh:
            return False
        return status is Status.SUCCEEDED or (status is Status.FILTERED and not self.retry_filtered)


DEFAULT = Selection()


def reach(whole: Plan, selection: Selection) -> int | None:
    """How many tasks a run with a limit has to look at; None: all there are.

    A data file may be long, so that such a run reads what it needs and starts. The output is read
    without its lock: should another run be at work, this one makes fewer than its limit.
    """
    job = whole.job
    if selection.limit is None or not job.items_from or job.sample is not None:
        return None
    try:
        history = read_output(job, fresh=selection.fresh)
        key = history.random_seed_key or "none yet"
        return select(whole, history, selection, key, until_limit=True).walked
    except BatchgenError:  # whatever it is, the run says it
        return None


def select(
    whole: Plan,
    history: History,
    selection: Selection,
    random_seed_key: str,
    *,
    outline: PlanSummary | None = None,
    until_limit: bool = False,
) -> Pending:
    """Walk the ids of the plan once and mark what is to be made.

    A record counts for the service that made it: a picture of the simulator is none elsewhere.

    Args:
        whole: the tasks.
        history: what earlier runs have made.
        selection: what is asked for.
        random_seed_key: as for `plan.expand`.
        outline: of the check; one of the first tasks alone keeps the walk to these.
        until_limit: end the walk where the limit of the selection is reached.
    """
    most = outline.tasks if outline is not None and outline.is_partial else None
    none = TaskSet(whole, random_seed_key, history.reseeds)
    pending = Pending(to_make=none, succeeded=none.empty_like())
    if outline is not None and _is_plain(history, selection, outline):
        return _all_new(pending, selection, outline)
    marker = _Marker(pending, history, selection, whole.job)
    ahead = 1 if until_limit else AT_ONCE
    for each in _walk(whole, selection, history, random_seed_key, most, ahead):
        if isinstance(each, _Made):
            marker.pass_by(each)
            continue
        marker.mark(each)
        if until_limit and marker.is_full:
            break
    pending.earlier = marker.earlier()
    if outline is not None and outline.is_partial:  # of what was not walked, one open task is told
        pending.elsewhere[outline.models[-1].model_id] += 1
        pending.unknown = 0
    else:
        pending.unknown += len(history)
    return pending


def _is_plain(history: History, selection: Selection, outline: PlanSummary) -> bool:
    """Whether it is known without a walk what is to be made: the first tasks, all of one model."""
    is_new = not (len(history) or history.refreshes or selection.only or outline.steps)
    return is_new and not outline.is_partial and len(outline.models) == 1


def _all_new(pending: Pending, selection: Selection, outline: PlanSummary) -> Pending:
    tasks, model_id = outline.tasks, outline.models[0].model_id
    count = tasks if selection.limit is None else min(tasks, selection.limit)
    if count:
        pending.to_make.add_range(model_id, 0, count)
    if count < tasks:
        pending.elsewhere[model_id] = tasks - count
    pending.walked = tasks
    return pending


class _Walked(NamedTuple):
    """One task of the plan, as little of it as a selection needs."""

    number: int
    """Its running index in the plan."""
    model_id: str
    task_id: str
    task: Task | None
    """None where no pattern has to be looked at."""
    is_asked: bool
    """Whether `only` names it."""


class _Made(NamedTuple):
    """Tasks that are made and follow each other, most of a resume: no more is asked of them."""

    model_id: str
    start: int
    end: int
    """Running index behind the last of them."""


class _NoChains:
    """What a selection asks of the chains of a job that has none."""

    def is_stale(self, walked: _Walked, status: Status | None) -> bool:  # noqa: ARG002  # as `_Chains`
        """Whether a task was made of another image than its parent has by now."""
        return False

    def is_skipped(self, walked: _Walked, status: Status | None) -> bool:  # noqa: ARG002  # as `_Chains`
        """Whether a task was skipped for a parent that was not made, and will not be."""
        return False

    def begin(self, walked: _Walked) -> bool:  # noqa: ARG002  # as `_Chains`
        """It is to be made, and so are those parents that are not; False if one cannot be."""
        return True

    def keep(self, walked: _Walked, status: Status | None) -> None:
        """It is done."""

    def leave(self, walked: _Walked) -> None:
        """It is not made, and not to be made now unless a child is."""


class _Chains(_NoChains):
    """What the chains of a job have to do with a selection, while it walks the plan."""

    def __init__(self, pending: Pending, history: History, job: Job) -> None:
        self._pending = pending
        self._counts_money = job.limits.whole_chains
        self._history = history
        self._fates = pending.fates = Fates()
        self._left: dict[int, Task] = {}
        """Running index -> task that was not asked for and is not made, of the present item and of
        those that others take an image of."""
        self._item = ""
        self._anchors = Steps(job).anchors

    def is_stale(self, walked: _Walked, status: Status | None) -> bool:
        """Whether a task was made of another image than its parent has by now."""
        task, offset = walked.task, self._history.offset(walked.task_id)
        if task is None or status is not Status.SUCCEEDED:
            return False
        for name, number in task.parents.items():
            if self._fates.of(number) is Fate.MADE and self._fates.offset(number) > offset:
                parent = self._history.record_at(self._fates.offset(number))
                own = self._history.record_at(offset)
                if parent is None or own is None or not parent.images:
                    continue
                was = own.request.get(name)
                if isinstance(was, dict) and was.get("sha256") != parent.images[0].sha256:
                    return True
        return False

    def keep(self, walked: _Walked, status: Status | None) -> None:
        """It is done."""
        fate = Fate.MADE if status is Status.SUCCEEDED else Fate.UNMADE
        if fate is Fate.MADE and walked.is_asked and walked.task is not None:
            self._pending.steps_made[walked.task.step or "", walked.model_id] += 1
        self._fates.note(walked.number, fate, self._history.offset(walked.task_id))

    def is_skipped(self, walked: _Walked, status: Status | None) -> bool:
        """Whether a parent was not made, and will not be."""
        if walked.task is None or status is not Status.SKIPPED:
            return False
        return Fate.UNMADE in self._fates.of_parents(walked.task)

    def leave(self, walked: _Walked) -> None:
        """It is not made, and not to be made now unless a child is."""
        self._fates.note(walked.number, Fate.OPEN)
        task = walked.task
        if task is None:
            return
        if task.item_id != self._item:
            self._item = task.item_id
            left = self._left.items()
            self._left = {number: each for number, each in left if each.item_id in self._anchors}
        self._left[task.number] = task

    def begin(self, walked: _Walked) -> bool:
        """It is to be made, and so are those parents that are not; False if one cannot be."""
        task = walked.task
        if task is None:
            return False
        needed = self._needed(task)
        if needed is None:
            return False
        for each in needed:
            self._pending.to_make.add(each.model_id, each.number)
            self._pending.elsewhere[each.model_id] -= 1
        for each in (*needed, task):
            self._fates.note(each.number, Fate.PENDING)
            self._pending.steps[each.step or "", each.model_id] += 1
            if self._counts_money:
                self._fates.add_price(each.chain, each.price_usd or ZERO)
        return True

    def _needed(self, task: Task) -> list[Task] | None:
        """The open tasks that it takes its images from; None if one is out of reach."""
        found: list[Task] = []
        for number in task.parents.values():
            if self._fates.of(number) is not Fate.OPEN:
                continue
            parent = self._left.get(number)
            above = None if parent is None else self._needed(parent)
            if parent is None or above is None:
                return None
            found += [*above, parent]
        return found


class _Marker:
    """Marks task by task what is to be made, what is done, and what is left to other runs."""

    def __init__(self, pending: Pending, history: History, selection: Selection, job: Job) -> None:
        self._pending = pending
        self._history = history
        self._selection = selection
        self._chains = _Chains(pending, history, job) if job.steps else _NoChains()
        self._refreshing = [_Refreshing(each) for each in history.refreshes]
        self._is_simulated = is_simulated(job.endpoint)
        self._filtered = self._skipped = 0

    @property
    def is_full(self) -> bool:
        """Whether as many tasks are to be made as the selection allows."""
        limit = self._selection.limit
        return limit is not None and len(self._pending.to_make) >= limit

    def mark(self, each: _Walked) -> None:
        """Say of the next task of the walk what becomes of it."""
        pending, chains = self._pending, self._chains
        pending.walked = max(pending.walked, each.number + 1)
        status, was_simulated = self._history.latest(each.task_id)
        pending.unknown -= status is not None
        is_foreign = status is not None and was_simulated != self._is_simulated
        to_refresh = sum(one.takes(each, self._history) for one in self._refreshing) > 0
        is_kept = not (is_foreign or to_refresh or chains.is_stale(each, status))
        if is_kept and (self._selection if each.is_asked else DEFAULT).is_done(status):
            self._note_done(each, status)
        elif is_kept and chains.is_skipped(each, status):
            self._skipped += each.is_asked
            chains.keep(each, status)
        elif each.is_asked and not self.is_full and chains.begin(each):
            pending.to_make.add(each.model_id, each.number)
            pending.again += status is not None
            pending.simulated += is_foreign and status is Status.SUCCEEDED
            pending.refreshed += to_refresh
        else:
            is_done = is_kept and DEFAULT.is_done(status)
            pending.elsewhere[each.model_id] += not is_done
            chains.leave(each)

    def pass_by(self, made: _Made) -> None:
        """Say of the next tasks of the walk that they are done."""
        self._pending.succeeded.add_range(*made)
        self._pending.unknown -= made.end - made.start
        self._pending.walked = made.end

    def _note_done(self, each: _Walked, status: Status | None) -> None:
        if each.is_asked and status is Status.SUCCEEDED:
            self._pending.succeeded.add(each.model_id, each.number)
        self._filtered += each.is_asked and status is Status.FILTERED
        self._chains.keep(each, status)

    def earlier(self) -> Earlier:
        """What earlier runs have done of all that was marked."""
        made = len(self._pending.succeeded)
        return Earlier(succeeded=made, filtered=self._filtered, skipped=self._skipped)


class _Refreshing:
    """Which tasks an earlier run with `fresh` chose and did not come to."""

    def __init__(self, refresh: Refresh) -> None:
        self._refresh = refresh
        self._left = refresh.limit

    def takes(self, walked: _Walked, history: History) -> bool:
        """Whether this task is still to be made again; asked once for each, in the plan's order."""
        if walked.task is not None and not plan.matches(walked.task, self._refresh.only):
            return False
        if self._left is not None:
            if self._left == 0:
                return False
            self._left -= 1
        return 0 <= history.offset(walked.task_id) < self._refresh.start


def _walk(
    whole: Plan,
    selection: Selection,
    history: History,
    key: str,
    most: int | None,
    ahead: int,
) -> Iterator[_Walked | _Made]:
    """The first tasks of the plan, at most so many, parents before their children.

    Args:
        ahead: tasks that may be read before the first of them is given.
    """
    reseeds = history.reseeds
    if whole.job.steps or selection.only or any(each.only for each in history.refreshes):
        tasks = enumerate(islice(whole.expand(random_seed_key=key, reseeds=reseeds), most))
        for index, task in _parents_first(tasks, whole.job):
            is_asked = plan.matches(task, selection.only)
            yield _Walked(index, task.model_id, task.id, task, is_asked)
        return
    if not len(history):
        for number, model_id in enumerate(islice(whole.models(), most)):
            yield _Walked(number, model_id, "", None, is_asked=True)
        return
    # Without patterns the ids are enough, and they cost a fraction of the tasks.
    groups = _in_groups(whole.compact_ids(random_seed_key=key, reseeds=reseeds), most, ahead)
    simulated = is_simulated(whole.job.endpoint)
    counts = not (selection.fresh or history.refreshes)
    for start, model_id, ids in groups:
        made = history.made_by(ids, simulated=simulated) if counts else [False] * len(ids)
        yield from _runs(start, model_id, ids, made)


def _in_groups(
    ids: Iterable[tuple[str, Iterable[bytes]]], most: int | None, size: int
) -> Iterator[tuple[int, str, Sequence[bytes]]]:
    """The first tasks in groups of one model: running index of the first, model, compact ids."""
    start = 0
    for model_id, of_model in groupby(ids, itemgetter(0)):
        left = chain.from_iterable(map(itemgetter(1), of_model))
        while some := tuple(islice(left, size if most is None else min(size, most - start))):
            yield start, model_id, some
            start += len(some)
            if start == most:  # what is behind the last of them is not read
                return


def _runs(
    start: int, model_id: str, ids: Sequence[bytes], made: Iterable[bool]
) -> Iterator[_Walked | _Made]:
    """The tasks of a group, those that are made together."""
    at = 0
    for is_made, run in groupby(made):
        begin, at = at, at + len(tuple(run))
        if is_made:
            yield _Made(model_id, start + begin, start + at)
            continue
        for number in range(begin, at):
            yield _Walked(start + number, model_id, expanded(ids[number]), None, is_asked=True)


def _parents_first(tasks: Iterator[tuple[int, Task]], job: Job) -> Iterator[tuple[int, Task]]:
    """The tasks of a plan, those of its anchors step by step: one may take an image of another."""
    steps = Steps(job)
    if not steps.anchors:
        yield from tasks
        return
    places = {step.id: place for place, (_, step) in enumerate(steps.order)}
    anchors: list[tuple[int, Task]] = []
    others: list[tuple[int, Task]] = []
    for each in tasks:
        if each[1].item_id not in steps.anchors:
            others.append(each)
            break
        anchors.append(each)
    yield from sorted(anchors, key=lambda each: places[each[1].step or ""])
    yield from chain(others, tasks)


def read_output(job: Job, *, fresh: bool = False) -> History:
    """What earlier runs left in a job's output, refused as a run would refuse it; blocks.

    Raises:
        ManifestError: it cannot be read, is lost, or is of another job or service.
    """
    folder = Path(job.output)
    if not fresh:
        refuse_lost_manifest(folder)
    history = load_history(folder / MANIFEST_NAME)
    history.require_job(job.name)
    history.require_service(job.endpoint)
    return history


def reseed(history: History, selection: Selection, key: str) -> None:
    """Give the chosen images new seeds, if the selection says so.

    Raises:
        InputError: the choice would be another one in the next run.
    """
    if not selection.reseed:
        return
    if selection.limit is not None:
        raise InputError(
            "--reseed and --limit do not go together: which images have new seeds must be the same "
            "in all later runs. Name them with --only."
        )
    history.reseeds = (*history.reseeds, Reseed(key=key, only=tuple(selection.only)))
