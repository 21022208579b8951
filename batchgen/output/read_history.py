"""Reads a manifest into a history: most of its lines at a glance, the others with a parser."""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from batchgen.errors import ManifestError
from batchgen.output.history import (
    FLAG_BITS,
    MADE,
    SIMULATED,
    STATUSES,
    ZERO,
    History,
    Refresh,
)
from batchgen.output.manifest import (
    ATTEMPT,
    RECORD,
    SCAN_SIZE,
    TASK_ID,
    open_manifest,
    parse_object,
    refuse_later_format,
)
from batchgen.output.paths import inner_path
from batchgen.output.spending import FINISHED, UnfinishedRun, is_finished, money, proven_rates
from batchgen.record import Reseed, is_simulated
from batchgen.task import DIGEST, compact, expanded
from batchgen.text import quoted, system_reason

# A manifest has a million lines of two kinds, as `Line.to_json` writes them: attempts, which only
# matter if their run was killed, and records, of which only id and status matter. A quote inside a
# JSON string is escaped, so none of these can be a part of a text. What does not begin like this
# (another program wrote it) is parsed as JSON instead, which takes several times as long.
SHORT = 6
"""Letters that tell the statuses apart."""
CODES = {status.value[:SHORT].encode(): code for code, status in enumerate(STATUSES)}
PLAIN_ID, ID_DIGITS = TASK_ID + b"1-", 2 * DIGEST
QUOTE = ord('"')
STATUS = b'}, "status": "'
ENDPOINT = b'"endpoint": "'
IMAGES = b'"images": [{"path": "images/'
ANY_IMAGE = b'"images": [{'
PLAIN_PATH = re.compile(rb'[^"/\\.][^"/\\]*(?:/[^"/\\.][^"/\\]*)*"')
"""A path that stays inside the output, however it is read; others are looked at one by one."""
PLAIN_IMAGE = re.compile(re.escape(IMAGES) + PLAIN_PATH.pattern)
BEFORE_FILE = len(ANY_IMAGE) - 1
"""Bytes from the beginning of `IMAGES` to its brace."""
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


@cache
def _reseeds() -> TypeAdapter[tuple[Reseed, ...]]:
    return TypeAdapter(tuple[Reseed, ...])


def digits_of(data: bytes) -> bytes:
    """The bytes that hexadecimal digits stand for; none if they are none."""
    try:
        return unhexlify(data)
    except ValueError:
        return b""


def names_plain_files(data: bytes, at: int) -> bool:
    """Whether what a line holds from here on names an image, and no file without a plain path."""
    images = data.find(IMAGES, at)
    path = PLAIN_PATH.match(data, images + len(IMAGES)) if images > 0 else None
    return path is not None and stays_inside(data, path.end())


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

        A record of an image begins like the one before it, up to the digits of its id, says what
        others said from its status to its endpoint, and the last object in it is that image: one
        that does is looked at no further. Of other objects in it, each is looked at.
        """
        entries, match_image, offset = self._history.entries, PLAIN_IMAGE.match, 0
        head, made, flags = self._head, self._made, self._made_flags
        start, end = len(head), len(head) + ID_DIGITS
        for data in lines:
            if data.startswith(ATTEMPT) and data.endswith(WHOLE):
                offset += len(data)
                continue
            if (
                data.startswith(head)
                and data.endswith(MADE_END)
                and data.startswith(made, data.find(b"}", end))
                and data[end] == QUOTE
                and (
                    match_image(data, data.rfind(b"{") - BEFORE_FILE)
                    or names_plain_files(data, end)
                )
                and (key := digits_of(data[start:end]))
            ):
                entries[key] = offset << FLAG_BITS | flags
                if self._noted:
                    self._forget(expanded(key))
            else:
                self._offset = offset
                if not self._plain(data):
                    self._slow(data)
                head, made, flags = self._head, self._made, self._made_flags
                start, end = len(head), len(head) + ID_DIGITS
            offset += len(data)
        self._offset = offset

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
            if not names_plain_files(data, end):
                return False
            self._learn(data[:start], data[status : end + 1], flags)
        elif data.find(ANY_IMAGE, end) >= 0:
            return False
        self._history.entries[key] = self._offset << FLAG_BITS | flags
        if self._noted:
            self._forget(expanded(key))
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
            with open_manifest(history.path, buffering=SCAN_SIZE) as file:
                file.seek(run.start)
                left = self._offset - run.start
                while left > 0 and (line := file.readline()):
                    run.take(line)
                    left -= len(line)
        cost = run.spent + sum((cost for _, _, cost in run.open.values()), ZERO)
        history.accounts[run.simulated] += cost
        self._noted = self._noted or bool(run.open)
        if not run.simulated:
            history.paid_unanswered |= run.open.keys()
        history.unanswered |= {task_id: count for task_id, (count, _, _) in run.open.items()}


@lru_cache(maxsize=64)
def service_of(endpoint: str) -> int:
    """SIMULATED, or 0 for the service itself."""
    return SIMULATED if is_simulated(endpoint) else 0
