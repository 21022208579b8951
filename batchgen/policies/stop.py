"""The one switch that ends a run, and the table of the rules that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from batchgen.errors import ExitCode, NotStarted
from batchgen.task import Task


class StopCause(StrEnum):
    """Why a run stops before its tasks are done."""

    BUDGET = "budget"
    CREDENTIALS = "credentials"
    DEADLINE = "deadline"
    DENIED = "denied"
    DISK = "disk"
    FAILURES = "failures"
    INTERRUPTED = "interrupted"
    """SIGINT, or a terminal that went away."""
    TERMINATED = "terminated"
    """SIGTERM."""
    THROTTLED_OUT = "throttled_out"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class StopRule:
    """What a cause means for the run's exit code, and what is said."""

    exit_code: ExitCode
    sentence: str
    """What happened and what to do, with the facts in braces."""


RULES: Mapping[StopCause, StopRule] = {
    # `budget`: not even one more attempt can be paid for.
    StopCause.BUDGET: StopRule(ExitCode.RESUMABLE, "The budget is used up: {shortage}"),
    # `credential_refresh`: no renewal brought credentials that the service accepts.
    StopCause.CREDENTIALS: StopRule(ExitCode.SERVICE, "{refusal}"),
    # `runner.deadline`
    StopCause.DEADLINE: StopRule(
        ExitCode.RESUMABLE,
        "The deadline {deadline} is too near for another call to end in time.",
    ),
    # `model_health`: every model of the job was denied.
    StopCause.DENIED: StopRule(ExitCode.SERVICE, "{model_id} cannot be used: {said}"),
    # `attempt_log`: no room for one more image; `runner`: something could not be written.
    StopCause.DISK: StopRule(ExitCode.RESUMABLE, "{problem}. {remedy} run the same command again."),
    # `runner.recorder`: `limits.max_failures`
    StopCause.FAILURES: StopRule(
        ExitCode.RESUMABLE, "{failed} tasks failed: limits.max_failures is reached."
    ),
    # The command line, or a caller's `Batch.drain`.
    StopCause.INTERRUPTED: StopRule(ExitCode.INTERRUPTED, "{who} stopped the run."),
    StopCause.TERMINATED: StopRule(ExitCode.TERMINATED, "{who} stopped the run."),
    # `runner.recorder`: the service is there and has refused every call for too long.
    # `model_health`: the quota of every model is used up.
    StopCause.THROTTLED_OUT: StopRule(ExitCode.RESUMABLE, "{what}: {said}"),
    # `runner.recorder`: nothing was ever reached.
    StopCause.UNREACHABLE: StopRule(ExitCode.SERVICE, "Nothing answers at the endpoint: {said}"),
}
"""Every rule that stops a run. The first one that applies wins; what is in flight goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """The first reason to stop that came up."""

    cause: StopCause
    text: str
    """One sentence for a person: what happened and what to do."""

    @property
    def exit_code(self) -> ExitCode:
        """How a run ends that has tasks left for this reason."""
        return RULES[self.cause].exit_code


class Stop:
    """The one switch that ends a run: set once, never unset; what is in flight goes on."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.stopping: StopReason | None = None

    def apply(self, cause: StopCause, **facts: object) -> None:
        """Request the stop with the sentence of the cause's rule."""
        self.request(cause, RULES[cause].sentence.format(**facts).strip())

    def request(self, cause: StopCause, text: str) -> None:
        """Stop handing out tasks. Only the first request counts."""
        if self.stopping is not None:
            return
        self.stopping = StopReason(cause=cause, text=text)
        self._event.set()
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the stop is requested, or now if it was."""
        self._listeners.append(listener)
        if self.stopping is not None:
            listener()

    async def wait(self) -> None:
        """Return when the stop has been requested."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops meanwhile.

        Raises:
            NotStarted: the run is stopping.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise NotStarted("the run is stopping")

    def until(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Hand out tasks until the stop is requested."""
        for task in tasks:
            if self.stopping is not None:
                return
            yield task
