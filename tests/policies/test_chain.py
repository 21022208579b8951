"""One task's way from its worker to the wire, as a real stack shows it."""

import asyncio
import sys
from pathlib import Path

from fake_routes import FakeRoute, run
from virtual_time import virtual_time

import batchgen

PACKAGE = Path(batchgen.__file__).parent
TO_THE_CALL = [
    "runner/worker.py: drain",  # takes the next task of its model
    "runner/worker.py: working",  # records what comes of it
    "policies/fallback.py: Fallback",  # which model, seed and prompt
    "policies/fallback.py: Fallback",  # the seeds and prompts of one model
    "policies/fallback.py: Fallback",  # the call, raced against the loss of its model
]
FROM_THE_CALL = [
    "policies/retry.py: with_retry",
    "policies/balancer.py: Balancer",
    "policies/credential_refresh.py: CredentialRefresh",
    "policies/circuit_breaker.py: with_circuit_breaker",
    "policies/budget.py: with_budget",
    "policies/quotas.py: RouteQuotas",
    "policies/attempt_log.py: with_attempt_log",
    "policies/generate.py: generate_with",
]


class Spy(FakeRoute):
    """A service that notes how its first call came to it."""

    stacks = ()

    async def invoke(self, model_id, body):
        if not Spy.stacks:
            Spy.stacks = (list(waiting()), list(running()))
        return await super().invoke(model_id, body)


def running():
    """The frames of our own code that run now, from the inside out."""
    frame = sys._getframe(2)
    while frame is not None:
        yield from named(frame.f_code)
        frame = frame.f_back


def waiting():
    """The frames of our own code that wait for the task that runs now, from the outside in."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        frames, coroutine = [], task.get_coro()
        while (code := getattr(coroutine, "cr_code", None)) is not None:
            frames += named(code)
            coroutine = coroutine.cr_await
        if any("Fallback" in frame for frame in frames):
            yield from frames


def named(code):
    path = Path(code.co_filename)
    if path.is_relative_to(PACKAGE):
        outermost, _, _ = code.co_qualname.partition(".")
        yield f"{path.relative_to(PACKAGE)}: {outermost}"


@virtual_time
async def test_thirteen_frames_lie_between_a_worker_and_the_wire(tmp_path):
    """Each decides something; with one route the balancer is none of them. Nothing forwards."""
    Spy.stacks = ()
    await run(tmp_path / "two", [Spy("a"), Spy("b")], 1)
    above, below = Spy.stacks

    assert above == TO_THE_CALL
    assert below[::-1] == FROM_THE_CALL
    assert len(above + below) == 13
    assert len({frame.partition(":")[0] for frame in above + below}) == 10

    Spy.stacks = ()
    await run(tmp_path / "one", [Spy("a")], 1)
    above, below = Spy.stacks
    assert len(above + below) == 12
