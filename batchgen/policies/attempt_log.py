"""The last step before a call: room on the disk, then the attempt line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from batchgen.attempt import Attempt, Generate, Generation, served_by
from batchgen.errors import AttemptError, NotStarted, StorageError, Target
from batchgen.output import Manifest, in_thread
from batchgen.policies.stop import Stop, StopCause
from batchgen.record import AttemptLine, utc_now
from batchgen.text import system_reason

MB = 1_000_000
ROOM_FOR_ONE = 25 * MB
"""Bytes that one call in flight may still write: the largest body that Bedrock sends."""
ROOM_FOR_LINES = 16 * MB
FULL = (
    "The disk of {folder} has no room for another image. "
    "Free some space and run the same command again."
)


class DiskReserve:
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
            usage = await in_thread(shutil.disk_usage, self._folder)
        except OSError as error:
            raise StorageError(
                f"{self._folder} cannot be looked at: {system_reason(error)}"
            ) from error
        return usage.free - ROOM_FOR_LINES - ROOM_FOR_ONE * self.in_flight


def with_attempt_log(
    generate: Generate,
    run_id: str,
    manifest: Manifest,
    room: DiskReserve,
    stop: Stop,
    place: Target,
) -> Generate:
    """Attempts that are announced in the manifest before they are sent to `place`.

    The line is written, not synced: it survives a kill, and a loss of power is rarer than a sync
    before each call would be dear.
    """

    async def announce(attempt: Attempt) -> Generation:
        room.in_flight += 1  # before it is asked for: many may ask at once
        try:
            if await room.free() < 0:
                stop.request(StopCause.DISK, FULL.format(folder=manifest.path.parent))
            if stop.stopping is not None:
                raise NotStarted("the run is stopping")
            return await send(attempt)
        finally:
            room.in_flight -= 1

    async def send(attempt: Attempt) -> Generation:
        line = _line(attempt, run_id, place)
        attempt.course.sent = True
        try:
            await manifest.append(line, durable=False)
            return replace(await generate(attempt), place=place)
        except AttemptError as error:
            error.started_at = line.started_at
            error.place = place
            raise

    return announce


def _line(attempt: Attempt, run_id: str, place: Target) -> AttemptLine:
    call, maybe_usd = attempt.call, attempt.maybe_billed_usd
    return AttemptLine(
        run_id=run_id,
        task_id=attempt.task.id,
        attempt=attempt.number,
        seed=call.seed,
        cost_usd=None if call.price_usd is None else float(call.price_usd),
        maybe_billed=attempt.maybe_billed,
        maybe_billed_usd=None if maybe_usd is None else float(maybe_usd),
        route=place.route,
        region=None if place.route is None else place.region,
        served=served_by(attempt.substitute),
        started_at=utc_now(),
    )
