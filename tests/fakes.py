"""Working stand-ins for what a test must control: the service, the clock, pictures and tasks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image

from batchgen.attempt import Attempt, Failed, Generation, Outcome, Sent, Target
from batchgen.errors import (
    Ambiguous,
    AttemptError,
    UnusableReply,
)
from batchgen.job import FailureLimit, Item, Job, Metadata
from batchgen.models import FAMILIES, MODELS, Prompts
from batchgen.output.manifest import Manifest
from batchgen.output.store import Store
from batchgen.pacing import PaceState
from batchgen.policies.labelling import Labelling
from batchgen.policies.model_health import ModelHealth
from batchgen.policies.retry import Retry
from batchgen.policies.stop import Stop
from batchgen.record import Record, Status, StoredImage
from batchgen.runner.options import Observer
from batchgen.runner.progress import RunStats
from batchgen.runner.recorder import Ledger, Recorder, RunIdentity
from batchgen.task import Task, task_id

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
PRICE = Decimal("0.04")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def _subclasses(kind: type[AttemptError]) -> Iterator[type[AttemptError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


ERRORS: dict[type[AttemptError], AttemptError] = {
    error: (
        UnusableReply("words", body=b"") if error is UnusableReply else error("words", code="Code")
    )
    for error in _subclasses(AttemptError)
    if error is not Ambiguous
}
"""One of each that an attempt can end with."""

STATE = PaceState(
    phase="steady",
    allowed_per_minute=90.0,
    reached_per_minute=72,
    quota_per_minute=90.0,
    in_flight=5,
    waiting=9,
    concurrency=8,
    started=300,
    throttled=1,
    unavailable=2,
)
"""A model's calls, eight tenths of its quota."""

_numbers = count(1)


@cache
def picture(kind: str = "png", *, size: tuple[int, int] = (8, 6), shade: int = 0) -> bytes:
    """A small whole picture: `png`, `jpeg` or `webp`; another shade gives other bytes."""
    file = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 120, 40)).save(file, kind.upper())
    return file.getvalue()


def reply(*images: bytes, seeds: Iterable[Any] = (), reasons: Iterable[Any] = (None,)) -> bytes:
    """A response body of the Stable Image family."""
    encoded = [base64.b64encode(image).decode() for image in images]
    body = {"seeds": list(seeds), "finish_reasons": list(reasons), "images": encoded}
    return json.dumps(body).encode()


def make_task(model_id: str = CORE, **changes: Any) -> Task:
    """A task that can be made; unlike all others unless told which request it has."""
    number = next(_numbers)
    model = MODELS[model_id]
    family = FAMILIES[model.family]
    request = family.build(model, Prompts(prompt=f"mug {number}", negative_prompt=None), {}, number)
    task = Task(
        id=task_id(model_id, request),
        label=f"mug-{number}/1",
        item_id=f"mug-{number}",
        variant=1,
        vars={"style": "studio"},
        model_id=model_id,
        family=model.family,
        request=request,
        seed=number,
        file_stem=f"images/mug-{number}-1",
        image_format="png",
        price_usd=model.price_usd,
    )
    task = replace(task, **changes)
    if "request" in changes and "id" not in changes:
        task = replace(task, id=task_id(task.model_id, task.request))
    return task


def make_job(folder: Path, /, **prompts: str) -> Job:
    """A job with an item for each prompt; its output is this folder."""
    items = tuple(Item(id=name, prompt=prompt) for name, prompt in prompts.items())
    return Job(name="shop", endpoint="simulator", model=CORE, output=str(folder), items=items)


def make_attempt(task: Task | None = None, number: int = 1) -> Attempt:
    return Attempt(task=task or make_task(), number=number)


def make_image(**changes: Any) -> StoredImage:
    data = picture()
    values = {
        "path": "images/mug-1.png",
        "sha256": "0" * 64,
        "bytes": len(data),
        "format": "png",
        "width": 8,
        "height": 6,
        "seed": 7,
        "finish_reason": None,
    }
    return StoredImage(**{**values, **changes})


def make_labelling(told: list[str] | None = None, **metadata: Any) -> Labelling:
    """What labels the images of a job with this metadata; without any, nothing."""
    job = make_job(Path(), a="a mug")
    job = job.model_copy(update={"metadata": Metadata(**metadata or {"level": "none"})})
    labelling = Labelling(job, "run-1", ([] if told is None else told).append)
    labelling.prepare()
    return labelling


SENT = Sent(at=NOON, target=Target(region="us-west-2"))


def error_of(outcome: Outcome) -> AttemptError | None:
    """What a task ended with; None if it has its image."""
    return outcome.error if isinstance(outcome, Failed) else None


def make_generation(**changes: Any) -> Generation:
    generation = Generation(
        images=(make_image(),),
        finish_reasons=(None,),
        request_id="r-1",
        latency_ms=2890,
    )
    return replace(generation, **changes)


