"""The last step before a call: room on the disk, then the attempt line."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from batchgen.attempt import Attempt, Generate, Generation, Sent, Target, served_by
from batchgen.errors import NotStarted, StorageError
from batchgen.output import FILES_BESIDE, Manifest, in_thread
from batchgen.policies.stop import Stop, StopCause
from batchgen.record import AttemptLine, utc_now
from batchgen.text import system_reason

log = logging.getLogger(__name__)

MB = 1_000_000
ROOM_FOR_ONE = 25 * MB
"""Bytes that one call in flight may still write: the largest body that Bedrock sends."""
ROOM_FOR_LINES = 16 * MB


class NoRoom(Exception):
    """The disk may not take what is in flight; its text says what there is none of."""


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
            room, _ = await in_thread(self._look)
        except OSError as error:
            raise self.unknown(error) from error
        return room - ROOM_FOR_LINES - ROOM_FOR_ONE * self.in_flight

    def require(self) -> None:
        """Look whether what is in flight finds its place on the disk; blocks.

        Raises:
            NoRoom: it may not.
            OSError: the disk does not say.
        """
        room, files = self._look()
        if room < ROOM_FOR_LINES + ROOM_FOR_ONE * self.in_flight:
            raise NoRoom("room for another image")
        if files is not None and files < FILES_BESIDE + self.in_flight:
            raise NoRoom("inode left for another image")

    def _look(self) -> tuple[int, int | None]:
        """Bytes and files that the disk takes; None where it does not count files."""
        system = os.statvfs(self._folder)
        return shutil.disk_usage(self._folder).free, system.f_favail if system.f_files else None

    def unknown(self, error: OSError) -> StorageError:
        """What is said of a disk that does not say how much room it has."""
        return StorageError(f"{self._folder} cannot be looked at: {system_reason(error)}")


def with_attempt_log(
    generate: Generate,
    run_id: str,
    manifest: Manifest,
    reserve: DiskReserve,
    stop: Stop,
    target: Target,
) -> Generate:
    """Attempts that are announced in the manifest before they are sent to `target`.

    The line is written, not synced: it survives a kill, and a loss of power is rarer than a sync
    before each call would be dear.
    """

    def require_room() -> None:
        if stop.stopping is not None:
            raise NotStarted("the run is stopping")
        reserve.require()

    async def announce(attempt: Attempt) -> None:
        """Look at the disk and write the line, in one thread: a slow disk stops no loop."""
        sent = attempt.state.sent = Sent(at=utc_now(), target=target, number=attempt.number)
        line = _line(attempt, run_id, sent)
        try:
            await manifest.append(line, durable=False, given=require_room)
        except (NotStarted, NoRoom, OSError) as error:
            attempt.state.sent = None
            if isinstance(error, OSError):
                raise reserve.unknown(error) from error
            if isinstance(error, NoRoom):
                problem = f"The disk of {manifest.path.parent} has no {error}"
                stop.apply(StopCause.DISK, problem=problem, remedy="Free some space and")
                raise NotStarted("the run is stopping") from error
            raise

    async def announce_and_send(attempt: Attempt) -> Generation:
        reserve.in_flight += 1  # before it is asked for: many may ask at once
        try:
            await announce(attempt)
            log.debug(
                "%s: attempt %d goes to %s by %s",
                attempt.task.label,
                attempt.number,
                attempt.call.model_id,
                target.route or target.region,
            )
            return await generate(attempt)
        finally:
            reserve.in_flight -= 1

    return announce_and_send


def _line(attempt: Attempt, run_id: str, sent: Sent) -> AttemptLine:
    call, target = attempt.call, sent.target
    return AttemptLine(
        run_id=run_id,
        task_id=attempt.task.id,
        attempt=attempt.number,
        seed=call.seed,
        price_usd=None if call.price_usd is None else float(call.price_usd),
        maybe_billed=attempt.maybe_billed,
        maybe_billed_usd=float(attempt.maybe_billed_usd),
        route=target.route,
        region=None if target.route is None else target.region,
        served=served_by(attempt.substitute),
        started_at=sent.at,
    )
