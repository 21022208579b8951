import asyncio
import errno
import logging
import os
from decimal import Decimal

import pytest
from fakes import ERRORS, Books, make_generation, make_task

from batchgen.attempt import Failed, Succeeded
from batchgen.errors import ModelDenied, NotStarted, Rejected, StorageError
from batchgen.policies.stop import StopCause
from batchgen.runner.worker import working


@pytest.fixture
async def books(tmp_path):
    made = Books(tmp_path)
    yield made
    made.manifest.close()


def making(outcome):
    """All attempts at a task come to this."""

    async def make(task):
        if isinstance(outcome, BaseException):
            raise outcome
        kind = Succeeded if "generation" in outcome else Failed
        return kind(task=task, attempts=1, maybe_billed=0, maybe_billed_usd=Decimal(0), **outcome)

    return make


async def work(books, outcome, task=None):
    """Work on one task whose attempts come to this."""
    await working(making(outcome), books.recorder, books.stop)(task or make_task())


class TestWork:
    @pytest.mark.parametrize(
        ("outcome", "status"),
        [({"generation": make_generation()}, "succeeded"), ({"error": ERRORS[Rejected]}, "failed")],
    )
    async def test_an_outcome_becomes_a_record(self, books, outcome, status):
        """What became of the task stands in the manifest."""
        task = make_task()
        await work(books, outcome, task)
        (line,) = books.lines()
        assert (line["kind"], line["task_id"], line["status"]) == ("record", task.id, status)

    async def test_a_task_that_was_not_started_stays_open(self, books):
        """No record, and the run is not stopped by it."""
        await work(books, NotStarted("stop"))
        assert books.lines() == []
        assert books.stop.stopping is None

    async def test_a_broken_disk_stops_the_run(self, books):
        """Saved is what can be; no further task starts."""
        await work(books, StorageError("images/mug.png could not be written"))
        assert books.lines() == []
        assert books.stop.stopping.cause is StopCause.DISK
        assert books.stop.stopping.text == (
            "images/mug.png could not be written. When it is mended, run the same command again."
        )

    async def test_a_manifest_that_cannot_be_written_stops_the_run(self, books, monkeypatch):
        """The record was lost, the image is there: the next run adopts it."""

        def refuse(_):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", refuse)
        await work(books, {"generation": make_generation()})
        assert books.stop.stopping.cause is StopCause.DISK
        assert "Input/output error" in books.stop.stopping.text
        assert books.listener.records == []

    async def test_a_fault_of_ours_is_this_tasks_alone(self, books, caplog):
        """A bug is recorded as the task's failure and logged with its traceback."""
        task = make_task()
        with caplog.at_level(logging.ERROR):
            await work(books, LookupError("a bug"), task)
        (line,) = books.lines()
        assert line["error"] == {
            "type": "BatchgenFault",
            "code": "Internal",
            "message": "LookupError: a bug",
            "retryable": False,
        }
        assert (line["status"], line["attempts"], line["maybe_billed"]) == ("failed", 1, 1)
        assert books.stop.stopping is None
        assert task.label in caplog.text
        assert "LookupError: a bug" in caplog.text

    async def test_a_fault_in_recording_is_logged_and_borne(self, books, caplog):
        """Nothing leaves: an exception here would cancel the paid calls of all the others."""

        def break_down(_):
            raise LookupError("a bug")

        books.listener.record = break_down
        with caplog.at_level(logging.ERROR):
            await work(books, {"generation": make_generation()})
        assert "a fault in batchgen itself, in recording task" in caplog.text
        assert books.stop.stopping is None

    async def test_the_tasks_of_a_denied_model_are_left(self, books):
        """After three denials no task of that model is even tried."""
        made = []

        async def make(task):
            made.append(task)
            books.health.denied(task.model_id, ERRORS[ModelDenied])
            error = ERRORS[ModelDenied]
            return Failed(
                task=task, attempts=1, maybe_billed=0, maybe_billed_usd=Decimal(0), error=error
            )

        each = working(make, books.recorder, books.stop)
        for _ in range(5):
            await each(make_task())
        assert len(made) == len(books.lines()) == 3

    async def test_a_cancelled_task_is_cancelled(self, books):
        """Cancellation passes."""
        with pytest.raises(asyncio.CancelledError):
            await work(books, asyncio.CancelledError())
        assert books.lines() == []
