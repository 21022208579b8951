"""What went wrong with tasks: each kind is printed once and then counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from batchgen.bedrock import advice
from batchgen.errors import Throttled
from batchgen.policies import Retry
from batchgen.record import Record, Status
from batchgen.text import escaped

MESSAGE_SHOWN = 300
"""Characters of a service's message that are printed."""
KINDS = 50
"""Different failures that are counted apart; nobody reads more of them on a screen."""

VERBS = {
    Status.FILTERED: ("was filtered by the service:", "were filtered by the service:"),
    Status.FAILED: ("failed:", "failed:"),
}
"""How a sentence goes on after one task, and after several."""


@dataclass(slots=True)
class Failures:
    """Counts equal failures, and equal reasons to try again."""

    counts: Counter[tuple[Status, str]] = field(default_factory=Counter)
    """Outcome and reason -> tasks that ended so."""
    retries: Counter[str] = field(default_factory=Counter)
    """Error code -> attempts that failed with it and were made again."""
    others: int = 0
    """Tasks whose failure was of yet another kind."""

    def note(self, record: Record) -> str | None:
        """Count a task without images; the sentence to print if it is the first of its kind."""
        if record.status is Status.SUCCEEDED:
            return None
        kind = (record.status, _reason(record))
        if kind not in self.counts and len(self.counts) == KINDS:
            self.others += 1
            return None
        self.counts[kind] += 1
        if self.counts[kind] > 1:
            return None
        return f"{escaped(record.label)} {VERBS[record.status][0]} {kind[1]}"

    def note_retry(self, retry: Retry) -> str | None:
        """Count an attempt that is made again; the sentence to print if it is the first such one.

        What the quota refused is a figure in every line of progress already.
        """
        error = retry.error
        if isinstance(error, Throttled):
            return None
        self.retries[error.code] += 1
        if self.retries[error.code] > 1:
            return None
        return f"{escaped(retry.task.label)} is tried again: {_said(error.code, error.message)}"

    def repeated(self) -> Iterator[str]:
        """One line for every kind that happened more than once."""
        for code, count in self.retries.most_common():
            if count > 1:
                yield f"{count} attempts were made again after {escaped(code)}."
        for (status, reason), count in self.counts.most_common():
            if count > 1:
                yield f"{count} tasks {VERBS[status][1]} {reason}"
        if self.others:
            yield f"{self.others} more tasks failed, each in another way: see the manifest."


def _reason(record: Record) -> str:
    """Why a task has no image, and what to do."""
    error = record.error
    if error is None:
        return "no reason given."
    if record.status is Status.FILTERED:
        return f"{_ended(_cut(error.message))} Reword its prompt."
    return f"{_said(error.code, error.message)} {advice(error.code, error.message)}".rstrip()


def _said(code: str, message: str) -> str:
    return _ended(f"{escaped(code)}: {_cut(message)}")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _cut(text: str) -> str:
    shown = escaped(text[:MESSAGE_SHOWN])
    return shown if len(text) <= MESSAGE_SHOWN else f"{shown}…"
