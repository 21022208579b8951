"""What happens when the service refuses the credentials: one attempt renews them, the others wait.

A run of hours outlives its token. While credentials are refused nothing else starts: the attempt
that met the refusal renews them and tries again by itself, with growing pauses; when it gets
through, the others go on. After ten minutes without success the run ends: a person is needed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import (
    AttemptError,
    CredentialsRefused,
    NeverSent,
    NotStarted,
    ServiceUnusable,
)
from batchgen.policies.stop import Stop, StopCause

PATIENCE = 600.0
"""Seconds that a run waits for credentials that work."""
PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before each renewal; the last one repeats."""
SKEW_NOTICED = 240.0
"""Seconds by which a clock may be wrong before it is named as the cause; AWS allows 300."""


@dataclass(slots=True)
class _Doubt:
    """Credentials that were refused and not accepted since."""

    refused: CredentialsRefused
    since: float
    next_at: float
    """When they may be renewed."""
    renewals: int = 0


class CredentialRefresh:
    """A `Generate` whose attempts survive credentials that expire and are renewed."""

    def __init__(
        self,
        generate: Generate,
        renew: Callable[[], Awaitable[bool]],
        stop: Stop,
        *,
        elsewhere: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap attempts that have pacing and budget inside: a second try pays both again.

        Args:
            renew: reads the credentials anew; False if nothing but a person can change them.
            stop: asked to stop what these credentials serve when no renewal helps; its sleep is
                used for the pauses.
            elsewhere: whether other credentials could serve an attempt: then nobody waits here for
                longer than one renewal, but leaves with the refusal.
            tell: told when the service refuses the credentials, once until it accepts some.
            clock: seconds.
        """
        self._generate = generate
        self._renew = renew
        self._stop = stop
        self._elsewhere = elsewhere
        self._tell = tell
        self._clock = clock
        self._lock = asyncio.Lock()
        self._accepted = 0
        """Counts the renewals that the service accepted."""
        self._doubt: _Doubt | None = None

    def is_in_doubt(self) -> bool:
        """Whether the last word of the service on these credentials was a refusal."""
        return self._doubt is not None

    def ready_in(self) -> float:
        """Seconds until an attempt could start; infinite while another one renews."""
        if self._lock.locked():
            return math.inf
        return 0.0 if self._doubt is None else self._pause(self._doubt)

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, or the first that renewed credentials let through."""
        if self._lock.locked() or self._doubt is not None:
            async with self._lock:  # somebody is renewing: wait for the outcome
                if self._doubt is not None:
                    if self._elsewhere() and self._pause(self._doubt) > PAUSES[0]:
                        raise self._doubt.refused
                    return await self._persist(attempt, self._doubt)
        before = self._accepted
        try:
            return await self._generate(attempt)
        except CredentialsRefused as error:
            if self.ready_in() > 0 and self._elsewhere():
                raise
            refused = error
        async with self._lock:
            if self._accepted == before and self._stop.stopping is None:
                self._doubt = self._doubt or self._new_doubt(refused)
                return await self._persist(attempt, self._doubt)
        if self._stop.stopping is not None:
            raise NotStarted("the credentials are refused") from refused
        return await self._generate(attempt)  # outside the lock: who was refused goes on at once

    def _new_doubt(self, refused: CredentialsRefused) -> _Doubt:
        """The credentials were refused for the first time since they were accepted."""
        said = refused.message.rstrip(".")
        self._tell(f"The service refuses the credentials ({said}): they are read anew.")
        now = self._clock()
        return _Doubt(refused=refused, since=now, next_at=now + PAUSES[0])

    def _pause(self, doubt: _Doubt) -> float:
        return max(0.0, doubt.next_at - self._clock())

    async def _persist(self, attempt: Attempt, doubt: _Doubt) -> Generation:
        """Renew and try until the service accepts, as long as there is hope."""
        while True:
            await self._stop.sleep(self._pause(doubt))
            renewable = await self._renewed()
            try:
                generation = await self._generate(attempt)
            except CredentialsRefused as error:
                doubt.refused = error
            except NeverSent:
                self._postpone(doubt)  # nobody has seen them
                raise
            except AttemptError:
                self._accept()  # failed for another reason: the signature was good
                raise
            else:
                self._accept()
                return generation
            self._postpone(doubt)
            if not renewable or self._clock() - doubt.since > PATIENCE:
                break
            if self._elsewhere():
                raise doubt.refused
        self._stop.request(StopCause.CREDENTIALS, describe(doubt.refused))
        raise NotStarted("the credentials are refused") from doubt.refused

    def _postpone(self, doubt: _Doubt) -> None:
        doubt.renewals += 1
        doubt.next_at = self._clock() + PAUSES[min(doubt.renewals, len(PAUSES) - 1)]

    def _accept(self) -> None:
        self._accepted += 1
        self._doubt = None

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
