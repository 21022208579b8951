"""What earlier runs left in a manifest, small enough to hold for a million tasks."""

from __future__ import annotations

import math
import os
import re
from binascii import unhexlify
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from heapq import nlargest
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from batchgen.errors import ManifestError
from batchgen.output.manifest import (
    ATTEMPT,
    RECORD,
    open_manifest,
    parse_line,
    parse_object,
    refuse_later_format,
)
from batchgen.output.paths import inner_path
from batchgen.record import DerivedLine, Record, Reseed, Status, is_simulated
from batchgen.text import quoted, system_reason

ZERO = Decimal(0)
FINISHED = (0, 1)
"""Exit codes of a run that had nothing left to start."""
STATUSES = tuple(Status)
SHORT = 6
"""Letters that tell the statuses apart."""
MADE = STATUSES.index(Status.SUCCEEDED)
CODES = {status.value[:SHORT].encode(): code for code, status in enumerate(STATUSES)}
SIMULATED = 4
"""Bit of an entry whose record a simulator made."""
FLAG_BITS = 3
"""Bits of an entry that hold the index of its status and SIMULATED; the rest is the offset of its
line."""
FLAGS = (1 << FLAG_BITS) - 1
LATEST: dict[int, tuple[Status | None, bool]] = {
    service | code: (status, service == SIMULATED)
    for service in (0, SIMULATED)
    for code, status in enumerate(STATUSES)
}
"""What the flags of an entry say: the status, and whether a simulator made it."""
NO_RECORD = (None, False)
READ_SIZE = 4096
"""Bytes that are read at once for single records."""
SCAN_SIZE = 1 << 20
"""Bytes that are read at once for all lines."""
# A manifest has a million lines of two kinds, as `Line.to_json` writes them: attempts, which only
# matter if their run was killed, and records, of which only id and status matter. A quote inside a
# JSON string is escaped, so none of these can be a part of a text. What does not begin like this
# (another program wrote it) is parsed as JSON instead, which takes several times as long.
RUN = b'{"kind": "run", '
TASK_ID = b'"task_id": "'
PLAIN_ID, ID_DIGITS = TASK_ID + b"1-", 32
QUOTE = ord('"')
STATUS = b'}, "status": "'
ENDPOINT = b'"endpoint": "'
IMAGES = b'"images": [{"path": "images/'
ANY_IMAGE = b'"images": [{'
PLAIN_PATH = re.compile(rb'[^"/\\.][^"/\\]*(?:/[^"/\\.][^"/\\]*)*"')
"""A path that stays inside the output, however it is read; others are looked at one by one."""
FILE = b'{"path": "images/'
SETTINGS = b'"settings": {'
RECORD_OF_NONE = b"\n{"
"""No line begins like this."""
MOST_KINDS = 16
"""Models and Regions of records that are looked for at the same time."""
WHOLE = b"}\n"
MADE_END = b'"error": null}\n'
RECORD_ENDS = (MADE_END, b'"retryable": true}}\n', b'"retryable": false}}\n')
"""How a whole record ends; one that was torn behind an inner brace, and sealed, ends like WHOLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """What a run with `--fresh` chose to make again, until that is done."""

    run_id: str
    start: int
    """Offset of the run's line: a record before it is to be made again."""
    only: tuple[str, ...]
    limit: int | None


