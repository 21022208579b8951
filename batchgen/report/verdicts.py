"""What became of each original: the same image again, nearly the same, another one, or none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from batchgen.output import MANIFEST_NAME, hash_pixels, load_history, read_image
from batchgen.plan import Planned
from batchgen.record import Record, Status, StoredImage, is_simulated
from batchgen.report.pictures import THRESHOLD, decode, distance
from batchgen.task import task_id
from batchgen.text import system_reason

AT_ONCE = 256
"""Originals that are compared before the first of them is handed on."""
ALTERED = "its record was altered: the id is that of another request"


class Verdict(StrEnum):
    """How near a reproduction is to its original, the best first."""

    IDENTICAL = "identical"
    """The same bytes."""
    SAME_PIXELS = "same pixels"
    SIMILAR = "similar"
    DIFFERENT = "different"
    NOT_REPRODUCIBLE = "not reproducible"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return tuple(Verdict).index(self)

    def is_worse_than(self, other: Verdict) -> bool:
        """Whether the other one is nearer to the original."""
        return self.rank > other.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One original and what was made of it."""

    original: Record
    """With its image's present path."""
    record: Record | None = None
    """What became of its task; None if it has none, or was not made yet."""
    verdict: Verdict | None = None
    """None if it was not made yet."""
    reason: str | None = None
    distance: float | None = None
    """In percent, as `pictures.distance`; None where pixels were not compared, or are equal."""

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "label": self.original.label,
            "verdict": self.verdict,
            "reason": self.reason,
            "distance": None if self.distance is None else round(self.distance, 2),
            "original": {
                "task_id": self.original.task_id,
                "run_id": self.original.run_id,
                **_file(self.original),
            },
            "reproduction": None
            if self.record is None
            else {
                "task_id": self.record.task_id,
                "run_id": self.record.run_id,
                **_file(self.record),
            },
        }


def _file(record: Record) -> dict[str, Any]:
    image = record.images[0] if record.images else None
    return {
        "path": None if image is None else image.path,
        "sha256": None if image is None else image.sha256,
    }


def judge(
    planned: Callable[[], Iterable[Planned]], originals: Path, output: Path, endpoint: str
) -> Iterator[Judged]:
    """A verdict for each original, in their order; blocks.

    Args:
        planned: walks the originals, each with the task that makes it again.
        originals: the output folder that they are in.
        output: the folder of the reproductions.
        endpoint: what made these: a picture of the simulator is none of the service.
    """
    history = load_history(output / MANIFEST_NAME)
    simulated = is_simulated(endpoint)

    def one(each: Planned) -> Judged:
        if each.task is None:
            verdict = Verdict.NOT_REPRODUCIBLE
            return Judged(original=each.record, verdict=verdict, reason=each.reason)
        record = history.present(each.task.id)
        if record is None or is_simulated(record.endpoint) != simulated:
            return Judged(original=each.record)
        return compare(each.record, record, originals, output)

    waiting = iter(planned())
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="compare") as threads:
        while some := list(islice(waiting, AT_ONCE)):
            yield from threads.map(one, some)


def compare(original: Record, record: Record, originals: Path, output: Path) -> Judged:
    """The verdict on one record that was made again.

    Args:
        original: what was to be made again.
        record: what became of it.
        originals: folder of the one.
        output: folder of the other.
    """
    judged = Judged(original=original, record=record)
    if record.status is not Status.SUCCEEDED:
        return _without_image(judged, original, record)
    if not original.images:
        reason = f"it was {original.status} and had no image; now there is one"
        return replace(judged, verdict=Verdict.DIFFERENT, reason=reason)
    if len(original.images) != len(record.images):
        reason = f"it had {len(original.images)} images, and now there are {len(record.images)}"
        return replace(judged, verdict=Verdict.DIFFERENT, reason=reason)
    pairs = zip(original.images, record.images, strict=True)
    found = [_of_images(judged, one, other, originals, output) for one, other in pairs]
    worst = max(found, key=lambda each: Verdict(each.verdict or "").rank)
    if worst.verdict is Verdict.DIFFERENT and _is_altered(original):
        return replace(worst, reason=f"{worst.reason}; {ALTERED}")
    return worst


def _is_altered(record: Record) -> bool:
    """Whether somebody changed a record since: its id is not that of its request."""
    wanted = task_id(record.model_id, record.request)
    is_known = record.task_id.partition("-")[0] == wanted.partition("-")[0]
    return is_known and record.task_id != wanted


def _without_image(judged: Judged, original: Record, record: Record) -> Judged:
    said = "" if record.error is None else f": {record.error.message}"
    if original.status is record.status:
        reason = f"{record.status}, as it was{said}"
        return replace(judged, verdict=Verdict.IDENTICAL, reason=reason)
    what = "moderation refused it" if record.status is Status.FILTERED else "its call failed"
    reason = f"{what}{said}"
    return replace(judged, verdict=Verdict.NOT_REPRODUCIBLE, reason=reason)


def _of_images(
    judged: Judged, one: StoredImage, other: StoredImage, originals: Path, output: Path
) -> Judged:
    """The verdict on two image files: by their bytes, else by their pixels."""
    if _received(one) == _received(other):
        return replace(judged, verdict=Verdict.IDENTICAL)
    if one.pixels_sha256 is not None and one.pixels_sha256 == other.pixels_sha256:
        return replace(judged, verdict=Verdict.SAME_PIXELS)
    which = "original"
    try:
        old = whole(originals, one)
        first = decode(old)
        which = "new image"
        new = whole(output, other)
        second = decode(new)
    except ValueError as trouble:
        reason = f"other bytes, and the {which} cannot be compared by its pixels: {trouble}"
        return replace(judged, verdict=Verdict.DIFFERENT, reason=reason)
    if hash_pixels(old) == hash_pixels(new):
        return replace(judged, verdict=Verdict.SAME_PIXELS)
    apart = distance(first, second)
    verdict = Verdict.SIMILAR if apart <= THRESHOLD else Verdict.DIFFERENT
    sizes = "" if first.size == second.size else f"; {_size(first.size)} and {_size(second.size)}"
    reason = f"distance {apart:.1f} %, similar up to {THRESHOLD:.1f} %{sizes}"
    return replace(judged, verdict=verdict, reason=reason, distance=apart)


def _received(image: StoredImage) -> str:
    """The hash of what the service sent, before any label was written into the file."""
    return image.received_sha256 or image.sha256


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def whole(folder: Path, image: StoredImage) -> bytes:
    """The bytes of an image file as its record knows them.

    Raises:
        ValueError: it is gone, or is another one.
    """
    try:
        data = read_image(folder, image.path, image.bytes)
    except OSError as error:
        raise ValueError(f"{image.path}: {system_reason(error)}") from error
    if image.sha256 != hashlib.sha256(data).hexdigest():
        raise ValueError(f"{image.path} is not the file of its record any more")
    return data
