"""`python -m benchmarks.resume [TASKS]`: all tasks but the last are finished; when does it start?

Makes the output of an earlier run (manifest and images, hard links to a few files) in a temporary
folder, then runs the job in a process of its own against a service that notes its first call, and
reads all records with `batchgen.read_manifest` in another. Ends with 1 if one of `GOALS` is missed;
fewer tasks have as much less time.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import batchgen
from batchgen import plan
from batchgen.bedrock.routes import Answer, Endpoint, OpenRoute
from batchgen.record import AttemptLine, EndLine, RunLine, utc_now
from batchgen.runner.batch import Batch
from batchgen.runner.options import RunOptions

LINKS = 30_000
"""Names that one file gets; ext4 allows 65,000."""
FIRST = (
    "  first call after {first_call_s:.1f} s ({first_call_cpu_s:.1f} s of CPU), {peak_mb:.0f} MB"
)
READ = (
    "  {records:,} records read in {read_s:.1f} s ({read_cpu_s:.1f} s of CPU) "
    "at {read_peak_mb:.0f} MB"
)
GOALS = {"first_call_s": 5.0, "whole_s": 15.0, "read_s": 10.0}
"""Most seconds for a million tasks; what takes its time however few they are has `LEAST`."""
LEAST = 1.0
IMAGE = b"\x89PNG, as far as its size is looked at"


def peak_mb() -> float:
    """Most resident memory of this process; getrusage would count the parent's before the exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def job(output: Path, tasks: int) -> batchgen.Job:
    """A job of a hundred items with all of a catalogue's texts."""
    return batchgen.Job(
        name="million",
        endpoint="simulator",
        model="stability.stable-image-core-v1:1",
        output=str(output),
        prompt="{product}, studio product photograph on a {backdrop} background, soft shadow",
        parameters={"aspect_ratio": "1:1", "negative_prompt": "text, watermark, logo, people"},
        vars={"backdrop": "white"},
        items=[
            batchgen.Item(id=f"item-{n}", vars={"product": f"mug {n}"}, variants=tasks // 100)
            for n in range(100)
        ],
    )


def prepare(output: Path, tasks: int) -> None:
    """What a run leaves that was stopped before its last task."""
    (output / "images").mkdir(parents=True)
    now = utc_now()
    with (output / "manifest.jsonl").open("wb") as manifest:
        manifest.write(
            RunLine(
                run_id="r1",
                batchgen_version="0",
                sdk_versions={},
                job_name="million",
                job_file=None,
                job_sha256=None,
                endpoint="simulator",
                region="us-west-2",
                random_seed_key="key",
                started_at=now,
            ).to_json()
        )
        for number, task in enumerate(plan.expand(job(output, tasks))):
            if number == tasks - 1:
                break
            manifest.write(lines(task, now))
            link(output, number, f"{task.file_stem}.png")
        end = EndLine(run_id="r1", finished_at=now, exit_code=3, summary={"billed_usd": 1.0})
        manifest.write(end.to_json())
        manifest.flush()
        os.fsync(manifest.fileno())  # as that run did with each line, and the next one would now


def lines(task: batchgen.Task, now: datetime) -> bytes:
    """The attempt and the record of one task; the record by hand, for a model takes its time."""
    attempt = AttemptLine(
        run_id="r1", task_id=task.id, attempt=1, seed=task.seed, price_usd=0.04, started_at=now
    )
    return attempt.to_json() + json.dumps(record(task, now)).encode() + b"\n"


def record(task: batchgen.Task, now: datetime) -> dict[str, Any]:
    """The fields of a record line, in their order."""
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = {
        "kind": "record",
        "run_id": "r1",
        "task_id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "vars": dict(task.vars),
        "status": "succeeded",
        "model_id": task.model_id,
        "region": "us-west-2",
        "endpoint": "simulator",
        "seed": task.seed,
        "request": dict(task.request),
        "images": [image(task)],
    }
    answered = {
        "finish_reasons": [None],
        "attempts": 1,
        "request_id": "5c54894e-c715-4024-9ed2-7f1e1b83a9a7",
        "started_at": at,
        "finished_at": at,
        "latency_ms": 2890,
        "cost_usd": 0.04,
        "maybe_billed": 0,
        "error": None,
    }
    return asked | answered


def image(task: batchgen.Task) -> dict[str, Any]:
    """What a record says of its image."""
    return {
        "path": f"{task.file_stem}.png",
        "sha256": "0" * 64,
        "bytes": len(IMAGE),
        "format": "png",
        "width": 1024,
        "height": 1024,
        "seed": task.seed,
        "finish_reason": None,
    }


def link(output: Path, number: int, path: str) -> None:
    """One more image: a new file now and then, a link to it otherwise."""
    source = output / f"source-{number // LINKS}"
    if number % LINKS == 0:
        source.write_bytes(IMAGE)
        an_hour_ago = time.time() - 3600  # written before its record, as images are
        os.utime(source, (an_hour_ago, an_hour_ago))
    os.link(source, output / path)


@dataclass(slots=True)
class FirstCall:
    """A service that notes its first call and answers nothing."""

    started: float
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0

    async def invoke(self, model_id: str, body: bytes) -> Answer:  # noqa: ARG002  # as `Service`
        """Note the time and refuse."""
        self.seconds = time.monotonic() - self.started
        self.cpu = time.process_time()
        self.peak_mb = peak_mb()
        raise batchgen.errors.Rejected("measured", code="Measured")

    async def renew(self) -> bool:
        """There is nothing to renew."""
        return False


async def resume(output: Path, tasks: int) -> None:
    """Run until the end and print what was measured."""
    service = FirstCall(time.monotonic())

    @asynccontextmanager
    async def opened(_job: batchgen.Job, _calls: int) -> AsyncIterator[Endpoint]:
        yield Endpoint(routes=(OpenRoute(service=service, renew=service.renew),))

    summary = await Batch(RunOptions(job=job(output, tasks), open_service=opened)).run()
    figures = {
        "first_call_s": service.seconds,
        "first_call_cpu_s": service.cpu,
        "peak_mb": service.peak_mb,
        "whole_s": time.monotonic() - service.started,
        "whole_peak_mb": peak_mb(),
        "earlier": summary.earlier_succeeded,
    }
    print(json.dumps(figures))


def read(output: Path) -> None:
    """Read every record and print what was measured."""
    began, cpu = time.monotonic(), time.process_time()
    records = sum(1 for _ in batchgen.read_manifest(output))
    figures = {
        "records": records,
        "read_s": time.monotonic() - began,
        "read_cpu_s": time.process_time() - cpu,
        "read_peak_mb": peak_mb(),
    }
    print(json.dumps(figures))


def measured(*arguments: str) -> dict[str, Any]:
    """What a process of its own has found out."""
    command = [sys.executable, "-m", "benchmarks.resume", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["run"]:
        asyncio.run(resume(Path(arguments[1]), int(arguments[2])))
        return 0
    if arguments[:1] == ["read"]:
        read(Path(arguments[1]))
        return 0
    tasks = int(arguments[0]) if arguments else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        prepare(output, tasks)
        size = (output / "manifest.jsonl").stat().st_size / 1e6
        figures = measured("run", str(output), str(tasks)) | measured("read", str(output))
    print(f"{tasks:,} tasks, {figures['earlier']:,} finished, manifest of {size:,.0f} MB:")
    print(FIRST.format(**figures))
    whole = "  all images looked at after {whole_s:.1f} s at {whole_peak_mb:.0f} MB"
    print(whole.format(**figures))
    print(READ.format(**figures))
    goals = {name: max(goal * tasks / 1e6, LEAST) for name, goal in GOALS.items()}
    missed = [name for name, goal in goals.items() if figures[name] > goal]
    for name in missed:
        print(f"  {name} is over its goal of {goals[name]:.1f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
