"""The last step before a call: room on the disk, then the attempt line."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from batchgen.admission import Cause, Stop
from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import AttemptError, NotStarted, StorageError
from batchgen.manifest import Manifest
from batchgen.record import AttemptLine, utc_now

MB = 1_000_000
ROOM_FOR_ONE = 25 * MB
"""Bytes that one call in flight may still write: the largest body that Bedrock sends."""
ROOM_FOR_LINES = 16 * MB
FULL = (
    "The disk of {folder} has no room for another image. "
    "Free some space and run the same command again."
)


class Room:
    """Whether the disk has room for what is in flight."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.in_flight = 0
        """Calls that were sent or are about to be."""

    async def free(self) -> int:
        """Bytes free beyond what the calls in flight may need; negative if too few.

        Raises:
            StorageError: the disk does not say.
        """
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, self._folder)
        except OSError as error:
            raise StorageError(f"{self._folder} cannot be looked at: {error}") from error
        return usage.free - ROOM_FOR_LINES - ROOM_FOR_ONE * self.in_flight


def journaled(
    generate: Generate, run_id: str, manifest: Manifest, room: Room, stop: Stop
) -> Generate:
    """Attempts that are announced in the manifest before they are sent.

    The line is written, not synced: it survives a kill, and a loss of power is rarer than a sync
    before each call would be dear.
    """

    async def announce(attempt: Attempt) -> Generation:
        room.in_flight += 1  # before it is asked for: many may ask at once
        try:
            if await room.free() < 0:
                stop.request(Cause.DISK, FULL.format(folder=manifest.path.parent))
            if stop.stopping is not None:
                raise NotStarted("the run is stopping")
            return await send(attempt)
        finally:
            room.in_flight -= 1

    async def send(attempt: Attempt) -> Generation:
        line = _line(attempt, run_id)
        try:
            await manifest.append(line, durable=False)
            return await generate(attempt)
        except AttemptError as error:
            error.started_at = line.started_at
            raise

    return announce


def _line(attempt: Attempt, run_id: str) -> AttemptLine:
    task = attempt.task
    return AttemptLine(
        run_id=run_id,
        task_id=task.id,
        attempt=attempt.number,
        seed=task.seed,
        cost_usd=None if task.price_usd is None else float(task.price_usd),
        maybe_billed=attempt.maybe_billed,
        started_at=utc_now(),
    )
