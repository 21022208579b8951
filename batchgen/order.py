"""What a caller orders: a job, a part of it, until when, and who listens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from batchgen.conclude import Observer
from batchgen.deadline import Deadline
from batchgen.endpoint import opened
from batchgen.job import Job
from batchgen.routes import Open
from batchgen.select import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to run and how."""

    job: Job
    selection: Selection = field(default_factory=Selection)
    deadline: Deadline | None = None
    observer: Observer = field(default_factory=Observer)
    wait_lock: float = 0.0
    """Seconds to wait for another run that holds the output."""
    open_service: Open = opened
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow; where a test makes time virtual, the loop's."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch, for the deadline."""
