"""What went wrong with tasks: each kind is printed once and then counted."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.bedrock import advice
from batchgen.errors import Throttled
from batchgen.policies import Retry
from batchgen.record import Record, Status
from batchgen.task import is_input_image
from batchgen.text import counted, escaped

MESSAGE_SHOWN = 300
"""Characters of a service's message that are printed."""
KINDS = 50
"""Different failures that are counted apart; nobody reads more of them on a screen."""
LISTED_KINDS = 10
"""Of these, the ones that the end of a run lists: they fit into `tail -n 20`."""
LISTED_TASKS = 20
"""Tasks that a list names for each kind."""

VERBS = {
    Status.FILTERED: ("was filtered by the service:", "were filtered by the service:"),
    Status.FAILED: ("failed:", "failed:"),
    Status.SKIPPED: ("was skipped:", "were skipped:"),
}
"""How a sentence goes on after one task, and after several."""


@dataclass(slots=True)
class Failures:
    """Counts equal failures, and equal reasons to try again."""

    counts: Counter[tuple[Status, str]] = field(default_factory=Counter)
    """Outcome and reason -> tasks that ended so."""
    labels: dict[tuple[Status, str], list[str]] = field(default_factory=dict)
    """The first tasks that ended so."""
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
        labels = self.labels.setdefault(kind, [])
        if len(labels) < LISTED_TASKS:
            labels.append(escaped(record.label))
        return None if self.counts[kind] > 1 else f"{labels[0]} {VERBS[record.status][0]} {kind[1]}"

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

    def listed(self, run_id: str, manifest: Path) -> Iterator[str]:
        """What was retried, and the tasks without an image with the command that shows them all."""
        for code, count in self.retries.most_common():
            if count > 1:
                yield f"{count} attempts were made again after {escaped(code)}."
        kinds = self.counts.most_common(LISTED_KINDS)
        for kind, count in kinds:
            yield from self._task_lines(kind, count)
        rest = self.counts.total() + self.others - sum(count for _, count in kinds)
        if rest:
            yield f"Without an image for other reasons: {counted(rest, 'task')}."
        if rest or any(count > LISTED_TASKS for _, count in kinds):
            yield f"All of them: {all_unmade(run_id, manifest)}"

    def _task_lines(self, kind: tuple[Status, str], count: int) -> Iterator[str]:
        status, reason = kind
        labels = self.labels[kind]
        if count == 1:
            yield f"{labels[0]} {VERBS[status][0]} {reason}"
            return
        more = f" and {count - len(labels)} more" if count > len(labels) else ""
        yield f"{count} tasks {VERBS[status][1]} {reason}"
        yield f"  {', '.join(labels)}{more}"


def all_unmade(run_id: str, manifest: Path) -> str:
    """The command that prints every record of a run without an image."""
    pattern = f'"run_id": "{run_id}".*"status": "(failed|filtered|skipped)"'
    return f"grep -E {shlex.quote(pattern)} {shlex.quote(str(manifest))}"


def _reason(record: Record) -> str:
    """Why a task has no image, and what to do."""
    error = record.error
    if error is None:
        return "no reason given."
    if record.status is Status.SKIPPED:
        return "an image that it needs was not made."
    if record.status is Status.FILTERED:
        is_of_image = "input image" in error.message or "prompt" not in record.request
        has_image = any(map(is_input_image, record.request.values()))
        remedy = "Give it another image." if has_image and is_of_image else "Reword its prompt."
        return f"{_ended(_cut(error.message))} {remedy}"
    return f"{_said(error.code, error.message)} {advice(error.code, error.message)}".rstrip()


def _said(code: str, message: str) -> str:
    return _ended(f"{escaped(code)}: {_cut(message)}")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _cut(text: str) -> str:
    shown = escaped(text[:MESSAGE_SHOWN])
    return shown if len(text) <= MESSAGE_SHOWN else f"{shown}…"