@dataclass(slots=True)
class History:
    """The latest record of each task, and what was spent since the last run that finished."""

    path: Path
    entries: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of its last record's line and, in the lowest bits, its status."""
    moved: dict[str, str] = field(default_factory=dict)
    """Task id -> where its file went after its last record."""
    last_move: tuple[str, str] | None = None
    """The two paths of the last move, which a kill may have cut short."""
    last_moved: str | None = None
    """Id of the task whose file that was."""
    derived: dict[bytes, int] = field(default_factory=dict)
    """Compact task id -> offset of the line that says what there is of sizes and formats of its
    image, where that followed its last record."""
    unanswered: dict[str, int] = field(default_factory=dict)
    """Task id -> attempts without a record of a run that did not end: maybe paid."""
    job_name: str | None = None
    random_seed_key: str | None = None
    accounts: dict[bool, Decimal] = field(default_factory=lambda: {False: ZERO, True: ZERO})
    """Whether it is the simulator's -> USD billed or maybe billed since the job was finished."""
    paid_unanswered: set[str] = field(default_factory=set)
    """Those of `unanswered` that no simulator was asked for."""
    reseeds: tuple[Reseed, ...] = ()
    """Every `--reseed` so far."""
    refreshes: list[Refresh] = field(default_factory=list)
    """Those that did not come to their end."""
    proven: dict[str | None, dict[str, float]] = field(default_factory=dict)
    """Route, None without routes -> model id -> calls a minute that the last run proved there."""
    unreadable: int = 0
    """Lines that are no JSON object, a torn tail included."""

    def __len__(self) -> int:
        """How many tasks have a record."""
        return len(self.entries)

    @property
    def spent(self) -> Decimal:
        """USD billed or maybe billed since the job was finished, by the simulator too."""
        return sum(self.accounts.values(), ZERO)

    def status(self, task_id: str) -> Status | None:
        """The status of a task's last record; None without one."""
        return self.latest(task_id)[0]

    def latest(self, task_id: str) -> tuple[Status | None, bool]:
        """The status of a task's last record, None without one, and whether a simulator made it."""
        entry = self.entries.get(compact(task_id))
        return NO_RECORD if entry is None else LATEST[entry & FLAGS]

    def made_by(self, *, simulated: bool) -> Callable[[str], bool]:
        """Tells of a task id whether its last record is of an image that this service made."""
        get, made = self.entries.get, MADE | (SIMULATED if simulated else 0)

        def is_made(task_id: str) -> bool:
            entry = get(compact(task_id))
            return entry is not None and entry & FLAGS == made

        return is_made

    def offset(self, task_id: str) -> int:
        """Where a task's last record stands in the manifest; -1 without one."""
        return self.entries.get(compact(task_id), -1) >> FLAG_BITS

    def require_service(self, endpoint: str) -> None:
        """A simulated picture must not take the place of one that was paid for.

        Raises:
            ManifestError: a simulated run into an output that holds real pictures.
        """
        if is_simulated(endpoint) and (self.paid_unanswered or self._holds_real_images()):
            raise self.of_another_service(endpoint)

    def of_another_service(self, endpoint: str) -> ManifestError:
        """Why a simulated run is refused."""
        return ManifestError(
            f"{self.path.parent} holds pictures of the real service, and {endpoint} is a "
            "simulator: give the simulated run an output of its own with --output."
        )

    def _holds_real_images(self) -> bool:
        return any(entry & FLAGS == MADE for entry in self.entries.values())

    def require_job(self, name: str) -> None:
        """An output belongs to one job: another one's names and seeds would mix with its images.

        Raises:
            ManifestError: the runs before were of another job.
        """
        if self.job_name is not None and self.job_name != name:
            raise ManifestError(
                f"{self.path.parent} holds the images of the job {quoted(self.job_name)}, and this "
                f"job is {quoted(name)}: give it an output of its own."
            )

    def record(self, task_id: str) -> Record | None:
        """The last record of a task as it was written; `moved` tells where its file is now."""
        data = self.line(task_id)
        line = None if data is None else parse_line(data)
        return line if isinstance(line, Record) else None

    def present(self, task_id: str) -> Record | None:
        """The last record of a task, with the path that its image has now."""
        record = self.record(task_id)
        return None if record is None else self.placed(record)

    def placed(self, record: Record) -> Record:
        """A last record with the path that its image has now, and with what is derived of it."""
        path, offset = self.moved.get(record.task_id), self.derived.get(compact(record.task_id))
        if not record.images or (path is None and offset is None):
            return record
        first = record.images[0]
        line = None if offset is None else parse_line(self._line_at(offset))
        if isinstance(line, DerivedLine):
            first = first.model_copy(update={"path": line.path, "derived": line.derived})
            first = first.at(record.images[0].path)
        if path is not None:
            first = first.at(path)
        return record.model_copy(update={"images": (first, *record.images[1:])})

    def record_at(self, offset: int) -> Record | None:
        """The record whose line begins here; None if it cannot be read any more."""
        line = parse_line(self._line_at(offset))
        return line if isinstance(line, Record) else None

    def _line_at(self, offset: int) -> bytes:
        try:
            with open_manifest(self.path, buffering=READ_SIZE) as file:
                file.seek(offset)
                return file.readline()
        except OSError:
            return b""

    def counts(self) -> dict[Status, int]:
        """How many tasks have a last record of each status."""
        found = Counter(entry & (SIMULATED - 1) for entry in self.entries.values())
        return {status: found[code] for code, status in enumerate(STATUSES)}

    def last_records(self) -> Iterator[Record]:
        """The last record of each task that can still be read, in the order of writing.

        Raises:
            ManifestError: the manifest cannot be read any more.
        """
        try:
            with open_manifest(self.path, buffering=SCAN_SIZE) as file:
                for offset in sorted(entry >> FLAG_BITS for entry in self.entries.values()):
                    file.seek(offset)
                    line = parse_line(file.readline())
                    if isinstance(line, Record):
                        yield line
        except OSError as error:
            raise ManifestError(f"{self.path} cannot be read: {system_reason(error)}") from error

    def newest(self, count: int) -> Iterator[Record]:
        """So many of the last records, those written last first; none that cannot be read."""
        for entry in nlargest(count, self.entries.values()):
            record = self.record_at(entry >> FLAG_BITS)
            if record is not None:
                yield record

    def line(self, task_id: str) -> bytes | None:
        """The bytes of a task's last record; None without one, or if the file went away."""
        return next(self.lines((task_id,)), None)

    def lines(self, task_ids: Iterable[str]) -> Iterator[bytes | None]:
        """As `line` for one task after another, with the file opened once."""
        try:
            with open_manifest(self.path) as file:
                for task_id in task_ids:
                    entry = self.entries.get(compact(task_id))
                    yield None if entry is None else _read_line(file, entry >> FLAG_BITS)
        except OSError:
            for _ in task_ids:
                yield None


