"""Circuit breakers: a route, a model or credentials that only refuse are asked rarely.

One state machine at three scopes. Closed, calls pass. It opens when nothing but refusals came for
long enough; then one probe at a time asks, each after a longer pause, until one gets through.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import AttemptError, InputChanged, NotStarted
from batchgen.policies.retry import NOT_BILLED
from batchgen.policies.stop import Stop
from batchgen.text import duration

QUIET = 60.0
"""Seconds without any answer but refusals after which the breaker of a route opens."""
REFUSALS = 10
"""Refusals in a row that it takes besides."""
PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between two probes of a route; the last one repeats."""


class CircuitBreaker:
    """Whether something may be called: closed, open, or open with a probe under way."""

    def __init__(
        self,
        pauses: Sequence[float],
        *,
        quiet: float = 0.0,
        refusals: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start closed.

        Args:
            pauses: seconds before each probe; the last one repeats.
            quiet: seconds of nothing but refusals after which it opens.
            refusals: how many of them it takes besides.
            clock: seconds.
        """
        self._pauses = pauses
        self._quiet = quiet
        self._most = refusals
        self._clock = clock
        self._since = 0.0
        self._probes = 0
        self._probe_at = 0.0
        self.refusals = 0
        """In a row, up to now."""
        self._open = False
        self.probe = asyncio.Lock()
        """Held by the one probe that is under way."""

    def is_open(self) -> bool:
        """Whether calls go one at a time, as probes."""
        return self._open

    @property
    def quiet_s(self) -> float:
        """Seconds since the first of the refusals in a row; 0 without one."""
        return self._clock() - self._since if self.refusals else 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next probe is due; 0 while it is closed."""
        return max(0.0, self._probe_at - self._clock()) if self._open else 0.0

    def ready_in(self) -> float:
        """Seconds until an attempt could start; infinite while a probe is under way."""
        return math.inf if self._open and self.probe.locked() else self.pause

    def refuse(self) -> bool:
        """Count a refusal; True if it opened the breaker."""
        if not self.refusals:
            self._since = self._clock()
        self.refusals += 1
        if self._open or self.refusals < self._most or self.quiet_s < self._quiet:
            return False
        self._open = True
        self.postpone()
        return True

    def postpone(self) -> None:
        """The next probe is due after the next pause."""
        self._probe_at = self._clock() + self._pauses[min(self._probes, len(self._pauses) - 1)]
        self._probes += 1

    def answer(self) -> None:
        """Something else than a refusal came: the refusals in a row begin anew."""
        self.refusals = 0

    def close(self) -> bool:
        """A call got through; True if the breaker was open."""
        was_open, self._open = self._open, False
        self.refusals = self._probes = 0
        return was_open


def with_circuit_breaker(
    generate: Generate, breaker: CircuitBreaker, stop: Stop, notify: Callable[[str], None]
) -> Generate:
    """Attempts that go one at a time, and after a pause, where nothing gets through.

    A refusal is an attempt that surely was not billed: throttled, no capacity, not sent,
    credentials refused. Any other outcome, a failure too, says that the service serves calls.
    """

    async def attempt_unless_open(attempt: Attempt) -> Generation:
        async with _turn(breaker, stop) if breaker.is_open() else nullcontext():
            try:
                generation = await generate(attempt)
            except NOT_BILLED as error:
                _refused(breaker, error, notify)
                raise
            except InputChanged:  # nothing was sent: it says nothing of the service
                raise
            except AttemptError:
                _served(breaker, notify)
                raise
            _served(breaker, notify)
            return generation

    return attempt_unless_open


@asynccontextmanager
async def _turn(breaker: CircuitBreaker, stop: Stop) -> AsyncIterator[None]:
    """Let attempts that came while the breaker was open pass one by one."""
    async with AsyncExitStack() as probing:
        await probing.enter_async_context(breaker.probe)
        if breaker.is_open():
            await stop.sleep(breaker.pause)
        else:
            await probing.aclose()  # it closed while this one waited: all go on at once
            if stop.stopping is not None:
                raise NotStarted("the run is stopping")
        yield


def _refused(breaker: CircuitBreaker, error: AttemptError, notify: Callable[[str], None]) -> None:
    if breaker.refuse():
        notify(
            f"No call has got through for {duration(breaker.quiet_s)} ({error.code}: "
            f"{error.message}). One call at a time now asks whether the service is back."
        )
    elif breaker.is_open():
        breaker.postpone()


def _served(breaker: CircuitBreaker, notify: Callable[[str], None]) -> None:
    if breaker.close():
        notify("The service is back; calls go on at full pace.")
