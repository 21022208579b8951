import asyncio
import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from fakes import ERRORS, Books, make_attempt, make_generation, make_task, until

from batchgen.attempt import Target
from batchgen.errors import AnswerLost, NotStarted, StorageError, Throttled
from batchgen.policies.attempt_log import (
    ROOM_FOR_LINES,
    ROOM_FOR_ONE,
    DiskReserve,
    with_attempt_log,
)
from batchgen.policies.stop import StopCause


@pytest.fixture
async def books(tmp_path):
    made = Books(tmp_path)
    yield made
    made.manifest.close()


class Calls:
    """Calls under the journal: each notes what the manifest held when it was sent."""

    def __init__(self, books):
        self.books = books
        self.reserve = DiskReserve(books.folder)
        self.outcome = make_generation()
        self.seen = []
        self.in_flight = []
        self.gate = None
        self.generate = with_attempt_log(
            self.send, "run-1", books.manifest, self.reserve, books.stop, Target(region="us-west-2")
        )

    async def send(self, attempt):
        self.seen.append((attempt, self.books.lines()))
        self.in_flight.append(self.reserve.in_flight)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def calls(books):
    return Calls(books)


@pytest.fixture
def free(monkeypatch):
    """Sets what the disk says it has left."""

    def set_free(size):
        def usage(_):
            if isinstance(size, BaseException):
                raise size
            return SimpleNamespace(free=size)

        monkeypatch.setattr(shutil, "disk_usage", usage)

    return set_free


