"""A circuit breaker: while nothing succeeds, one call at a time asks if the service is back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import AttemptError, NotStarted
from batchgen.policies.retry import NOT_BILLED
from batchgen.policies.stop import Stop

QUIET = 60.0
"""Seconds without any answer but refusals after which the breaker opens."""
REFUSALS = 10
"""Refusals in a row that it takes besides."""
PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between two probes; the last one repeats."""


class CircuitBreaker:
    """A `Generate` that stops pushing where nothing gets through.

    A refusal is an attempt that surely was not billed: throttled, no capacity, not sent,
    credentials refused. Any other outcome, a failure too, says that the service serves calls.
    """

    def __init__(
        self,
        generate: Generate,
        stop: Stop,
        tell: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap attempts that have budget and pacing inside: who waits here holds neither."""
        self._generate = generate
        self._stop = stop
        self._tell = tell
        self._clock = clock
        self._refused_since = 0.0
        self.refusals = 0
        """In a row, up to now."""
        self._open = False
        self._probes = 0
        self._probe_at = 0.0
        self._probe = asyncio.Lock()

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt: at once while the breaker is closed, else alone and after a pause."""
        if not self.is_open():
            return await self._attempt(attempt)
        async with self._probe:
            if self.is_open():
                await self._stop.sleep(max(0.0, self._probe_at - self._clock()))
                return await self._attempt(attempt)
            if self._stop.stopping is not None:
                raise NotStarted("the run is stopping")
        return await self._attempt(attempt)

    def is_open(self) -> bool:
        """Whether calls go one at a time."""
        return self._open

    def ready_in(self) -> float:
        """Seconds until an attempt could start; infinite while another one probes."""
        if not self._open:
            return 0.0
        if self._probe.locked():
            return math.inf
        return max(0.0, self._probe_at - self._clock())

    async def _attempt(self, attempt: Attempt) -> Generation:
        try:
            generation = await self._generate(attempt)
        except NOT_BILLED as error:
            self._refused(error)
            raise
        except AttemptError:
            self._served()
            raise
        self._served()
        return generation

    def _refused(self, error: AttemptError) -> None:
        if not self.refusals:
            self._refused_since = self._clock()
        self.refusals += 1
        quiet = self._clock() - self._refused_since
        if not self._open and self.refusals >= REFUSALS and quiet >= QUIET:
            self._open = True
            self._tell(
                f"No call has got through for {quiet:.0f} s ({error.code}: {error.message}). "
                "One call at a time now asks whether the service is back."
            )
        if self._open:
            self._probe_at = self._clock() + PAUSES[min(self._probes, len(PAUSES) - 1)]
            self._probes += 1

    def _served(self) -> None:
        if self._open:
            self._tell("The service is back; calls go on at full pace.")
        self.refusals = self._probes = 0
        self._open = False
