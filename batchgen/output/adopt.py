"""A lost manifest from what the images say of themselves, where `metadata: full` had them say it.

What a file says may be anybody's: it is believed where the id of the task is that of its request
and all pixels are there. It becomes a record like any other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from batchgen.errors import ManifestError
from batchgen.models import FAMILIES, UnknownModel, find
from batchgen.output.folder import OutputFolder, open_output
from batchgen.output.images import BrokenImage, hash_pixels, inspect_image
from batchgen.output.manifest import MANIFEST_NAME, read_manifest
from batchgen.output.metadata.label import Embedded, Provenance
from batchgen.output.metadata.reading import embedded
from batchgen.output.paths import open_regular
from batchgen.output.read_history import load_history
from batchgen.output.store import IMAGES, PART, SUPERSEDED
from batchgen.output.threads import cores, in_thread
from batchgen.output.verify import LARGEST_FILE, Progress, files_below
from batchgen.record import (
    DECODED_DIGITS,
    EndLine,
    Line,
    Record,
    RepairLine,
    RunLine,
    Served,
    Status,
    StoredImage,
    utc_now,
)
from batchgen.task import task_id
from batchgen.text import system_reason

ADOPTED = "adopted"
"""Run id of the line that closes what was adopted."""
AT_ONCE = 64
"""Images that are read before their records are written."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True, kw_only=True)
class Adopted:
    """What the images told."""

    records: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)
    """Files without a new record, below the output, and why."""


class _Silent(ValueError):
    """Why an image gets no record."""


async def adopt_images(manifest: Path, *, progress: Progress) -> Adopted:
    """Give each image that no record names, and that says how it was made, its record.

    The price is that of the model now; what the lost manifest had of the budget is gone.

    Raises:
        OutputBusy: a run holds the output.
        OutputUnusable: it cannot be written.
        ManifestError: it cannot be read, a run was killed and not continued, or no image says
            anything.
        StorageError: the disk did not take a line.
    """
    folder = manifest.parent
    if manifest.name != MANIFEST_NAME:
        raise ManifestError(f"{manifest} is no {MANIFEST_NAME} of an output")
    await in_thread(_require_told, folder)
    async with open_output(folder, ADOPTED) as output:
        known = await in_thread(_known, manifest)
        adopted, seen = Adopted(), set[str]()
        paths = [path for path in _images(folder) if path not in known.paths]
        for start in range(0, len(paths), AT_ONCE):
            for path, record in await in_thread(_read_all, folder, paths[start : start + AT_ONCE]):
                await _append(output, path, record, seen, adopted)
            progress(min(start + AT_ONCE, len(paths)), len(paths))
        if adopted.records:
            # What was lost is no longer known to be spent; a job that goes on keeps its account.
            code = 3 if known.lines else 0
            summary = {"billed_usd": 0.0, "maybe_billed_usd": 0.0, "adopted": adopted.records}
            end = EndLine(run_id=ADOPTED, finished_at=utc_now(), exit_code=code, summary=summary)
            await output.manifest.append(end)
        return adopted


def _require_told(folder: Path) -> None:
    """Find an image that says something; raises ManifestError where none does."""
    if any(_told(folder, path) for path in _images(folder)):
        return
    text = f"No image in {folder} says how it was made; that takes `metadata: full` in the job"
    if not (folder / MANIFEST_NAME).exists():
        text += f". Put {MANIFEST_NAME} back from a copy, or let --fresh make everything again"
    raise ManifestError(text)


async def _append(
    output: OutputFolder, path: str, record: Record | str, seen: set[str], adopted: Adopted
) -> None:
    if isinstance(record, Record) and (
        record.task_id in seen or output.history.status(record.task_id) is Status.SUCCEEDED
    ):
        record = "its task has an image on record"
    if isinstance(record, str):
        adopted.left.append((path, record))
        return
    seen.add(record.task_id)
    await output.manifest.append(record)
    adopted.records += 1


@dataclass(slots=True, kw_only=True)
class _Known:
    """What a manifest holds already."""

    paths: set[str] = field(default_factory=set)
    """That its records name, where they are now."""
    lines: int = 0


def _known(manifest: Path) -> _Known:
    history, known, is_open = load_history(manifest), _Known(), False
    line: Line
    for line in read_manifest(manifest):
        known.lines += 1
        is_open = isinstance(line, RunLine) or (is_open and not isinstance(line, EndLine))
        if isinstance(line, Record):
            known.paths.update(image.path for image in line.images)
            known.paths.update(each.path for image in line.images for each in image.derived)
        elif isinstance(line, RepairLine):
            known.paths.difference_update(file.path for file in line.files)
    known.paths.update(history.moved.values())
    if is_open:
        raise ManifestError(
            f"The last run of {manifest.parent} was killed: run its job first, which puts on "
            "record what that run made"
        )
    return known


