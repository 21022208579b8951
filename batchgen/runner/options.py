"""What a caller orders: a job, a part of it, until when, and who listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from batchgen.bedrock import Open, open_endpoint
from batchgen.job import Job
from batchgen.plan import Plan
from batchgen.policies import Retry
from batchgen.record import Record
from batchgen.runner.deadline import Deadline
from batchgen.runner.progress import Summary
from batchgen.runner.selection import Selection


class Observer:
    """Hears what happens in a run; the default hears nothing. Nothing here may wait or raise."""

    def start(self, summary: Summary) -> None:
        """The run holds its output, and is about to look for what is to be made."""

    def record(self, record: Record) -> None:
        """A task was finished, and its record is durable."""

    def retry(self, retry: Retry) -> None:
        """An attempt failed and is about to be made again."""

    def notice(self, text: str) -> None:
        """Something that a person should know, in a sentence."""

    def info(self, text: str) -> None:
        """Something that goes as it should, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What to run and how."""

    job: Job
    plan: Plan | None = None
    """What it makes, with this job as its settings; None: the job's own plan."""
    reproduces: Path | None = None
    """The manifest whose images the plan makes again."""
    selection: Selection = field(default_factory=Selection)
    deadline: Deadline | None = None
    observer: Observer = field(default_factory=Observer)
    wait_lock: float = 0.0
    """Seconds to wait for another run that holds the output."""
    open_service: Open = open_endpoint
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow; where a test makes time virtual, the loop's."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch, for the deadline."""
