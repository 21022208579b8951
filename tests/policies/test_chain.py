"""One task's way from its worker to the wire, as a real stack shows it."""

import sys
from pathlib import Path

from fake_routes import FakeRoute, run
from virtual_time import virtual_time

import batchgen

PACKAGE = Path(batchgen.__file__).parent
THE_WAY = [
    "runner/worker.py: drain",  # takes the next task of its model
    "runner/worker.py: working",  # records what comes of it
    "policies/fallback.py: Fallback",  # which model, seed and prompt
    "policies/fallback.py: Fallback",  # the seeds and prompts of one model
    "policies/fallback.py: Fallback",  # the call, unless its model is lost while it waits
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

    stack = ()

    async def invoke(self, model_id, body):
        if not Spy.stack:
            Spy.stack = list(running())
        return await super().invoke(model_id, body)


def running():
    """The frames of our own code that run now, from the inside out."""
    frame = sys._getframe(2)
    while frame is not None:
        yield from named(frame.f_code)
        frame = frame.f_back


def named(code):
    path = Path(code.co_filename)
    if path.is_relative_to(PACKAGE):
        outermost, _, _ = code.co_qualname.partition(".")
        yield f"{path.relative_to(PACKAGE)}: {outermost}"


@virtual_time
async def test_thirteen_frames_lie_between_a_worker_and_the_wire(tmp_path):
    """Each decides something; with one route the balancer is none of them. Nothing forwards."""
    Spy.stack = ()
    await run(tmp_path / "two", [Spy("a"), Spy("b")], 1)

    assert Spy.stack[::-1] == THE_WAY
    assert len(Spy.stack) == 13
    assert len({frame.partition(":")[0] for frame in Spy.stack}) == 10

    Spy.stack = ()
    await run(tmp_path / "one", [Spy("a")], 1)
    assert len(Spy.stack) == 12
