"""Whole runs over routes whose services are fakes, in virtual time: what each route was sent, when.

Everything but the services is real: pacers, breakers, budget, manifest, store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, cast

from fakes import (
    CORE,
    FakeAnswer,
    Listener,
    make_attempt,
    make_image,
    make_labelling,
    make_task,
    picture,
    reply,
)

from batchgen.attempt import Generation
from batchgen.bedrock.routes import Endpoint, OpenRoute
from batchgen.errors import AttemptError, CredentialsRefused, ModelDenied, Unavailable
from batchgen.job import InputImages, Job, Route
from batchgen.output.manifest import Manifest
from batchgen.output.store import Store
from batchgen.pacing import Pace, Pacer
from batchgen.policies.attempt_log import DiskReserve
from batchgen.policies.budget import Budget
from batchgen.policies.chain import RunContext, by_routes
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.stop import Stop
from batchgen.runner.batch import Batch
from batchgen.runner.options import RunOptions
from batchgen.runner.progress import Summary
from batchgen.task import Task

EXPIRED = CredentialsRefused(
    "The security token included in the request is expired",
    code="ExpiredTokenException",
    advice="Renew them.",
)
DENIED = ModelDenied(
    "You don't have access to the model with the specified model ID.",
    code="AccessDeniedException",
    advice="Ask for access.",
)
AWAY = Unavailable("Too many requests for the model.", code="ServiceUnavailableException")
Behaviour = Callable[[float, str], BaseException | None]
"""From the time and the model to the error that a call meets; None: it gets its image."""


def now() -> float:
    return asyncio.get_running_loop().time()


@cache
def _answer() -> FakeAnswer:
    return FakeAnswer(body=reply(picture(), seeds=[7]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A call that arrived."""

    at: float
    model_id: str
    seed: int


@dataclass(slots=True)
class FakeRoute:
    """A route and the service behind it."""

    name: str
    rate: float | None = 60_000.0
    """What is said of its quota; None: nothing."""
    latency: float = 1.0
    concurrency: int = 8
    behave: Behaviour = lambda *_: None
    refusal_latency: float = 0.1
    refusal_latencies: Iterator[float] = field(default_factory=lambda: iter(()))
    """Of the first refusals, one by one."""
    profile: str | None = None
    region: str = "us-west-2"
    models: dict[str, str] = field(default_factory=dict)
    renewable: bool = True
    posts: list[Post] = field(default_factory=list)
    """Every call that arrived."""
    ends: list[str] = field(default_factory=list)
    """What each of them came to, in the same order: `made`, or the kind of error."""
    in_flight: int = 0
    most: int = 0
    renewals: list[float] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """The route as a job has it."""
        return {
            "name": self.name,
            "profile": self.profile or self.name,
            "region": self.region,
            "models": self.models,
            "requests_per_minute": self.rate,
            "concurrency": self.concurrency,
        }

    @property
    def starts(self) -> list[float]:
        return [post.at for post in self.posts]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(self.ends)

    async def invoke(self, model_id: str, body: bytes) -> FakeAnswer:
        seed = json.loads(body)["seed"]
        self.posts.append(Post(at=now(), model_id=model_id, seed=seed))
        error = self.behave(now(), model_id)
        self.ends.append("made" if error is None else type(error).__name__)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency if error is None else self._refusal())
        finally:
            self.in_flight -= 1
        if error is not None:
            raise fresh(error)
        return _answer()

    async def renew(self) -> bool:
        self.renewals.append(now())
        return self.renewable

    def _refusal(self) -> float:
        return next(self.refusal_latencies, self.refusal_latency)

    def most_within(self, seconds: float = 60.5) -> int:
        """The most calls that started within so many seconds."""
        starts = self.starts
        first = most = 0
        for last, at in enumerate(starts):
            while at - starts[first] >= seconds - 1e-6:
                first += 1
            most = max(most, last - first + 1)
        return most


def fresh(error: BaseException) -> BaseException:
    """Another one like it: an exception that is raised twice keeps its first traceback."""
    if not isinstance(error, AttemptError):
        return error
    return type(error)(error.message, code=error.code, advice=error.advice)


def between(start: float, end: float, error: BaseException) -> Behaviour:
    """This error for a while."""
    return lambda at, _: error if start <= at < end else None