class TestAnnounce:
    async def test_the_line_is_there_before_the_call_is_sent(self, calls):
        """After a kill the manifest tells which calls may have been paid for."""
        task = make_task()
        generation = await calls.generate(make_attempt(task, 3))
        assert generation == make_generation()
        ((_, lines),) = calls.seen
        assert [{**line, "started_at": "now"} for line in lines] == [
            {
                "kind": "attempt",
                "run_id": "run-1",
                "task_id": task.id,
                "attempt": 3,
                "seed": task.seed,
                "price_usd": 0.04,
                "maybe_billed": 0,
                "maybe_billed_usd": 0,
                "started_at": "now",
            }
        ]

    async def test_an_unknown_price_is_null(self, calls):
        """Nobody knows it, and the line says so."""
        await calls.generate(make_attempt(make_task(price_usd=None)))
        assert calls.books.lines()[0]["price_usd"] is None

    async def test_it_costs_no_sync(self, calls, monkeypatch):
        """The line survives a kill without one."""
        monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("synced"))
        await calls.generate(make_attempt())

    async def test_every_attempt_has_its_line(self, calls):
        """Two attempts at one task are two lines."""
        task = make_task()
        for number in (1, 2):
            await calls.generate(make_attempt(task, number))
        assert [line["attempt"] for line in calls.books.lines()] == [1, 2]

    @pytest.mark.parametrize("kind", [Throttled, AnswerLost])
    async def test_a_failure_is_known_by_when_and_where_it_was_sent(self, calls, kind):
        """The record of a failed task says when its last attempt started."""
        calls.outcome, attempt = ERRORS[kind], make_attempt()
        with pytest.raises(kind):
            await calls.generate(attempt)
        sent, written = attempt.state.sent, calls.books.lines()[0]["started_at"]
        assert sent.at.isoformat(timespec="milliseconds") == written.replace("Z", "+00:00")
        assert sent.target == Target(region="us-west-2")

    async def test_a_manifest_that_cannot_be_written_stops_the_call(self, calls, monkeypatch):
        """Without its line no call is sent."""

        def refuse(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        write = os.write
        monkeypatch.setattr(
            os, "write", lambda fd, data: refuse() if b"attempt" in bytes(data) else write(fd, data)
        )
        with pytest.raises(StorageError):
            await calls.generate(make_attempt())
        assert calls.seen == []


class TestRoom:
    async def test_without_room_the_run_stops(self, calls, free):
        """No call whose image has no place: nothing is sent, nothing written, and why is said."""
        free(ROOM_FOR_ONE + ROOM_FOR_LINES - 1)
        with pytest.raises(NotStarted, match="the run is stopping"):
            await calls.generate(make_attempt())
        assert (calls.seen, calls.books.lines()) == ([], [])
        stopping = calls.books.stop.stopping
        assert stopping.cause is StopCause.DISK
        assert stopping.text == (
            f"The disk of {calls.books.folder} has no room for another image. "
            "Free some space and run the same command again."
        )

    async def test_room_for_one_is_enough_for_one(self, calls, free):
        """25 MB for the largest reply and 16 MB for lines."""
        assert (ROOM_FOR_ONE, ROOM_FOR_LINES) == (25_000_000, 16_000_000)
        free(ROOM_FOR_ONE + ROOM_FOR_LINES)
        await calls.generate(make_attempt())
        assert calls.books.stop.stopping is None

    @pytest.mark.parametrize(("room_for", "sent"), [(3, 3), (2, 0)])
    async def test_many_at_once_need_room_for_all(self, calls, free, room_for, sent):
        """Calls that start together do not each take the last place for themselves."""
        free(room_for * ROOM_FOR_ONE + ROOM_FOR_LINES)
        results = await asyncio.gather(
            *(calls.generate(make_attempt()) for _ in range(3)), return_exceptions=True
        )
        made = make_generation()
        assert results.count(made) == len(calls.seen) == sent

    async def test_calls_in_flight_keep_their_room(self, calls, free):
        """One more is started only beside what those in flight may still write."""
        free(2 * ROOM_FOR_ONE + ROOM_FOR_LINES)
        calls.gate = asyncio.Event()
        first = [asyncio.create_task(calls.generate(make_attempt())) for _ in range(2)]
        await until(lambda: len(calls.seen) == 2)
        with pytest.raises(NotStarted):
            await calls.generate(make_attempt())
        calls.gate.set()
        await asyncio.gather(*first)

    @pytest.mark.parametrize("outcome", [make_generation(), ERRORS[Throttled], ValueError("bug")])
    async def test_a_call_that_ended_needs_no_room(self, calls, outcome):
        """However it ended, its place is free."""
        calls.outcome = outcome
        await asyncio.gather(calls.generate(make_attempt()), return_exceptions=True)
        assert calls.in_flight == [1]
        assert calls.reserve.in_flight == 0

    async def test_a_disk_that_does_not_say_is_broken(self, calls, free):
        """A folder that went away is a fault of the disk, not of each task."""
        free(OSError(errno.ESTALE, "Stale file handle"))
        with pytest.raises(StorageError, match=r"cannot be looked at: .*Stale file handle"):
            await calls.generate(make_attempt())
        assert calls.reserve.in_flight == 0

    @pytest.mark.parametrize(("files", "sent"), [(17, 1), (16, 0)])
    async def test_a_disk_runs_out_of_files_too(self, calls, monkeypatch, files, sent):
        """Many small files leave bytes and no inode; the run stops before a call, not after it."""
        left = list(os.statvfs("/"))
        left[5:8] = [100_000, files, files]  # f_files, f_ffree, f_favail
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(left))

        await asyncio.gather(calls.generate(make_attempt()), return_exceptions=True)

        assert len(calls.seen) == sent
        stopping = calls.books.stop.stopping
        assert (stopping is None) == bool(sent)
        assert sent or "has no inode left for another image" in stopping.text

    async def test_the_real_disk_is_asked(self, books):
        """The free space of the output's own file system counts."""
        usage = shutil.disk_usage(books.folder)
        reserve = DiskReserve(books.folder)
        reserve.in_flight = 2
        needed = ROOM_FOR_LINES + 2 * ROOM_FOR_ONE
        assert await reserve.free() == pytest.approx(usage.free - needed, abs=2e9)


class TestStopping:
    async def test_nothing_is_sent_while_the_run_stops(self, calls):
        """Who comes after the stop leaves no line and makes no call."""
        calls.books.stop.request(StopCause.INTERRUPTED, "INT")
        with pytest.raises(NotStarted):
            await calls.generate(make_attempt())
        assert (calls.seen, calls.books.lines()) == ([], [])
        assert calls.reserve.in_flight == 0

    async def test_a_call_that_was_sent_is_finished(self, calls):
        """A stop does not touch what is in flight."""
        calls.gate = asyncio.Event()
        calling = asyncio.create_task(calls.generate(make_attempt()))
        await until(lambda: calls.seen)
        calls.books.stop.request(StopCause.INTERRUPTED, "INT")
        calls.gate.set()
        assert await calling == make_generation()
        assert json.dumps(calls.books.lines())
