"""Our estimator as a client: the code that batchgen runs, driven by simulated time."""

# ruff: noqa: D102 - `world.Client` says what the methods do
from __future__ import annotations

from batchgen.pacing.estimator import Estimator
from batchgen.pacing.window import Call


class Ours:
    """`Estimator`, which the asyncio `Pacer` asks in the same way."""

    def __init__(self, requests_per_minute: float | None, concurrency: int = 512) -> None:
        self.estimator = Estimator(requests_per_minute, concurrency)

    def next_start(self, now: float) -> float:
        return self.estimator.next_start(now)

    def started(self, now: float) -> Call:
        return self.estimator.start(now)

    def served(self, call: Call, now: float) -> None:
        self.estimator.admitted(call, now)

    def throttled(self, call: Call, now: float) -> None:
        self.estimator.throttled(call, now)
