"""What earlier runs left in a manifest, small enough to hold for a million tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchgen.errors import ManifestError
from batchgen.manifest import parse_line, parse_object, refuse_later_format
from batchgen.record import Record, Status

ZERO = Decimal(0)
FINISHED = (0, 1)
"""Exit codes of a run that had nothing left to start."""


@dataclass(slots=True)
class _OpenAttempts:
    """Attempt lines of one task that no record has answered yet."""

    count: int = 0
    cost: Decimal = ZERO


@dataclass(slots=True)
class History:
    """The latest record of each task, and what was spent since the last run that finished."""

    path: Path
    statuses: dict[str, Status] = field(default_factory=dict)
    """Task id -> status of its last record."""
    offsets: dict[str, int] = field(default_factory=dict)
    """Task id -> where its last record starts in the file."""
    moved: dict[str, str] = field(default_factory=dict)
    """Task id -> where its file went after its last record."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Task id -> attempts without a record of a run that did not end: maybe paid."""
    job_name: str | None = None
    random_seed_key: str | None = None
    spent: Decimal = ZERO
    """USD billed or maybe billed since the last run that finished."""
    unreadable: int = 0
    """Lines that were damaged; one that a crash cut off at the end of a run is not counted."""

    def record(self, task_id: str) -> Record | None:
        """The last record of a task as it was written; `moved` says where its file went since."""
        offset = self.offsets.get(task_id)
        if offset is None:
            return None
        with self.path.open("rb") as file:
            file.seek(offset)
            line = parse_line(file.readline())
        return line if isinstance(line, Record) else None


def load(path: Path) -> History:
    """Read a manifest once, from its start to its end; a missing one is an empty history.

    Raises:
        ManifestError: it cannot be read, or a later version of batchgen wrote it.
    """
    history = History(path=path)
    reader = _Reader(history)
    try:
        with path.open("rb") as file:
            offset = 0
            for data in file:
                reader.take(data, offset)
                offset += len(data)
    except FileNotFoundError:
        return history
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}") from error
    reader.finish()
    return history


class _Reader:
    """Folds the lines of a manifest into a history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._open: dict[str, _OpenAttempts] = {}
        self._broken_off: set[str] = set()
        """Tasks in the middle of a call when a run ended: its `end` line counts what they cost."""
        self._run_spent = ZERO
        self._torn = False
        """Whether the line before is none: damaged, unless it turns out to be the last of a run."""

    def take(self, data: bytes, offset: int) -> None:
        if data.isspace():
            return
        fields = parse_object(data)
        if fields is None:
            self._history.unreadable += self._torn
            self._torn = True
            return
        kind = fields.get("kind")
        self._history.unreadable += self._torn and kind != "run"
        self._torn = False
        match kind:
            case "record":
                self._record(fields, offset)
            case "attempt":
                self._attempt(fields)
            case "run":
                self._run(fields)
            case "end":
                self._end(fields)
            case "moved":
                self._history.moved[str(fields.get("task_id"))] = str(fields.get("new_path"))

    def finish(self) -> None:
        """Close the last run, which may have been killed."""
        self._close_run()

    def _run(self, fields: dict[str, Any]) -> None:
        refuse_later_format(fields)
        self._close_run()
        self._history.job_name = _text(fields.get("job_name"))
        self._history.random_seed_key = _text(fields.get("random_seed_key"))

    def _attempt(self, fields: dict[str, Any]) -> None:
        attempts = self._open.setdefault(str(fields.get("task_id")), _OpenAttempts())
        attempts.count += 1
        attempts.cost = _money(fields.get("cost_usd"))

    def _record(self, fields: dict[str, Any], offset: int) -> None:
        history = self._history
        task_id = str(fields.get("task_id"))
        try:
            history.statuses[task_id] = Status(str(fields.get("status")))
        except ValueError:
            history.unreadable += 1
            return
        history.offsets[task_id] = offset
        history.moved.pop(task_id, None)
        attempts = self._open.pop(task_id, _OpenAttempts())
        succeeded = history.statuses[task_id] is Status.SUCCEEDED
        unasked = succeeded and fields.get("latency_ms") is None
        adopted = unasked and (task_id in history.unanswered or task_id in self._broken_off)
        history.unanswered.pop(task_id, None)
        self._broken_off.discard(task_id)
        if adopted:
            return  # its attempt is in `spent` since the run that was killed or broken off
        self._run_spent += _money(fields.get("cost_usd"))
        self._run_spent += attempts.cost * _money(fields.get("maybe_billed"))

    def _end(self, fields: dict[str, Any]) -> None:
        """A run that ended knows better than its lines what it spent."""
        history = self._history
        summary = fields.get("summary")
        summary = summary if isinstance(summary, dict) else {}
        self._broken_off.update(self._open)
        self._open.clear()
        self._run_spent = ZERO
        spent = _money(summary.get("billed_usd")) + _money(summary.get("maybe_billed_usd"))
        history.spent = ZERO if fields.get("exit_code") in FINISHED else history.spent + spent

    def _close_run(self) -> None:
        """A run without an `end` line was killed: attempts without a record may be on the bill."""
        history = self._history
        history.spent += self._run_spent
        for task_id, attempts in self._open.items():
            history.unanswered[task_id] = attempts.count
            history.spent += attempts.cost * attempts.count
        self._open.clear()
        self._run_spent = ZERO


def _money(value: object) -> Decimal:
    """USD from a JSON number; what is none counts as nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ZERO
    amount = Decimal(str(value))
    return amount if amount.is_finite() else ZERO


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
