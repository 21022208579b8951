"""What the job derives of each finished image, made while its calls go on, a few at a time.

It costs nothing, so nothing that goes wrong here touches an image that was paid for: its record is
written without what could not be made, and the next run tries again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version

from batchgen.errors import StorageError
from batchgen.job import Derivative, Job, Steps
from batchgen.output import (
    BrokenImage,
    Label,
    OutputFolder,
    cores,
    derive,
    in_thread,
    open_regular,
    plain_label,
)
from batchgen.policies import Stop, StopCause
from batchgen.record import DerivedFile, DerivedLine, StoredImage
from batchgen.task import Task
from batchgen.text import escaped, shortened, system_reason

log = logging.getLogger(__name__)

AT_ONCE = max(1, min(2, cores() - 1))
"""Images that are worked on at the same time: each takes a core, and the memory of its pixels."""
COARSE = 0.02
"""Seconds in which the time of a file and that of its record do not tell which was first."""
MOST_TOLD = 10
"""Reasons that one run tells of."""


class Derivatives:
    """Makes what `derive` of a job orders."""

    def __init__(
        self, job: Job, run_id: str, output: OutputFolder, stop: Stop, notify: Callable[[str], None]
    ) -> None:
        """For one run.

        Args:
            job: with what it orders.
            run_id: of the run.
            output: where the images are.
            stop: applied when the disk takes nothing any more.
            notify: told, once for each reason, of what could not be made.
        """
        self._wanted = Steps(job).derived
        self._is_labelled = job.metadata.is_written
        self._run_id = run_id
        self._output = output
        self._stop = stop
        self._notify = notify
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._told: set[str] = set()
        self.made = 0
        """Files."""
        self.unmade = 0
        """Files that could not be made, and images that a stop left without theirs."""

    @property
    def are_ordered(self) -> bool:
        """Whether the job wants any."""
        return any(self._wanted.values())

    async def complete(self, task: Task, image: StoredImage, at: datetime) -> StoredImage:
        """The image of a call with all that is derived of it, as far as that could be made.

        Raises nothing but what cancels it.

        Args:
            task: that it belongs to.
            image: as it is on record, or will be, with its present path.
            at: when it was made.
        """
        return await self._with(self._wanted[task.step], task, image, at)

    async def _with(
        self, orders: Sequence[Derivative], task: Task, image: StoredImage, at: datetime
    ) -> StoredImage:
        if not orders:
            return image
        try:
            async with self._turns:
                return await self._made(orders, task, image, at)
        except StorageError as error:
            self._fail(task, len(orders), str(error))
            self._stop.apply(StopCause.DISK, problem=error, remedy="When it is mended,")
        except Exception as error:  # a fault of ours must not lose the record of what was paid for
            log.debug("not derived", exc_info=error)
            self._fail(task, len(orders), f"{type(error).__name__}: {error}")
        return image

    async def _made(
        self, orders: Sequence[Derivative], task: Task, image: StoredImage, at: datetime
    ) -> StoredImage:
        try:
            data = await in_thread(self._read, image)
        except (BrokenImage, OSError) as error:
            reason = system_reason(error) if isinstance(error, OSError) else str(error)
            self._fail(task, len(orders), reason)
            return image
        made: dict[str, DerivedFile] = {}
        for wanted in orders:
            label = self._label(task, image, at)
            try:
                file, derived = await in_thread(derive, data, image.path, wanted, label)
            except BrokenImage as error:
                self._fail(task, 1, str(error))
                continue
            self._output.require_inside(derived.path)
            await self._output.store.save_derived(derived.path, file)
            made[derived.path] = derived
            self.made += 1
        # What the job no longer orders stays where it is, and on record.
        kept = {each.path: each for each in image.derived}
        return image.model_copy(update={"derived": tuple({**kept, **made}.values())})

    def _read(self, image: StoredImage) -> bytes:
        """The bytes of an image.

        Raises:
            BrokenImage: they are not those on record.
            OSError: they cannot be read.
        """
        path = self._output.require_inside(image.path)
        with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
            data = file.read(image.bytes + 1)
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise BrokenImage("the image is not as its record says; `batchgen verify` tells more")
        return data

    def _label(self, task: Task, image: StoredImage, at: datetime) -> Label | None:
        if not self._is_labelled:
            return None
        received = image.received_sha256 or image.sha256
        return plain_label(f"batchgen {version('batchgen')}", at, received, task.request)

    def _fail(self, task: Task, files: int, problem: str) -> None:
        self.unmade += files
        if problem not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(problem)
            self._notify(
                f"What is derived of {escaped(task.label)} is not whole: "
                f"{escaped(shortened(problem))}. The image itself is kept; the next run tries "
                "again, without a call. Other images with this problem are not named."
            )

    def lacking(self, task: Task) -> Sequence[Derivative]:
        """What is missing, damaged or ordered in another way; blocks.

        A file that was written to after the record of its image is read.
        """
        orders = self._wanted[task.step]
        record = self._output.history.present(task.id) if orders else None
        if record is None or not record.images:
            return ()
        found = {(each.suffix, _sorted(each.settings)): each for each in record.images[0].derived}
        written = record.finished_at.timestamp() + COARSE
        return [
            wanted
            for wanted in orders
            if (each := found.get((wanted.suffix, _sorted(wanted.settings)))) is None
            or not self._is_intact(each, written)
        ]

    def _is_intact(self, derived: DerivedFile, written: float) -> bool:
        path = self._output.require_inside(derived.path)
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != derived.bytes:
                return False
            if found.st_mtime <= written:
                return True
            with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == derived.sha256
        except OSError:
            return False

    async def remake(self, tasks: Iterable[Task]) -> None:
        """Make what is lacking of images of earlier runs, and put that on record.

        Raises:
            StorageError: the manifest did not take a line.
        """
        waiting = iter(tasks)

        async def work() -> None:
            for task in waiting:
                if self._stop.stopping is not None:
                    self.unmade += 1
                else:
                    await self._remake(task)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _remake(self, task: Task) -> None:
        record = await in_thread(self._output.history.present, task.id)
        if record is None or not record.images:
            return
        image = record.images[0]
        orders = await in_thread(self.lacking, task)
        now = await self._with(orders, task, image, record.finished_at)
        if now.derived != image.derived:
            line = DerivedLine(
                run_id=self._run_id, task_id=task.id, path=image.path, derived=now.derived
            )
            await self._output.manifest.append(line)

    def notices(self) -> Iterable[str]:
        """What to tell the user at the end of the run."""
        if self.unmade:
            yield f"Derived files are missing ({self.unmade} or more); the next run makes them."


def _sorted(settings: Mapping[str, str | int]) -> tuple[tuple[str, str | int], ...]:
    return tuple(sorted(settings.items()))
