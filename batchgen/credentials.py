"""What happens when the service refuses the credentials: one attempt renews them, the others wait.

A run of hours outlives its token. While credentials are refused nothing else starts: the attempt
that met the refusal renews them and tries again by itself, with growing pauses; when it gets
through, the others go on. After ten minutes without success the run ends: a person is needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import chain, repeat

from batchgen.admission import Cause, Stop
from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import AttemptError, CredentialsRefused, NotStarted, ServiceUnusable

PATIENCE = 600.0
"""Seconds that a run waits for credentials that work."""
PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before each renewal; the last one repeats."""
SKEW_NOTICED = 240.0
"""Seconds by which a clock may be wrong before it is named as the cause; AWS allows 300."""


class Renewing:
    """A `Generate` whose attempts survive credentials that expire and are renewed."""

    def __init__(
        self,
        generate: Generate,
        renew: Callable[[], Awaitable[bool]],
        stop: Stop,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap attempts that have pacing and budget inside: a second try pays both again.

        Args:
            renew: reads the credentials anew; False if nothing but a person can change them.
            stop: asked to end the run when no renewal helps; its sleep is used for the pauses.
            clock: seconds.
        """
        self._generate = generate
        self._renew = renew
        self._stop = stop
        self._clock = clock
        self._lock = asyncio.Lock()
        self._accepted = 0
        """Counts the renewals that the service accepted."""

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, or the first that renewed credentials let through."""
        if self._lock.locked():
            async with self._lock:  # somebody is renewing: wait for the outcome
                pass
        before = self._accepted
        try:
            return await self._generate(attempt)
        except CredentialsRefused as error:
            refused = error
        async with self._lock:
            if self._accepted == before:
                return await self._persist(attempt, refused)
        return await self._generate(attempt)  # outside the lock: who was refused goes on at once

    async def _persist(self, attempt: Attempt, refused: CredentialsRefused) -> Generation:
        first_refusal = self._clock()
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            await self._stop.sleep(pause)
            renewable = await self._renewed()
            try:
                generation = await self._generate(attempt)
            except CredentialsRefused as error:
                refused = error
            except AttemptError:
                self._accepted += 1  # failed for another reason: the signature was good
                raise
            else:
                self._accepted += 1
                return generation
            if not renewable or self._clock() - first_refusal > PATIENCE:
                break
        self._stop.request(Cause.CREDENTIALS, describe(refused))
        raise NotStarted("the credentials are refused") from refused

    async def _renewed(self) -> bool:
        try:
            return await self._renew()
        except ServiceUnusable:
            return True  # a login may be under way; the next round tells


def describe(refused: CredentialsRefused) -> str:
    """Why the service refuses the credentials, in one sentence, and what to do in another."""
    skew = refused.clock_skew
    if skew is not None and abs(skew) > SKEW_NOTICED:
        side = "ahead of" if skew > 0 else "behind"
        minutes = round(abs(skew) / 60)
        return (
            f"This machine's clock is {minutes} minutes {side} the service's, so signatures are "
            "refused. Set the clock (NTP) and run the same command again."
        )
    said = refused.message.rstrip(".")
    return f"The service refuses the credentials: {said}. {refused.advice}".strip()
