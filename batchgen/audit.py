"""Are the images of earlier runs still there, complete and under the names that the job gives them?

Runs beside the calls of a run, for a million files take a while and the first call should not wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, tee
from typing import Any

from batchgen.admission import Stop
from batchgen.adopt import adopt_named
from batchgen.manifest import parse_object
from batchgen.outcome import Origin
from batchgen.output import Output
from batchgen.select import Chosen
from batchgen.store import EXTENSIONS
from batchgen.task import Task

AT_ONCE = 500
"""Files looked at in one go, in a thread."""


class Finding(StrEnum):
    """What is wrong with an image of an earlier run."""

    MISSING = "missing"
    """It is gone, or has another size: to be made again."""
    RENAMED = "renamed"
    """The job gives it another name now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One image that is not as the job and the manifest want it."""

    finding: Finding
    index: int
    """Running index of the task in the plan."""
    task: Task
    path: str = ""
    """Where its record says it is."""
    new_path: str = ""
    """Where a renamed one belongs."""


async def audit(output: Output, chosen: Chosen, damaged: Chosen, stop: Stop, origin: Origin) -> int:
    """Look at every chosen task's image, and give renamed ones their names.

    Args:
        chosen: tasks that earlier runs made.
        damaged: takes those whose image is missing or altered.
        stop: ends the walk; what was not looked at counts as there.
        origin: for the records of images whose own record cannot be read any more.

    Returns:
        How many are missing or altered.

    Raises:
        StorageError: a file could not be moved.
    """
    findings = _findings(output, chosen)
    missing = 0
    while stop.stopping is None:
        found = await asyncio.to_thread(lambda: list(islice(findings, AT_ONCE)))
        if not found:
            break
        for each in filter(None, found):
            if each.finding is Finding.RENAMED:
                await output.rename(each.task.id, each.path, each.new_path)
            elif not await _saved(output, each.task, origin):
                damaged.add(each.task.model_id, each.index)
                missing += 1
    return missing


async def _saved(output: Output, task: Task, origin: Origin) -> bool:
    """Whether nothing has to be made again after all.

    The file may have moved since it was looked at; and where the record cannot be read any more,
    a whole image under the task's name gets a new record.
    """
    images = _images(output.history.line(task.id))
    if await asyncio.to_thread(_is_intact, output, task, images):
        return True
    return False if images else await adopt_named(output, task, origin)


def _findings(output: Output, chosen: Chosen) -> Iterator[Found | None]:
    """One for each task, None for one that is as it should be."""
    tasks, again = tee(chosen.indexed())
    lines = output.history.lines(task.id for _, task in again)
    for (index, task), line in zip(tasks, lines, strict=True):
        images = _images(line)
        if not _is_intact(output, task, images):
            yield Found(finding=Finding.MISSING, index=index, task=task)
            continue
        path, wanted = str(images[0]["path"]), _wanted(task, images[0])
        if output.history.moved.get(task.id, path) == wanted:
            yield None
        else:
            yield Found(finding=Finding.RENAMED, index=index, task=task, path=path, new_path=wanted)


def _wanted(task: Task, image: dict[str, Any]) -> str:
    return f"{task.file_stem}.{EXTENSIONS[str(image['format'])]}"


def _is_intact(output: Output, task: Task, images: list[dict[str, Any]]) -> bool:
    """Whether the files of a task's record are there in their recorded sizes.

    A content that was altered within its size is for `verify` to find: it takes reading each file.
    """
    if not images:
        return False
    moved = output.history.moved.get(task.id)
    for number, image in enumerate(images):
        path = moved if moved is not None and number == 0 else image.get("path")
        try:
            size = os.stat(f"{output.folder}/{path}").st_size  # noqa: PTH116  # five times as fast
        except OSError:
            return False
        if size != image.get("bytes"):
            return False
    return True


def _images(line: bytes | None) -> list[dict[str, Any]]:
    """The images of a record; none if its line cannot be read any more."""
    fields = None if line is None else parse_object(line)
    images = (fields or {}).get("images")
    return images if isinstance(images, list) else []
