"""What happens when the service refuses the credentials: one attempt renews them, the others wait.

A run of hours outlives its token. While credentials are refused nothing else starts: the attempt
that met the refusal renews them and tries again by itself, with growing pauses; when it gets
through, the others go on. After ten minutes without success the run ends: a person is needed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import (
    AttemptError,
    CredentialsRefused,
    NeverSent,
    NotStarted,
    ServiceUnusable,
)
from batchgen.policies.circuit_breaker import CircuitBreaker
from batchgen.policies.stop import Stop, StopCause
from batchgen.text import duration

PATIENCE = 600.0
"""Seconds that a run waits for credentials that work."""
PAUSES = (1.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds before each renewal; the last one repeats."""
SKEW_NOTICED = 240.0
"""Seconds by which a clock may be wrong before it is named as the cause; AWS allows 300."""


class CredentialRefresh:
    """A `Generate` whose attempts survive credentials that expire and are renewed."""

    def __init__(
        self,
        generate: Generate,
        renew: Callable[[], Awaitable[bool]],
        stop: Stop,
        *,
        others: Sequence[Stop] = (),
        notify: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap attempts that have pacing and budget inside: a second try pays both again.

        Args:
            generate: one attempt.
            renew: reads the credentials anew; False if nothing but a person can change them.
            stop: asked to stop what these credentials serve when no renewal helps; its sleep is
                used for the pauses.
            others: of the other routes. While one of them goes on, an attempt waits here for
                one renewal at most and leaves with the refusal.
            notify: told when the service refuses the credentials, once until it accepts some.
            clock: seconds.
        """
        self._generate = generate
        self._renew = renew
        self._stop = stop
        self._others = others
        self._notify = notify
        self._breaker = CircuitBreaker(PAUSES, clock=clock)
        """Open while the last word of the service on these credentials was a refusal."""
        self._refused: CredentialsRefused | None = None
        """That word."""
        self._accepted = 0
        """Counts the renewals that the service accepted."""

    def is_in_doubt(self) -> bool:
        """Whether the last word of the service on these credentials was a refusal."""
        return self._breaker.is_open()

    def ready_in(self) -> float:
        """Seconds until an attempt could start; infinite while another one renews."""
        return self._breaker.ready_in()

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, or the first that renewed credentials let through."""
        renewing = self._breaker.probe
        if renewing.locked() or self._refused is not None:
            async with renewing:  # somebody is renewing: wait for the outcome
                if self._refused is not None:
                    if self._elsewhere() and self._breaker.pause > PAUSES[0]:
                        raise self._refused
                    return await self._persist(attempt, self._refused)
        before = self._accepted
        try:
            return await self._generate(attempt)
        except CredentialsRefused as error:
            if self.ready_in() > 0 and self._elsewhere():
                raise
            refused = error
        async with renewing:
            if self._accepted == before and self._stop.stopping is None:
                doubted = self._refused or self._doubt(refused)
                return await self._persist(attempt.again(), doubted)
        if self._stop.stopping is not None:
            raise NotStarted("the credentials are refused") from refused
        # Outside the lock: all attempts that were refused go on at once.
        return await self._generate(attempt.again())

    def _elsewhere(self) -> bool:
        return any(other.stopping is None for other in self._others)

    def _doubt(self, refused: CredentialsRefused) -> CredentialsRefused:
        """The credentials were refused for the first time since they were accepted."""
        said = refused.message.rstrip(".")
        self._notify(f"The service refuses the credentials ({said}): they are read anew.")
        self._breaker.refuse()
        self._refused = refused
        return refused

    async def _persist(self, attempt: Attempt, refused: CredentialsRefused) -> Generation:
        """Renew and try until the service accepts, as long as there is hope."""
        while True:
            await self._stop.sleep(self._breaker.pause)
            renewable = await self._renewed()
            try:
                generation = await self._generate(attempt)
            except CredentialsRefused as error:
                self._refused = refused = error
            except NeverSent:
                self._breaker.postpone()  # the service has not seen them
                raise
            except AttemptError:
                self._accept()  # failed for another reason: the signature was good
                raise
            else:
                self._accept()
                return generation
            self._breaker.postpone()
            if not renewable or self._breaker.quiet_s > PATIENCE:
                break
            if self._elsewhere():
                raise refused
            attempt = attempt.again()
        self._stop.apply(StopCause.CREDENTIALS, refusal=describe(refused))
        raise NotStarted("the credentials are refused") from refused

    def _accept(self) -> None:
        self._accepted += 1
        self._refused = None
        self._breaker.close()

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
        off = duration(60 * round(abs(skew) / 60))
        return (
            f"This machine's clock is {off} {side} the service's, so signatures "
            "are refused. Set the clock (NTP) and run the same command again."
        )
    said = refused.message.rstrip(".")
    return f"The service refuses the credentials: {said}. {refused.advice}".strip()
