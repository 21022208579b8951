"""Images that a killed run left without a record: complete ones were paid for and are adopted.

Can itself be killed at any point and run again: a file keeps its temporary name until its record is
durable, and nothing is removed but a file that holds no whole image.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath

from batchgen.errors import StorageError
from batchgen.models import Artifact, StepImage
from batchgen.output import (
    ATTEMPT,
    MANIFEST_NAME,
    RUN,
    TASK_ID,
    BrokenImage,
    Inspected,
    Leftover,
    OutputFolder,
    in_thread,
    inspect_stored,
    open_manifest,
    open_regular,
    parse_line,
)
from batchgen.plan import Plan
from batchgen.record import EXTENSIONS, AttemptLine, Record, RunLine, Status, is_simulated
from batchgen.runner.recorder import RunIdentity, adopted_record
from batchgen.task import Task
from batchgen.text import system_reason

NOT_A_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENOENT)
"""What `open_regular` says of a path where no regular file is."""
COARSE = timedelta(seconds=2)
"""What the time of a file may lag behind the clock: file systems keep it in steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What recovery found."""

    records: tuple[Record, ...]
    orphans: tuple[str, ...]
    """Complete images of tasks that the job no longer has, by path; they stay where they are."""
    uncounted_usd: Decimal = Decimal(0)
    """Price of images whose attempt line is gone, as a loss of power may take it."""

    def notices(self, folder: Path) -> Iterator[str]:
        """What a person should know of the orphans."""
        for path in self.orphans:
            yield (
                f"{folder / path} is a complete image of a task that the job no longer has; "
                "it stays there."
            )


async def recover(
    whole: Plan, output: OutputFolder, origin: RunIdentity, random_seed_key: str
) -> Recovered:
    """Give every complete image of a killed run its name and its record, and drop broken files.

    Raises:
        StorageError: the disk did not take a name or a line.
    """
    leftovers = await in_thread(lambda: list(output.leftovers()))
    ids = {leftover.task_id for leftover in leftovers} | set(output.history.unanswered)
    if not ids:
        return Recovered(records=(), orphans=())
    tasks = await in_thread(_tasks, whole, output, random_seed_key, ids)
    calls = await in_thread(_read_calls, output.folder / MANIFEST_NAME, ids, origin)
    leftovers += await in_thread(_named_only, output, tasks, leftovers, calls.announced)
    is_simulated_now = is_simulated(origin.endpoint)
    records: list[Record] = []
    orphans: list[str] = []
    for leftover in (_at_its_path(each, tasks) for each in leftovers):
        if calls.is_simulated(leftover.task_id) != is_simulated_now:
            if is_simulated_now:
                raise output.history.of_another_service(origin.endpoint)
            continue  # a picture of the simulator is none
        found = await in_thread(_read, output.folder / leftover.part)
        if found is None or _is_recorded(output, leftover):
            await in_thread(_drop, output.folder / leftover.part)
        elif leftover.task_id not in tasks:
            orphans.append(leftover.part)
        else:
            task = tasks[leftover.task_id]
            line = calls.announced.get(task.id)
            records.append(await _adopt(output, leftover, task, found, origin, line))
    uncounted = (
        tasks[record.task_id].price_usd or Decimal(0)
        for record in records
        if record.task_id not in calls.announced
    )
    return Recovered(
        records=tuple(records),
        orphans=tuple(orphans),
        uncounted_usd=sum(uncounted, Decimal(0)),
    )


async def recover_named(output: OutputFolder, task: Task, origin: RunIdentity) -> bool:
    """Record the whole image that lies under a task's name; False if there is none.

    Raises:
        StorageError: the disk did not take the line.
    """
    for extension in EXTENSIONS.values():
        path = f"{task.file_stem}.{extension}"
        found = await in_thread(_read, output.require_inside(path))
        if found is not None:
            leftover = Leftover(part=path, path=path, task_id=task.id)
            await _adopt(output, leftover, task, found, origin, None)
            return True
    return False


async def _adopt(
    output: OutputFolder,
    leftover: Leftover,
    task: Task,
    found: tuple[bytes, Inspected],
    origin: RunIdentity,
    announced: AttemptLine | None,
) -> Record:
    data, inspected = found
    task = _with_parents(task, output)
    try:
        if await in_thread(_same_file, output.folder, leftover.part, leftover.path):
            await output.store.sync_folder(Path(leftover.path).parent)
        else:
            await output.store.place(leftover.part, leftover.path)
    except OSError as error:
        text = (
            f"{output.folder / leftover.path} could not be given its name: {system_reason(error)}"
        )
        raise StorageError(text) from error
    artifact = Artifact(data=data, seed=None, finish_reason=None)
    image = output.store.describe(leftover.path, artifact, inspected)
    attempts = output.history.unanswered.get(task.id, 1)
    record = adopted_record(task, image, attempts, origin, announced)
    await output.manifest.append(record)
    output.own(record)
    if leftover.part != leftover.path:
        await output.store.drop(leftover.part)
    return record


def _with_parents(task: Task, output: OutputFolder) -> Task:
    """The task with the images of its parents, whose records came before its call."""
    request = dict(task.request)
    for name in task.parents:
        parent = output.history.record(request[name]["task"])
        if parent is not None and parent.images:
            image = parent.images[0]
            request[name] = StepImage(task=parent.task_id, path=image.path, sha256=image.sha256)
    return replace(task, request=request)


def _at_its_path(leftover: Leftover, tasks: Mapping[str, Task]) -> Leftover:
    """A spooled image lies apart from the folder that it was meant for, which its task names."""
    task = tasks.get(leftover.task_id)
    if not leftover.is_spooled or task is None:
        return leftover
    return replace(leftover, path=(PurePosixPath(task.file_stem).parent / leftover.path).as_posix())


def _tasks(
    whole: Plan, output: OutputFolder, random_seed_key: str, ids: Collection[str]
) -> dict[str, Task]:
    """The tasks of the plan that have these ids; stops when all are found."""
    found: dict[str, Task] = {}
    reseeds = output.history.reseeds
    for task in whole.expand(random_seed_key=random_seed_key, reseeds=reseeds):
        if task.id in ids:
            found[task.id] = task
            if len(found) == len(ids):
                break
    return found


@dataclass(slots=True, kw_only=True)
class _Calls:
    """What the manifest says of the calls that some tasks came to."""

    announced: dict[str, AttemptLine] = field(default_factory=dict)
    """Task id -> what announced its last attempt."""
    simulated: dict[str, bool] = field(default_factory=dict)
    """Task id -> whether that went to a simulator."""
    last_simulated: bool
    """Whether the last run before this one went there: for images whose line is gone."""

    def is_simulated(self, task_id: str) -> bool:
        """Whether a simulator made the image of a task."""
        return self.simulated.get(task_id, self.last_simulated)


def _read_calls(manifest: Path, ids: Collection[str], origin: RunIdentity) -> _Calls:
    """The last attempt at each of these tasks before this run."""
    calls = _Calls(last_simulated=is_simulated(origin.endpoint))
    with open_manifest(manifest) as file:
        for data in file:
            if data.startswith(ATTEMPT) and _task_id(data) in ids:
                line = parse_line(data)  # few of a million: the others are not worth it
                if isinstance(line, AttemptLine):
                    calls.announced[line.task_id] = line
                    calls.simulated[line.task_id] = calls.last_simulated
            elif data.startswith(RUN):
                line = parse_line(data)
                if isinstance(line, RunLine) and line.run_id != origin.run_id:
                    calls.last_simulated = is_simulated(line.endpoint)
    return calls


def _task_id(data: bytes) -> str:
    return data.partition(TASK_ID)[2].partition(b'"')[0].decode(errors="replace")


def _named_only(
    output: OutputFolder,
    tasks: dict[str, Task],
    leftovers: Collection[Leftover],
    announced: dict[str, AttemptLine],
) -> list[Leftover]:
    """Images that have their name but no record: a file system without hard links leaves those.

    A file that was there before the attempt is somebody else's, and so is one that a temporary
    name says to be another task's: names may have changed since the run was killed.
    """
    by_part = {leftover.task_id for leftover in leftovers}
    theirs = {leftover.path for leftover in leftovers}
    named = [
        Leftover(part=path, path=path, task_id=task_id)
        for task_id in output.history.unanswered
        if task_id in tasks and task_id not in by_part
        for extension in EXTENSIONS.values()
        if (path := f"{tasks[task_id].file_stem}.{extension}") not in theirs
        and _is_made_since(output.folder / path, announced[task_id].started_at)
    ]
    owned = output.owners() if named else {}
    return [each for each in named if each.path not in owned]


def _is_made_since(path: Path, start: datetime) -> bool:
    """Whether a whole image was written here after an attempt began."""
    try:
        written = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except OSError:
        return False
    return written + COARSE >= start and _read(path) is not None


def _is_recorded(output: OutputFolder, leftover: Leftover) -> bool:
    """Whether the record came through and only the temporary name was left to remove."""
    record = output.history.record(leftover.task_id)
    return (
        record is not None
        and record.status is Status.SUCCEEDED
        and any(image.path == leftover.path for image in record.images)
        and _same_file(output.folder, leftover.part, leftover.path)
        and leftover.part != leftover.path
    )


def _same_file(folder: Path, first: str, second: str) -> bool:
    try:
        return (folder / first).samefile(folder / second)
    except OSError:
        return False


def _read(path: Path) -> tuple[bytes, Inspected] | None:
    """The bytes of a whole image, synced; None for anything else, a link too.

    Whoever wrote it may have been killed before the sync, and a record must not come first.

    Raises:
        StorageError: the disk did not give them, which does not say that they are broken.
    """
    try:
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            data = file.read()
            inspected = inspect_stored(data)
            os.fsync(file.fileno())
            return data, inspected
    except BrokenImage:
        return None
    except OSError as error:
        if error.errno in NOT_A_FILE:
            return None
        raise StorageError(f"{path} could not be read: {system_reason(error)}") from error


def _drop(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path} could not be removed: {system_reason(error)}") from error
