"""What of a job changed since an older record of the same item, so that it is made again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batchgen.commands.preview import Preview
from batchgen.record import Record
from batchgen.task import Task

MOST_REMEMBERED = 100_000
"""Older records that changed tasks are compared with."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A task to make whose item has an older record."""

    task: Task
    older: Record
    fields: Mapping[str, tuple[Any, Any]]
    """What differs: field -> old and new value."""


def changed_tasks(seen: Preview, tasks: Iterable[Task]) -> Iterator[Changed]:
    """The tasks to make that an older record of the same item differs from.

    Args:
        seen: the job and its output.
        tasks: all of the job.
    """
    if not len(seen.history):
        return
    by_label = {
        record.label: record for record in islice(seen.history.last_records(), MOST_REMEMBERED)
    }
    # What the job still makes is no older form of another combination of its item.
    kept = {task.label for task in tasks if task.label in by_label}
    by_item: defaultdict[str, list[Record]] = defaultdict(list)
    for label, record in by_label.items():
        if label not in kept:
            by_item[record.item_id].append(record)
    to_make = seen.pending.to_make
    for task in (task for model_id in to_make.models() for task in to_make.tasks(model_id)):
        end = "" if task.step is None else f"/{task.step}"
        alike = (each for each in by_item[task.item_id] if each.label.endswith(end))
        older = by_label.get(task.label) or next(alike, None)
        if older is not None and older.task_id != task.id:
            yield Changed(task, older, _differences(older, task))


def _differences(older: Record, task: Task) -> dict[str, tuple[Any, Any]]:
    before = {"model": older.model_id, **_asked(older.request)}
    now = {"model": task.model_id, **_asked(task.request)}
    names = sorted(before.keys() | now.keys())
    return {
        name: (before.get(name), now.get(name))
        for name in names
        if before.get(name) != now.get(name)
    }


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """A request in which the image of another task is that task, as before it was made."""
    return {
        name: {"task": value["task"]} if isinstance(value, dict) and "task" in value else value
        for name, value in request.items()
    }