def _read_line(file: BinaryIO, offset: int) -> bytes:
    """The line that begins here: in whatever order lines are asked for, one read for most."""
    data = os.pread(file.fileno(), READ_SIZE, offset)
    end = data.find(b"\n") + 1
    if end:
        return data[:end]
    file.seek(offset)
    return file.readline()


def compact(task_id: str) -> bytes:
    """A task id in fewer bytes: its 16 bytes for an id of the present version."""
    if len(task_id) == 2 + ID_DIGITS and task_id.startswith("1-"):
        try:
            return bytes.fromhex(task_id[2:])
        except ValueError:
            pass
    return task_id.encode(errors="replace")


@cache
def _reseeds() -> TypeAdapter[tuple[Reseed, ...]]:
    return TypeAdapter(tuple[Reseed, ...])


def digits_of(data: bytes) -> bytes:
    """The bytes that hexadecimal digits stand for; none if they are none."""
    try:
        return unhexlify(data)
    except ValueError:
        return b""


def stays_inside(data: bytes, at: int) -> bool:
    """Whether what a line holds from here on are files with plain paths and how they were ordered.

    A brace and a quote together begin an object: in a text a quote has a backslash before it.
    """
    while (at := data.find(b"{", at)) >= 0:
        path = PLAIN_PATH.match(data, at + len(FILE)) if data.startswith(FILE, at) else None
        if path is not None:
            at = path.end()
        elif data.endswith(SETTINGS, 0, at + 1):
            at += 1
        else:
            return False
    return True


def load_history(path: Path) -> History:
    """Read a manifest once, from its start to its end; a missing one is an empty history.

    The money of a run that was killed is in its lines only: those are read a second time.

    Raises:
        ManifestError: it cannot be read, or a later version of batchgen wrote it.
    """
    history = History(path=path)
    reader = _Reader(history)
    try:
        with open_manifest(path, buffering=SCAN_SIZE) as file:
            reader.read(file)
    except FileNotFoundError:
        return history
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {system_reason(error)}") from error
    reader.finish()
    return history