def make_record(task: Task | None = None, **changes: Any) -> Record:
    """The record of a task that succeeded at once."""
    task = task or make_task()
    values = {
        "run_id": "run-1",
        "task_id": task.id,
        "label": task.label,
        "item_id": task.item_id,
        "vars": dict(task.vars),
        "status": Status.SUCCEEDED,
        "model_id": task.model_id,
        "region": "us-west-2",
        "endpoint": "simulator",
        "seed": task.seed,
        "request": dict(task.request),
        "images": (make_image(path=f"{task.file_stem}.png"),),
        "finish_reasons": (None,),
        "attempts": 1,
        "request_id": "r-1",
        "started_at": NOON,
        "finished_at": NOON,
        "latency_ms": 2890,
        "cost_usd": 0.04,
        "maybe_billed": 0,
        "maybe_billed_usd": None if "maybe_billed" in changes else 0.0,
        "error": None,
    }
    return Record(**{**values, **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeAnswer:
    """What `generate.Answer` asks for."""

    body: bytes
    request_id: str | None = "r-1"
    latency_ms: int = 12
    releases: list[bool] = field(default_factory=list)

    def release(self) -> None:
        self.releases.append(True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One call that reached the fake service, and what it answered."""

    model_id: str
    request: dict[str, Any]
    outcome: FakeAnswer | BaseException


Step = BaseException | bytes | FakeAnswer | Callable[[dict[str, Any]], Awaitable[Any] | Any]
"""What one call meets: an error, a body, a whole answer, or a function that gives one of them."""


@dataclass(slots=True)
class FakeService:
    """A `generate.Service` that follows a script, then answers every call with a good picture."""

    script: Iterable[Step] = ()
    calls: list[Served] = field(default_factory=list)
    """The ledger: every call in the order of its answer."""
    in_flight: int = 0
    most_in_flight: int = 0
    renewals: int = 0

    def __post_init__(self) -> None:
        self.script = iter(self.script)

    @property
    def charged(self) -> int:
        """Calls that a service like Bedrock puts on the bill, lost answers included."""
        return sum(isinstance(call.outcome, FakeAnswer | Ambiguous) for call in self.calls)

    async def invoke(self, model_id: str, body: bytes) -> FakeAnswer:
        request = json.loads(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            outcome = await self._outcome(request)
        except BaseException as error:
            self.calls.append(Served(model_id=model_id, request=request, outcome=error))
            raise
        finally:
            self.in_flight -= 1
        self.calls.append(Served(model_id=model_id, request=request, outcome=outcome))
        return outcome

    async def renew(self) -> bool:
        """Credentials that can be read anew at any time."""
        self.renewals += 1
        return True

    async def _outcome(self, request: dict[str, Any]) -> FakeAnswer:
        await asyncio.sleep(0)  # a call is never answered at once
        step = next(self.script, good)
        if callable(step):
            step = step(request)
            if isinstance(step, Awaitable):
                step = await step
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, FakeAnswer) else FakeAnswer(body=step)


def good(request: dict[str, Any]) -> bytes:
    """The answer of a service that made what was asked for, in another shade for each seed."""
    seed = request.get("seed", 0)
    return reply(picture(request.get("output_format", "png"), shade=seed), seeds=[seed])


class FakeClock:
    """Seconds that pass only when told to, or when somebody sleeps on them."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Listener(Observer):
    """An observer that notes what it hears."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.retries: list[Retry] = []
        self.notices: list[str] = []

    def record(self, record: Record) -> None:
        self.records.append(record)

    def retry(self, retry: Retry) -> None:
        self.retries.append(retry)

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Books:
    """An output folder in which outcomes are written down, without a run around it."""

    def __init__(self, folder: Path, *, limit: FailureLimit | None = None) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.stop = Stop()
        self.listener = Listener()
        self.tally = RunStats("run-1", str(folder), clock=self.clock)
        self.manifest = Manifest.open(folder)
        self.store = Store(folder, self._make_room)
        ledger = Ledger(
            manifest=self.manifest, store=self.store, tally=self.tally, observer=self.listener
        )
        origin = RunIdentity(run_id="run-1", region="us-west-2", endpoint="simulator")
        self.health = ModelHealth((CORE,), self.stop, self.listener.notice, clock=self.clock)
        self.recorder = Recorder(origin, ledger, self.stop, self.health, limit)

    def lines(self) -> list[dict[str, Any]]:
        """What stands in the manifest."""
        return [json.loads(line) for line in self.manifest.path.read_bytes().splitlines()]

    def files(self) -> list[str]:
        """Every file of the output but manifest and lock."""
        found = (each for each in self.folder.rglob("*") if not each.is_dir())
        names = {each.relative_to(self.folder).as_posix() for each in found}
        return sorted(names - {"manifest.jsonl", "manifest.lock"})

    async def _make_room(self, path: str) -> None:
        (self.folder / path).rename(self.folder / f"{path}.older")


async def until(holds: Callable[[], bool]) -> None:
    """Let everybody run, threads too, until it holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # what a thread did sets no event of the loop  # what a thread did sets no event of the loop
            await asyncio.sleep(0.0005)


async def settle(turns: int = 20) -> None:
    """Let everybody run who is ready to."""
    for _ in range(turns):
        await asyncio.sleep(0)