def always(error: BaseException, *models: str) -> Behaviour:
    """This error for ever, for these models or for all."""
    return lambda _, model_id: error if not models or model_id in models else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run came to."""

    summary: Summary
    listener: Listener
    folder: Path
    took: float
    """Seconds from its first call."""

    @property
    def exit_code(self) -> int:
        return self.summary.exit_code

    @property
    def notices(self) -> list[str]:
        return self.listener.notices

    def lines(self, kind: str) -> list[dict[str, Any]]:
        text = (self.folder / "manifest.jsonl").read_text(encoding="ascii")
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def records(self, **having: Any) -> list[dict[str, Any]]:
        found = self.lines("record")
        return [each for each in found if having.items() <= each.items()]

    def by_route(self) -> Counter[str]:
        return Counter(each["route"] for each in self.records(status="succeeded"))


def job_of(folder: Path, routes: Sequence[FakeRoute], tasks: int, **changes: Any) -> Job:
    """A job of some images by these routes."""
    return Job.model_validate(
        {
            "name": "routes",
            "endpoint": "simulator",
            "model": CORE,
            "prompt": "mug {id}",
            "output": str(folder),
            "items": [{"id": f"item-{n}"} for n in range(tasks)],
            "routes": [each.fields() for each in routes],
            **changes,
            "limits": {"concurrency": 8, **changes.get("limits", {})},
        }
    )


def order_of(job: Job, routes: Sequence[FakeRoute], listener: Listener) -> RunOptions:
    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Endpoint]:
        pairs = zip(job.effective_routes, routes, strict=True)
        yield Endpoint(
            routes=tuple(
                OpenRoute(service=each, renew=each.renew, route=way) for way, each in pairs
            )
        )

    clock = asyncio.get_running_loop().time
    return RunOptions(job=job, open_service=opened, observer=listener, clock=clock)


async def run(
    folder: Path,
    routes: Sequence[FakeRoute],
    tasks: int | Job = 3,
    *,
    meanwhile: Callable[[Batch], Any] | None = None,
    **changes: Any,
) -> Ran:
    """One run to its end; `meanwhile` is given the batch before it starts."""
    job = tasks if isinstance(tasks, Job) else job_of(folder, routes, tasks, **changes)
    listener = Listener()
    batch = Batch(order_of(job, routes, listener))
    if meanwhile is not None:
        meanwhile(batch)
    start = now()
    summary = await batch.run()
    return Ran(summary=summary, listener=listener, folder=folder, took=now() - start)


class MemoryStore:
    """A store that keeps nothing."""

    folder = Path("nowhere")

    def begin(self, stem: str, *_: Any) -> Any:
        return make_image(path=f"{stem}.png")

    async def finish(self, saving: Any) -> Any:
        return saving


class Lines:
    """A manifest that is a list."""

    def __init__(self, path: Path) -> None:
        self.path = path / "manifest.jsonl"
        self.written: list[Any] = []

    async def append(self, line: Any, **_: Any) -> None:
        self.written.append(line)


class Routed:
    """The routes of a run without the run around them: attempts go in one by one."""

    def __init__(
        self, folder: Path, *routes: FakeRoute, budget: Decimal | None = None, models: Any = (CORE,)
    ) -> None:
        self.routes = routes
        self.stop = Stop()
        self.told: list[str] = []
        self.manifest = Lines(folder)
        self.budget = Budget(budget)
        clock = asyncio.get_running_loop().time
        self.quotas = [
            RouteQuotas(
                {
                    model: Pacer(
                        Pace(requests_per_minute=each.rate, concurrency=each.concurrency),
                        clock=clock,
                    )
                    for model in models
                    if not each.models or model in each.models
                }
            )
            for each in routes
        ]
        context = RunContext(
            run_id="run-1",
            region="us-west-2",
            manifest=cast("Manifest", self.manifest),
            store=cast("Store", MemoryStore()),
            images=InputImages(folder),
            labelling=make_labelling(),
            reserve=DiskReserve(folder),
            budget=self.budget,
            stop=self.stop,
            notify=self.told.append,
            clock=clock,
        )
        endpoint = Endpoint(
            routes=tuple(
                OpenRoute(
                    service=each,
                    renew=each.renew,
                    route=Route(name=each.name, region=each.region, models=each.models),
                )
                for each in routes
            )
        )
        self.generate = by_routes(endpoint, self.quotas, context)

    def send(self, task: Task | None = None, number: int = 1) -> asyncio.Task[Generation]:
        """An attempt that is on its way."""
        return asyncio.ensure_future(self.generate(make_attempt(task, number)))

    async def make(self, tasks: int, model: str = CORE) -> list[Any]:
        """So many attempts, all there from the start; each one's outcome."""
        sent = [self.send(make_task(model)) for _ in range(tasks)]
        return await asyncio.gather(*sent, return_exceptions=True)
