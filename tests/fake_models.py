"""Whole runs over models that each follow a script of their own, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from fakes import CORE, FakeAnswer, Listener, good, picture, reply

from batchgen.bedrock.routes import Endpoint, OpenRoute
from batchgen.errors import Ambiguous, AttemptError, ModelDenied, Throttled
from batchgen.job import Job
from batchgen.models import MODELS
from batchgen.runner.batch import Batch
from batchgen.runner.options import RunOptions
from batchgen.runner.progress import Summary
from batchgen.runner.selection import Selection

SD3_5 = "stability.sd3-5-large-v1:0"
REFUSED = reply(reasons=["Filter reason: prompt"])
"""Moderation refuses the prompt: nothing was made."""
WITHHELD = reply(picture(), reasons=["Filter reason: output image"])
"""Moderation refuses the picture, which was made."""
DENIED = ModelDenied("You don't have access.", code="AccessDeniedException")
BUSY = Throttled("Too many requests.", code="ThrottlingException")

Step = AttemptError | bytes | float | Callable[[float], "Step"] | None
"""What one call meets: an error, a body, a good picture (None) after so many seconds, or a function
from the time to one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that reached a model."""

    at: float
    model_id: str
    request: dict[str, Any]
    step: AttemptError | bytes | None

    @property
    def may_cost(self) -> Decimal:
        """What a pessimist finds on the bill."""
        free = isinstance(self.step, AttemptError) and not isinstance(self.step, Ambiguous)
        return Decimal(0) if free or self.step == REFUSED else MODELS[self.model_id].price_usd


@dataclass(slots=True)
class Models:
    """A service; a model without a script, or at its end, makes good pictures.

    A script is a list, or one step for ever.
    """

    scripts: dict[str, Iterable[Step] | Step] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    _running: dict[str, Iterator[Step]] = field(default_factory=dict)

    async def invoke(self, model_id: str, body: bytes) -> FakeAnswer:
        """One call."""
        loop, request = asyncio.get_running_loop(), json.loads(body)
        at = loop.time()
        step = self._step(model_id)
        while callable(step):
            step = step(at)
        if isinstance(step, float):
            await asyncio.sleep(step)
            step = None
        self.calls.append(Call(at=at, model_id=model_id, request=request, step=step))
        await asyncio.sleep(0)
        if isinstance(step, AttemptError):
            raise _another(step)
        return FakeAnswer(body=good(request) if step is None else step)

    def sent(self) -> list[str]:
        """The models that were called."""
        return [call.model_id for call in self.calls]

    def may_cost(self) -> Decimal:
        """What a pessimist finds on the bill."""
        return sum((call.may_cost for call in self.calls), Decimal(0))

    def _step(self, model_id: str) -> Step:
        script = self.scripts.get(model_id)
        if not isinstance(script, list):
            return script
        return next(self._running.setdefault(model_id, iter(script)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run came to."""

    summary: Summary
    notices: list[str]
    folder: Path

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """The manifest's lines of one kind, of all runs."""
        text = (self.folder / "manifest.jsonl").read_text(encoding="ascii")
        return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]

    def record(self) -> dict[str, Any]:
        """The only record."""
        (record,) = self.lines("record")
        return record


def job_of(folder: Path, tasks: int = 1, **changes: Any) -> Job:
    """A job of some items, in no hurry to wait for its quota."""
    items = [{"id": f"mug-{n}", "prompt": f"mug {n}"} for n in range(tasks)]
    limits = {"requests_per_minute": 60_000, **changes.pop("limits", {})}
    fields = {"name": "shop", "endpoint": "simulator", "model": CORE, "items": items}
    return Job.model_validate({**fields, "output": str(folder), "limits": limits, **changes})


async def run_of(job: Job, models: Models, **selection: Any) -> Ran:
    """One run to its end."""

    @asynccontextmanager
    async def opened(*_: Any) -> AsyncIterator[Endpoint]:
        yield Endpoint(routes=(OpenRoute(service=models, renew=_no_renewal),))

    listener, clock = Listener(), asyncio.get_running_loop().time
    selected = Selection(**selection)
    order = RunOptions(
        job=job, open_service=opened, observer=listener, clock=clock, selection=selected
    )
    summary = await Batch(order).run()
    return Ran(summary=summary, notices=listener.notices, folder=Path(job.output))


async def _no_renewal() -> bool:
    return False


def _another(error: AttemptError) -> AttemptError:
    """An equal error: each attempt notes its own time and place on it."""
    made = type(error).__new__(type(error), *error.args)
    made.__dict__.update(error.__dict__)
    return made