class _Reader:
    """Folds the lines of a manifest into a history."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._offset = 0
        self._unfinished = UnfinishedRun(start=0)
        """The present run, as it counts if no `end` line follows."""
        self._noted = False
        """Whether anything is in `moved` or `unanswered`."""
        self._head = RECORD_OF_NONE
        """How the last plain record of an image began, up to the digits of its task's id."""
        self._made: tuple[bytes, ...] = ()
        """What such records said from the status to the endpoint: of some models and Regions."""
        self._made_flags = -1
        """What the entries of all of these say."""

    def read(self, lines: Iterable[bytes]) -> None:
        """Fold all lines in; a million of them pass here, so this is one loop and no calls.

        A record of an image begins like the one before it, up to the digits of its id, and says
        what others said from its status to its endpoint: one that does is looked at no further.
        """
        entries, match_path = self._history.entries, PLAIN_PATH.match
        for data in lines:
            if data.startswith(ATTEMPT) and data.endswith(WHOLE):
                self._offset += len(data)
                continue
            key = b""
            if data.startswith(self._head) and data.endswith(MADE_END):
                start = len(self._head)
                status = data.find(STATUS, start)
                if data.startswith(self._made, status) and data[start + ID_DIGITS] == QUOTE:
                    images = data.find(IMAGES, status)
                    path = match_path(data, images + len(IMAGES)) if images > 0 else None
                    if path is not None and (
                        data.find(b"{", path.end()) < 0 or stays_inside(data, path.end())
                    ):
                        key = digits_of(data[start : start + ID_DIGITS])
            if key:
                entries[key] = self._offset << FLAG_BITS | self._made_flags
                if self._noted:
                    self._forget(f"1-{key.hex()}")
            elif not self._plain(data):
                self._slow(data)
            self._offset += len(data)

    def _plain(self, data: bytes) -> bool:
        """Take in a record without a JSON parser, if it is as `Line.to_json` writes it.

        Its id is of the present version, and it has no image or one with a plain path.
        """
        if not (data.startswith(RECORD) and data.endswith(RECORD_ENDS)):
            return False
        start = data.find(PLAIN_ID) + len(PLAIN_ID)
        status = data.find(STATUS, start)
        endpoint = data.find(ENDPOINT, status) + len(ENDPOINT)
        end = data.find(b'"', endpoint)
        key = digits_of(data[start : start + ID_DIGITS])
        code = CODES.get(data[status + len(STATUS) : status + len(STATUS) + SHORT])
        if not key or code is None or data[start + ID_DIGITS] != QUOTE:
            return False
        flags = service_of(data[endpoint:end].decode(errors="replace")) | code
        if code == MADE:
            images = data.find(IMAGES, end)
            path = PLAIN_PATH.match(data, images + len(IMAGES)) if images > 0 else None
            if path is None or not stays_inside(data, path.end()):
                return False
            self._learn(data[:start], data[status : end + 1], flags)
        elif data.find(ANY_IMAGE, end) >= 0:
            return False
        self._history.entries[key] = self._offset << FLAG_BITS | flags
        if self._noted:
            self._forget(f"1-{key.hex()}")
        return True

    def _learn(self, head: bytes, said: bytes, flags: int) -> None:
        """Know the records that are like this one."""
        self._head = head
        if flags != self._made_flags:
            self._made, self._made_flags = (), flags
        if said not in self._made and b"{" not in said:
            self._made = (said, *self._made[: MOST_KINDS - 1])

    def finish(self) -> None:
        """Close the last run, which may have been killed."""
        self._close_run()

    def _forget(self, task_id: str) -> None:
        """A record came: what was noted of its task earlier no longer holds."""
        self._history.moved.pop(task_id, None)
        self._history.unanswered.pop(task_id, None)
        self._history.paid_unanswered.discard(task_id)
        self._history.derived.pop(compact(task_id), None)

    def _slow(self, data: bytes) -> None:
        fields = parse_object(data)
        if fields is None:
            self._history.unreadable += data.strip() != b""
            return
        history = self._history
        match fields.get("kind"):
            case "record":
                self._record(fields)
            case "run":
                self._run(fields)
            case "end":
                self._end(fields)
            case "moved":
                path, new_path = fields.get("path"), fields.get("new_path")
                if not isinstance(path, str) or not isinstance(new_path, str):
                    history.unreadable += 1
                    return
                history.last_move = self._path(path), self._path(new_path)
                history.last_moved = str(fields.get("task_id"))
                history.moved[str(fields.get("task_id"))] = new_path
                self._noted = True
            case "derived":
                self._path(fields.get("path"))
                self._derived(fields)
                history.derived[compact(str(fields.get("task_id")))] = self._offset
                self._noted = True
            case "repair" if isinstance(fields.get("task_id"), str):
                history.entries.pop(compact(fields["task_id"]), None)
                history.moved.pop(fields["task_id"], None)
                history.derived.pop(compact(fields["task_id"]), None)

    def _derived(self, fields: dict[str, Any]) -> None:
        """Look at the paths of derived files."""
        derived = fields.get("derived")
        for each in derived if isinstance(derived, list) else ():
            if isinstance(each, dict):
                self._path(each.get("path"))

    def _record(self, fields: dict[str, Any]) -> None:
        history = self._history
        code = CODES.get(str(fields.get("status"))[:SHORT].encode(errors="replace"))
        if code is None:
            history.unreadable += 1
            return
        images = fields.get("images")
        for image in images if isinstance(images, list) else ():
            if isinstance(image, dict) and isinstance(image.get("path"), str):
                self._path(image["path"])
                self._derived(image)
        service = service_of(str(fields.get("endpoint")))
        task_id = str(fields.get("task_id"))
        history.entries[compact(task_id)] = self._offset << FLAG_BITS | service | code
        self._forget(task_id)

    def _path(self, value: object) -> str:
        """A path that the present line names.

        Raises:
            ManifestError: it leaves the output.
        """
        path = inner_path(value)
        if path is None:
            raise ManifestError(
                f"{self._history.path} names {quoted(str(value))} in its line at byte "
                f"{self._offset}, which is no path inside the output: no run of batchgen "
                "wrote that. Find out who did, and take the line out"
            )
        return path

    def _run(self, fields: dict[str, Any]) -> None:
        history = self._history
        refuse_later_format(fields, str(history.path))
        self._close_run()
        self._unfinished = UnfinishedRun(
            start=self._offset,
            simulated=is_simulated(str(fields.get("endpoint"))),
            unanswered=dict(history.unanswered),
        )
        if fields.get("fresh") is True:
            self._refresh(fields)
        history.job_name = self._text(fields, "job_name")
        history.random_seed_key = self._text(fields, "random_seed_key")
        history.reseeds = self._reseeds(fields.get("reseeds"))

    def _text(self, fields: dict[str, Any], name: str) -> str | None:
        """A text of a `run` line, without which other images might be made; None if it has none.

        Raises:
            ManifestError: it is something else.
        """
        value = fields.get(name)
        if value is None or isinstance(value, str):
            return value
        raise ManifestError(
            f"{self._history.path} has a run line at byte {self._offset} whose {name} is no text: "
            "no batchgen wrote that. Find out who did, and take the line out"
        )

    def _reseeds(self, found: object) -> tuple[Reseed, ...]:
        try:
            return _reseeds().validate_python(found or ())
        except ValidationError:
            raise ManifestError(
                f"{self._history.path} says in its line at byte {self._offset} what --reseed chose "
                "in a way that cannot be read: without it other images would be made"
            ) from None

    def _refresh(self, fields: dict[str, Any]) -> None:
        only, limit = fields.get("only"), fields.get("limit")
        refresh = Refresh(
            run_id=str(fields.get("run_id")),
            start=self._offset,
            only=tuple(map(str, only)) if isinstance(only, list) else (),
            limit=limit if type(limit) is int else None,
        )
        if not refresh.only and refresh.limit is None:
            self._history.refreshes.clear()  # this one is of everything
        self._history.refreshes.append(refresh)

    def _end(self, fields: dict[str, Any]) -> None:
        """A run that ended knows better than its lines what it spent."""
        history = self._history
        summary = fields.get("summary")
        summary = summary if isinstance(summary, dict) else {}
        spent = money(summary.get("billed_usd")) + money(summary.get("maybe_billed_usd"))
        is_complete, simulated = is_finished(fields), self._unfinished.simulated
        history.accounts[simulated] = ZERO if is_complete else history.accounts[simulated] + spent
        if fields.get("exit_code") in FINISHED and not summary.get("left"):
            run_id = fields.get("run_id")
            history.refreshes = [
                each for each in history.refreshes if not is_complete and each.run_id != run_id
            ]
        history.proven = proven_rates(summary)
        self._unfinished = UnfinishedRun(start=self._offset)

    def _close_run(self) -> None:
        """A run without an `end` line was killed: attempts without a record may be on the bill."""
        history, run = self._history, self._unfinished
        if run.start < self._offset:
            with open_manifest(history.path) as file:
                file.seek(run.start)
                while file.tell() < self._offset:
                    run.take(parse_object(file.readline()) or {})
        cost = run.spent + sum((cost for _, _, cost in run.open.values()), ZERO)
        history.accounts[run.simulated] += cost
        self._noted = self._noted or bool(run.open)
        if not run.simulated:
            history.paid_unanswered |= run.open.keys()
        history.unanswered |= {task_id: count for task_id, (count, _, _) in run.open.items()}


