"""Whole runs through the AWS SDK against a simulator in the same process, in virtual time.

What a test asserts on is the simulator's ledger and the files on the disk, never what batchgen says
of itself. Ten minutes of waiting take no time: when nothing moves, the clock jumps.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from clocks import LoopClock
from virtual_time import ThreadTimeLoop

from batchgen.job import Job
from batchgen.runner.batch import Batch
from batchgen.runner.options import Observer, RunOptions
from batchgen.runner.progress import Summary
from batchgen.runner.virtual_time import Events
from batchgen.simulator.faults.directives import read
from batchgen.simulator.options import Options, span
from batchgen.simulator.server import SERVICE, build_app, serving
from batchgen.simulator.service import Service

P = ParamSpec("P")
T = TypeVar("T")
CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
PRICE = Decimal("0.04")
"""USD of one image of Core."""


class SocketTimeLoop(ThreadTimeLoop):
    """Virtual time that jumps only when no byte has come for a moment of real time."""

    def wait_outside(
        self, select: Callable[[float | None], Events], timeout: float | None
    ) -> Events | None:
        events = super().wait_outside(select, timeout)
        if events is None and timeout is not None:
            events = select(0.01 if timeout > 100 else 0.001) or None
        return events


def in_time_of_sockets(test: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Make an async test a plain one in virtual time that may use sockets."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        async def main() -> T:
            return await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=SocketTimeLoop) as runner:
            return runner.run(main())

    return run


class Notes(Observer):
    """Keeps what a person would be told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run came to."""

    summary: Summary
    notices: list[str]
    folder: Path

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The manifest's lines of one kind, of all runs."""
        text = (self.folder / "manifest.jsonl").read_text(encoding="ascii")
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def records(self) -> list[dict[str, Any]]:
        """The last record of each task."""
        return list({line["task_id"]: line for line in self.lines("record")}.values())

    def statuses(self) -> Counter[str]:
        return Counter(record["status"] for record in self.records())

    def check_images(self) -> None:
        """Every record's image is there with its sha256."""
        for record in self.records():
            assert bool(record["images"]) == (record["status"] == "succeeded")
            for image in record["images"]:
                data = (self.folder / image["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == image["sha256"]


@dataclass(slots=True)
class Bench:
    """A simulator, and runs against it."""

    url: str
    service: Service
    folder: Path

    def script(self, *faults: dict[str, Any]) -> None:
        """Add fault directives; see `batchgen.simulator.faults.directives`."""
        self.service.script.add(read(list(faults)))

    def calls(self) -> list[dict[str, Any]]:
        """The ledger: every POST that arrived."""
        return self.service.ledger.lines()

    def charged(self) -> Decimal:
        """USD on the bill."""
        return sum((Decimal(line["charged_usd"]) for line in self.calls()), Decimal(0))

    def posts(self) -> list[int]:
        """How often each task was sent, the most often first."""
        return sorted(Counter(line["body_sha256"] for line in self.calls()).values(), reverse=True)

    def job(self, prompts: int | list[str] = 3, **changes: Any) -> Job:
        """A job of some images."""
        return Job.model_validate(self.fields(prompts, **changes))

    def fields(self, prompts: int | list[str] = 3, **changes: Any) -> dict[str, Any]:
        """What its file would say: in no hurry to wait for its quota."""
        texts = [f"mug {n}" for n in range(prompts)] if isinstance(prompts, int) else prompts
        return {
            "name": "money",
            "endpoint": self.url,
            "model": CORE,
            "output": str(self.folder),
            "items": [{"id": f"item-{n}", "prompt": text} for n, text in enumerate(texts)],
            **changes,
            "limits": {"requests_per_minute": 60_000, **changes.get("limits", {})},
        }

    async def run(self, job: Job | int = 3, /, *, order: dict[str, Any] | None = None) -> Ran:
        """One run to its end."""
        made_job = self.job(job) if isinstance(job, int) else job
        notes = Notes()
        clock = asyncio.get_running_loop().time
        ordered = RunOptions(job=made_job, observer=notes, clock=clock)
        summary = await Batch(replace(ordered, **(order or {}))).run()
        return Ran(summary=summary, notices=notes.notices, folder=Path(made_job.output))


@asynccontextmanager
async def bench(folder: Path, *, host: str = "127.0.0.1", **settings: Any) -> AsyncIterator[Bench]:
    """A simulator in this process and this loop's time: no latency and no quota unless asked for.

    Signatures carry the true time, which this simulator's clock leaves behind: it ignores them.

    Args:
        folder: the output is made below it.
        host: where batchgen does not know it for a simulator, it uses true credentials.
        settings: of the simulator.
    """
    quiet = {"latency": span("0"), "meter": "none", "picture": "plain", "ignore_dates": True}
    app = build_app(Options(**{**quiet, **settings}), LoopClock())
    async with serving(app, host) as url:
        yield Bench(url=url, service=app[SERVICE], folder=folder / "out")