def _images(folder: Path) -> Iterator[str]:
    """Where images are; those that have their name before those that made room for others."""
    for name in (IMAGES, SUPERSEDED):
        if not (folder / name).is_symlink():
            yield from sorted(path for path in files_below(folder, name) if not path.endswith(PART))


def _read_all(folder: Path, paths: list[str]) -> list[tuple[str, Record | str]]:
    with ThreadPoolExecutor(cores()) as pool:
        return list(zip(paths, pool.map(lambda path: _read(folder, path), paths), strict=True))


def _read(folder: Path, path: str) -> Record | str:
    """The record of an image, or why there is none."""
    told = _told(folder, path)
    if told is None or told.provenance is None:
        return "it does not say how it was made"
    if told.provenance.derived:
        return "it was made of an image; the next run of a job that orders it says so"
    try:
        with os.fdopen(open_regular(folder / path, os.O_RDONLY), "rb") as file:
            data, written = file.read(LARGEST_FILE), os.fstat(file.fileno()).st_mtime
        return _record(told.provenance, _image(path, data, told), written)
    except OSError as error:
        return system_reason(error)
    except (BrokenImage, _Silent) as error:
        return str(error)


def _told(folder: Path, path: str) -> Embedded | None:
    """What an image says; None if that is not how it was made."""
    try:
        found = embedded(folder / path)
    except OSError:
        return None
    return found if found is not None and found.provenance is not None else None


def _image(path: str, data: bytes, told: Embedded) -> StoredImage:
    inspected, made = inspect_image(data), told.provenance
    if not inspected.is_decoded:
        raise BrokenImage("its pixels end early")
    received = told.received_sha256
    has_received = received is not None and SHA256.fullmatch(received) is not None
    return StoredImage(
        path=path,
        sha256=inspected.sha256,
        received_sha256=received if has_received else None,
        pixels_sha256=hash_pixels(data) if has_received else None,
        decoded=inspected.sha256[:DECODED_DIGITS],
        bytes=len(data),
        format=inspected.format,
        width=inspected.width,
        height=inspected.height,
        seed=None if made is None else made.seed,
        finish_reason=None if made is None else made.finish_reason,
    )


def _record(made: Provenance, image: StoredImage, written: float) -> Record:
    """The record that the lost manifest had, as far as the image tells.

    Raises:
        _Silent: it does not tell all that a record needs, or its id is not that of its request.
    """
    sent = _sent(made)
    asked = made.asked
    model_id = made.model if asked is None else asked.model
    request = sent if asked is None else asked.request
    if task_id(model_id, request) != made.task_id:
        raise _Silent("what it says of its request does not give the id of its task")
    served = None
    if asked is not None:
        served = Served(reason=asked.reason, model_id=made.model, seed=made.seed, request=sent)
    on_disk = min(datetime.fromtimestamp(written, UTC), utc_now())
    started = made.started_at or on_disk  # an image that was recovered does not tell
    answered = started + timedelta(milliseconds=made.latency_ms or 0)
    return Record(
        run_id=made.run_id,
        task_id=made.task_id,
        label=made.label,
        item_id=made.item_id,
        vars=made.vars,
        status=Status.SUCCEEDED,
        model_id=model_id,
        region=made.region or "unknown",
        endpoint="simulator" if made.simulated else "aws",
        seed=made.seed if asked is None else asked.seed,
        request=dict(request),
        served=served,
        images=(image,),
        finish_reasons=(made.finish_reason,),
        attempts=made.attempt,
        request_id=made.request_id,
        started_at=started,
        finished_at=max(answered, on_disk),
        latency_ms=made.latency_ms,
        cost_usd=_price(made.model, sent),
        maybe_billed=0,
        maybe_billed_usd=0.0,
        error=None,
    )


def _sent(made: Provenance) -> dict[str, Any]:
    """The body that was sent; where the file had no room for it, from its parts.

    Parts that were cut give another id, which tells.
    """
    if made.request is not None:
        return made.request
    texts = {"prompt": made.prompt, "negative_prompt": made.negative_prompt}
    said = {name: text for name, text in texts.items() if text is not None}
    return {**said, **made.parameters, "seed": made.seed}


def _price(model_id: str, request: Mapping[str, Any]) -> float | None:
    try:
        model = find(model_id)
        price = FAMILIES[model.family].price(model, request)
    except (UnknownModel, KeyError, TypeError, ValueError):
        return None
    return None if price is None else float(price)
