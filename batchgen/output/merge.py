"""Several manifests as one: all their runs in the order of time, each line once."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from batchgen.errors import ManifestError
from batchgen.output.manifest import (
    RUN,
    open_manifest,
    parse_object,
    refuse_later_format,
    require_lines,
)
from batchgen.output.paths import inner_path
from batchgen.record import FORMAT_VERSION
from batchgen.task import is_step_image
from batchgen.text import quoted, system_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The lines of one run in one manifest."""

    manifest: Path
    run_id: str | None
    started_at: str
    """Of this run or, if that is later, of one before it in the same manifest."""
    start: int
    end: int


@dataclass(slots=True)
class Merged:
    """What was merged."""

    runs: set[str] = field(default_factory=set)
    records: int = 0
    unreadable: int = 0
    """Lines that are no JSON object; they are left out."""
    elsewhere: list[Path] = field(default_factory=list)
    """Manifests whose images the merged one cannot name: they do not lie below its folder."""


def merge(manifests: Sequence[Path], folder: Path, file: BinaryIO) -> Merged:
    """Write one manifest of several.

    Runs stand in the order of their start, so that the last record of a task is the newest one; a
    line that several manifests have stands once. Lines of older formats are written in the present
    one. Paths count from the folder of the merged manifest.

    Args:
        manifests: at least one.
        folder: where the merged manifest will lie.
        file: takes it.

    Raises:
        ManifestError: one cannot be read or holds no line of a run, a later version wrote it, or a
            path leaves its folder.
        OSError: the file cannot be written.
    """
    for path in manifests:
        require_lines(path)
    merged = Merged()
    runs = [run for path in manifests for run in _runs(path)]
    prefixes = {path: _prefix(path, folder) for path in manifests}
    merged.elsewhere = [path for path, prefix in prefixes.items() if prefix is None]
    shared = {name for name, count in Counter(run.run_id for run in runs).items() if count > 1}
    seen: dict[str | None, set[bytes]] = {name: set() for name in shared}
    for run in sorted(runs, key=lambda each: each.started_at):
        for data in _lines(run):
            line = _rewritten(data, run.manifest, prefixes[run.manifest] or "")
            if line is None:
                merged.unreadable += data.strip() != b""
                continue
            if run.run_id in seen:
                digest = hashlib.sha256(line).digest()[:16]
                if digest in seen[run.run_id]:
                    continue
                seen[run.run_id].add(digest)
            merged.records += line.startswith(b'{"kind": "record"')
            merged.runs |= {run.run_id} if run.run_id else set()
            file.write(line)
    return merged


def _runs(path: Path) -> Iterator[_Run]:
    """The runs of a manifest; what stands before the first one is a run without a name."""
    start, offset, run_id, started_at = 0, 0, None, ""
    try:
        with open_manifest(path, buffering=1 << 20) as file:
            for data in file:
                fields = _run_line(data)
                if fields is not None:
                    refuse_later_format(fields, str(path))
                    if offset > start:
                        yield _Run(manifest=path, run_id=run_id, started_at=started_at,
                                   start=start, end=offset)  # fmt: skip
                    start, run_id = offset, str(fields.get("run_id"))
                    started_at = max(started_at, str(fields.get("started_at") or ""))
                offset += len(data)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {system_reason(error)}") from error
    if offset > start:
        yield _Run(manifest=path, run_id=run_id, started_at=started_at, start=start, end=offset)


def _run_line(data: bytes) -> dict[str, Any] | None:
    is_plain = data.startswith(b'{"kind": ')
    if is_plain and not data.startswith(RUN):
        return None
    fields = parse_object(data)
    return fields if fields is not None and fields.get("kind") == "run" else None


def _lines(run: _Run) -> Iterator[bytes]:
    with open_manifest(run.manifest, buffering=1 << 20) as file:
        file.seek(run.start)
        while file.tell() < run.end and (data := file.readline()):
            yield data


def _prefix(manifest: Path, folder: Path) -> str | None:
    """What stands before the paths of a manifest in the merged one; None where nothing can."""
    own, base = manifest.resolve().parent, folder.resolve()
    if not own.is_relative_to(base):
        return None
    return own.relative_to(base).as_posix().removeprefix(".")


def _rewritten(data: bytes, manifest: Path, prefix: str) -> bytes | None:
    """A line in the present format, with its paths; None if it cannot be read."""
    fields = parse_object(data)
    if fields is None:
        return None
    match fields.get("kind"):
        case "run":
            fields["version"] = FORMAT_VERSION
        case "attempt" if "cost_usd" in fields and "price_usd" not in fields:
            fields = {("price_usd" if k == "cost_usd" else k): v for k, v in fields.items()}
        case "moved":
            _place(fields, ("path", "new_path"), manifest, prefix)
        case "record":
            for image in (*_mappings(fields.get("images")), *_step_images(fields)):
                _place_image(image, manifest, prefix)
        case "derived":
            _place_image(fields, manifest, prefix)
        case "repair":
            fields["damaged_lines"] = []  # their offsets are of another file
            for each in _mappings(fields.get("files")):
                _place(each, ("path", "new_path"), manifest, prefix)
    return json.dumps(fields, separators=(", ", ": ")).encode() + b"\n"


def _place_image(image: dict[str, Any], manifest: Path, prefix: str) -> None:
    """The paths of an image and of what is derived of it."""
    for each in (image, *_mappings(image.get("derived"))):
        _place(each, ("path",), manifest, prefix)


def _step_images(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a record says of the images of other tasks that its image was made of."""
    served = record.get("served")
    for each in (record, served if isinstance(served, dict) else {}):
        request = each.get("request")
        values = request.values() if isinstance(request, dict) else ()
        yield from (value for value in values if is_step_image(value) and "path" in value)


def _mappings(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _place(fields: dict[str, Any], names: Sequence[str], manifest: Path, prefix: str) -> None:
    for name in names:
        path = inner_path(fields.get(name))
        if path is None:
            raise ManifestError(
                f"{manifest} names {quoted(str(fields.get(name)))}, which is no path inside its "
                "folder: no run of batchgen wrote that"
            )
        fields[name] = posixpath.join(prefix, path)