def proven_rates(summary: dict[str, Any]) -> dict[str | None, dict[str, float]]:
    """The rates of an `end` line's summary; what is not as we write it counts as not there."""
    by_route: dict[str | None, Any] = {None: summary.get("quotas")}
    by_route.update(_as_dict(summary.get("routes")).items())
    found: dict[str | None, dict[str, float]] = {}
    for route, quotas in by_route.items():
        found[route] = {}
        for model, quota in _as_dict(quotas).items():
            rate = _as_dict(quota).get("proven_per_minute")
            if isinstance(rate, int | float) and 0 < rate < math.inf:
                found[route][model] = float(rate)
    return found


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(slots=True)
class UnfinishedRun:
    """The money of a run that did not end: all that its lines tell."""

    start: int
    """Offset of its first line."""
    simulated: bool = False
    unanswered: dict[str, int] = field(default_factory=dict)
    """As in the history when it began: what it adopted is paid for already."""
    open: dict[str, tuple[int, Decimal, Decimal]] = field(default_factory=dict)
    """Task id -> its attempts that no record has answered: count, price, and what may be billed."""
    spent: Decimal = ZERO

    def take(self, fields: dict[str, Any]) -> None:
        """Count one line."""
        task_id = str(fields.get("task_id"))
        if fields.get("kind") == "attempt":
            count = self.open[task_id][0] if task_id in self.open else 0
            price = money(fields.get("price_usd", fields.get("cost_usd")))  # version 1
            self.open[task_id] = (count + 1, price, price + _maybe(fields, price))
        elif fields.get("kind") == "record":
            _, price, _ = self.open.pop(task_id, (0, ZERO, ZERO))
            adopted = fields.get("status") == "succeeded" and fields.get("latency_ms") is None
            if adopted and task_id in self.unanswered:
                return  # its attempt counts since the run that was killed
            self.spent += money(fields.get("cost_usd"))
            self.spent += _maybe(fields, price)


def _maybe(fields: dict[str, Any], price: Decimal) -> Decimal:
    """USD that a line says may have been billed besides, at this price unless it tells."""
    told = fields.get("maybe_billed_usd")
    return price * money(fields.get("maybe_billed")) if told is None else money(told)


@lru_cache(maxsize=64)
def service_of(endpoint: str) -> int:
    """SIMULATED, or 0 for the service itself."""
    return SIMULATED if is_simulated(endpoint) else 0


def is_finished(end: dict[str, Any]) -> bool:
    """Whether an `end` line closes the account: nothing of the job was left open.

    A run of a part of the job ends with 0 as well, and says what is left of the whole.
    """
    summary = end.get("summary")
    left = summary.get("job_left") if isinstance(summary, dict) else None
    return end.get("exit_code") in FINISHED and not left


def money(value: object) -> Decimal:
    """USD from a JSON number; what is none counts as nothing."""
    amount = Decimal(str(value)) if type(value) in (int, float) else ZERO
    return amount if amount.is_finite() else ZERO
