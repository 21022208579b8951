"""What was charged and how often what happened.

Each call is one line, written before a byte of its answer is sent.
A second line says how the delivery ended, once that is known; `read` joins the two. So a reader
who has seen an answer finds its charge, and a client that went away does not hide what it cost.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .calls import Call
    from .clock import Clock

REMEMBERED = 200_000
"""Calls that are kept in memory, and so can be asked for over HTTP."""
_MINUTE = 60.0
_MOMENT = 0.02
_THROTTLED = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call of InvokeModel."""

    sequence: int
    """Counts the calls of one simulator from 1, in the order of their arrival."""
    time: str
    """When the call arrived: ISO 8601, UTC."""
    elapsed: float
    """The same in seconds after the simulator's start."""
    model: str | None
    """Model id; None where the identifier means none."""
    model_id: str
    """The identifier as it was sent."""
    region: str | None
    account: str | None
    key_id: str | None
    invocation_id: str | None
    """`amz-sdk-invocation-id`: the same for all attempts that an SDK makes by itself."""
    attempt: int
    """How many times this body was sent to this model, this time included; 0 if never checked."""
    body_sha256: str
    request_id: str
    seed: int | None
    """The seed used; None where nothing was made."""
    status: int
    """HTTP status of the answer, even if it is never sent; 0 where there is none."""
    outcome: str
    """`generated`, `filtered`, `inference-error`, `abandoned`, or the name of the error."""
    fault: str | None
    """Actions that acted on it, joined by commas."""
    charged_usd: str
    """A decimal number."""
    image_sha256: str | None
    """Of the image's bytes as they are sent."""


def entry(call: Call, status: int, outcome: str, image_sha256: str | None) -> Entry:
    """What the ledger says of a call that ended so."""
    caller, model = call.caller, call.model
    return Entry(
        sequence=call.sequence,
        time=datetime.fromtimestamp(call.time, UTC).isoformat(timespec="milliseconds"),
        elapsed=round(call.elapsed, 6),
        model=model.id if model else None,
        model_id=call.model_id,
        region=caller.region if caller else None,
        account=caller.account if caller else None,
        key_id=caller.key_id if caller else None,
        invocation_id=call.headers.get("amz-sdk-invocation-id"),
        attempt=call.attempt,
        body_sha256=call.sha256,
        request_id=call.request_id,
        seed=call.seed,
        status=status,
        outcome=outcome,
        fault=",".join(call.faults) or None,
        charged_usd=str(call.charged),
        image_sha256=image_sha256,
    )


class Ledger:
    """Entries in memory and, if there is a path, in a file."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", encoding="ascii") if path else None
        self.reset()

    def reset(self) -> None:
        """Forget all entries. The file keeps its lines."""
        self._entries: deque[Entry] = deque(maxlen=REMEMBERED)
        self._delivered: dict[str, bool | None] = {}
        self._early: dict[str, bool] = {}
        self.total = Decimal(0)
        """USD charged."""

    def record(self, entry: Entry) -> None:
        """Enter a call."""
        if len(self._entries) == REMEMBERED:
            self._delivered.pop(self._entries[0].request_id, None)
        self._entries.append(entry)
        self._delivered[entry.request_id] = None
        self.total += Decimal(entry.charged_usd)
        self._write({"kind": "call", **asdict(entry)})
        if entry.request_id in self._early:
            self.deliver(entry.request_id, whole=self._early.pop(entry.request_id))

    def deliver(self, request_id: str, *, whole: bool) -> None:
        """Say whether the answer was sent whole, now or, of a call not yet entered, then."""
        if request_id not in self._delivered:
            self._early[request_id] = whole
            return
        self._delivered[request_id] = whole
        self._write({"kind": "delivery", "request_id": request_id, "delivered": whole})

    def lines(self, after: int = 0) -> list[dict[str, Any]]:
        """The entries as plain values, each with `delivered`: true, false, or None if not known."""
        return [
            {**asdict(entry), "delivered": self._delivered.get(entry.request_id)}
            for entry in self._entries
            if entry.sequence > after
        ]

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        if self._file and not self._file.closed:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def read(path: Path) -> list[dict[str, Any]]:
    """The entries of a ledger file, each with `delivered`: true, false, or None if not known."""
    calls: dict[str, dict[str, Any]] = {}
    for text in path.read_text(encoding="ascii").splitlines():
        line = json.loads(text)
        if line.pop("kind") == "call":
            calls[line["request_id"]] = {**line, "delivered": None}
        else:
            calls[line["request_id"]]["delivered"] = line["delivered"]
    return list(calls.values())


@dataclass(slots=True)
class _Moment:
    """Calls that were answered within so short a time that they are counted as one."""

    at: float
    answered: int = 0
    throttled: int = 0


class Stats:
    """Counts since the start, or the last reset."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Count from nothing; calls in flight stay counted."""
        self._most_in_flight = self._in_flight
        self._since = self._clock.monotonic()
        self._statuses: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._models: Counter[str] = Counter()
        self._recent: deque[_Moment] = deque()

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Count a call as in flight."""
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def count(self, entry: Entry) -> None:
        """Count a call whose outcome is known."""
        self._statuses[str(entry.status)] += 1
        self._outcomes[entry.outcome] += 1
        self._models[entry.model or "unknown"] += 1
        self._forget()
        now = self._clock.monotonic()
        if not self._recent or now - self._recent[-1].at >= _MOMENT:
            self._recent.append(_Moment(now))
        if entry.status == _THROTTLED:
            self._recent[-1].throttled += 1
        else:
            self._recent[-1].answered += 1

    def snapshot(self) -> dict[str, Any]:
        """All counts, as plain values."""
        self._forget()
        return {
            "seconds": self._clock.monotonic() - self._since,
            "calls": self._outcomes.total(),
            "by_status": dict(self._statuses),
            "by_outcome": dict(self._outcomes),
            "by_model": dict(self._models),
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "last_minute": {
                "answered": sum(each.answered for each in self._recent),
                "throttled": sum(each.throttled for each in self._recent),
            },
        }

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - _MINUTE
        while self._recent and self._recent[0].at <= oldest:
            self._recent.popleft()
