"""Output folders as runs leave them, made without a run: images, records and the lines around."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import NOON, make_image, make_record, make_task, picture

from batchgen.output import (
    Label,
    SourceType,
    adopt_images,
    inspect_image,
    labelled,
    read_manifest,
    verify_output,
)
from batchgen.record import EndLine, Line, MovedLine, Record, RunLine
from batchgen.task import Task


def run_line(run_id: str = "run-1", **changes: Any) -> RunLine:
    values = {
        "run_id": run_id,
        "batchgen_version": "0.1.0",
        "sdk_versions": {},
        "job_name": "shop",
        "job_file": None,
        "job_sha256": None,
        "endpoint": "simulator",
        "region": "us-west-2",
        "random_seed_key": "k",
        "started_at": NOON,
    }
    return RunLine(**{**values, **changes})


def end_line(run_id: str = "run-1", code: int = 0, **summary: Any) -> EndLine:
    return EndLine(run_id=run_id, finished_at=NOON, exit_code=code, summary=summary)


@dataclass(slots=True)
class Output:
    """An output folder under construction, or under attack."""

    folder: Path
    lines: list[Line] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.jsonl"

    def add(self, data: bytes | None = None, **changes: Any) -> Record:
        """A task that succeeded: its image on the disk, and its record."""
        task = changes.pop("task", None) or make_task()
        self.tasks.append(task)
        kind = changes.pop("kind", "png")
        data = picture(kind, shade=len(self.tasks)) if data is None else data
        path = changes.pop("path", f"{task.file_stem}.{ {'jpeg': 'jpg'}.get(kind, kind) }")
        self.put(path, data)
        image = make_image(
            path=path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), format=kind
        )
        record = make_record(task, images=(image,), **changes)
        self.lines.append(record)
        return record

    def put(self, path: str, data: bytes) -> Path:
        """A file of the output."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        return file

    def move(self, record: Record, new_path: str) -> None:
        """Move a record's image, with the line that follows it."""
        path = record.images[0].path
        target = self.folder / new_path
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).rename(target)
        self.lines.append(
            MovedLine(run_id="run-1", task_id=record.task_id, path=path, new_path=new_path)
        )

    def write(self) -> Path:
        """Write the manifest: one run with all the lines."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [run_line(), *self.lines, end_line()]
        self.manifest.write_bytes(b"".join(line.to_json() for line in lines))
        return self.folder

    def edit(self, change: Callable[[dict[str, Any]], None], *, number: int = 0) -> None:
        """Change the fields of one record, the `number`-th, by hand."""
        lines = self.manifest.read_bytes().splitlines(keepends=True)
        at = [n for n, line in enumerate(lines) if line.startswith(b'{"kind": "record"')][number]
        fields = json.loads(lines[at])
        change(fields)
        lines[at] = json.dumps(fields).encode() + b"\n"
        self.manifest.write_bytes(b"".join(lines))

    def harm(self, change: Callable[[bytes], bytes], *, number: int = 0) -> None:
        """Change the bytes of one record's line."""
        lines = self.manifest.read_bytes().splitlines(keepends=True)
        at = [n for n, line in enumerate(lines) if line.startswith(b'{"kind": "record"')][number]
        lines[at] = change(lines[at])
        self.manifest.write_bytes(b"".join(lines))


def provenance(task: Task, **changes: Any) -> dict[str, Any]:
    """As `metadata: full` tells it."""
    texts = {"prompt", "negative_prompt", "seed"}
    return {
        "version": 1,
        "prompt": task.request.get("prompt"),
        "negative_prompt": task.request.get("negative_prompt"),
        "model": task.model_id,
        "seed": task.seed,
        "parameters": {key: value for key, value in task.request.items() if key not in texts},
        "task_id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "vars": dict(task.vars),
        "run_id": "run-1",
        "attempt": 2,
        "region": "us-west-2",
        "simulated": True,
        "started_at": "2026-11-21T12:00:00.000Z",
        "request_id": "r-1",
        "latency_ms": 2890,
        "finish_reason": None,
        "request": dict(task.request),
        **changes,
    }


def talking(data: bytes, told: dict[str, Any] | None) -> bytes:
    """An image that says this of itself."""
    label = Label(
        creator_tool="batchgen 0.1.0",
        created_at=NOON,
        source_type=SourceType.GENERATED,
        received_sha256=hashlib.sha256(data).hexdigest(),
        model="stability.stable-image-core-v1:1",
        seed=1,
        provenance=told,
    )
    return labelled(data, inspect_image(data), label)


class Lost(Output):
    """An output whose images say how they were made, and whose manifest goes."""

    def tell(self, kind="png", /, path=None, task=None, **changes):
        task = task or make_task()
        data = picture(kind, shade=len(self.tasks))
        extension = {"jpeg": "jpg"}.get(kind, kind)
        told = talking(data, provenance(task, **changes))
        return self.add(
            told, task=task, kind=kind, path=path or f"{task.file_stem}.{extension}", attempts=2
        )

    async def adopt(self):
        return await adopt_images(self.manifest, progress=lambda *_: None)

    def records(self):
        return [line for line in read_manifest(self.manifest) if isinstance(line, Record)]

    def findings(self):
        return {str(kind): n for kind, n in verify_output(self.manifest).counts.items()}


def sound(folder: Path, images: int = 6) -> Output:
    """An output in which everything is as the manifest says: one image moved, one made again."""
    output = Output(folder)
    for number in range(images):
        output.add(kind=("png", "jpeg", "webp")[number % 3])
    first = output.lines[0]
    assert isinstance(first, Record)
    output.move(first, f"superseded/{Path(first.images[0].path).stem}~1.png")
    output.write()
    return output
