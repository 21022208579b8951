"""One open route of a run: the policies around its calls, and when it could start another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.bedrock import OpenRoute
from batchgen.errors import Target
from batchgen.output import Manifest, Store
from batchgen.policies.attempt_log import DiskReserve, with_attempt_log
from batchgen.policies.budget import Budget, with_budget
from batchgen.policies.circuit_breaker import CircuitBreaker
from batchgen.policies.credential_refresh import CredentialRefresh
from batchgen.policies.generate import generating
from batchgen.policies.model_health import DenialCounter
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all routes of a run share."""

    run_id: str
    region: str
    """The job's, for a route that does not say."""
    manifest: Manifest
    store: Store
    room: DiskReserve
    budget: Budget
    stop: Stop
    """The run's."""
    tell: Callable[[str], None]
    clock: Callable[[], float]


class RoutePipeline:
    """A route with its credentials, its quotas and its health.

    The order of the policies, and why. `CredentialRefresh` is outermost: an attempt with renewed
    credentials pays budget and pace again. `CircuitBreaker` comes before the budget: an attempt
    that waits for the service to come back holds no money. `with_budget` comes before the quotas:
    no turn is spent on a call that cannot be paid. `with_attempt_log` is innermost: an attempt
    line stands for a call that is about to be sent and for nothing else.
    """

    def __init__(
        self,
        opened: OpenRoute,
        quotas: RouteQuotas,
        means: RunContext,
        stop: Stop,
        elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        """Put the policies around the calls of one opened route.

        Args:
            stop: ends the calls of this route; the run's own where it is the only one.
            elsewhere: whether another route could take an attempt.
        """
        self.route = opened.route
        self.stop = stop
        self.quotas = quotas
        self.denials = DenialCounter()
        self.on_start: Callable[[], None] = lambda: None
        """Called when an attempt that was on its way has got its turn."""
        self._coming: dict[int, str] = {}
        """Identity of an attempt that was sent here and has had no turn yet -> its model."""
        tell = means.tell if self.name is None else partial(_speak, means.tell, self.name)
        generate = generating(opened.service, means.store)
        place = Target(region=opened.route.region or means.region, route=self.name)
        generate = with_attempt_log(
            generate, means.run_id, means.manifest, means.room, means.stop, place
        )
        generate = self._noting(generate)
        generate = quotas.wrap(generate)
        generate = with_budget(generate, means.budget, means.stop)
        self._breaking = CircuitBreaker(generate, stop, tell, clock=means.clock)
        self._renewing = CredentialRefresh(
            self._breaking,
            opened.renew,
            stop,
            elsewhere=elsewhere,
            tell=tell,
            clock=means.clock,
        )
        stop.on_request(quotas.stop)

    @property
    def name(self) -> str | None:
        """The route's name; None for a job without routes."""
        return self.route.name

    def serves(self, model_id: str) -> bool:
        """Whether calls of this model may go here at all."""
        return (
            self.stop.stopping is None
            and model_id in self.quotas
            and model_id not in self.denials.denied
        )

    def ready_in(self, model_id: str) -> float:
        """Seconds until another attempt could start here; infinite if nobody knows when."""
        coming = self._coming.values()
        if not self.serves(model_id) or model_id in coming or (coming and self._is_in_trouble()):
            return math.inf
        return max(
            self._renewing.ready_in(),
            self._breaking.ready_in(),
            self.quotas.ready_in(model_id),
        )

    def refusals(self, model_id: str) -> int:
        """Calls that were refused here since the last one that was served."""
        return self._breaking.refusals + self.denials.seen(model_id)

    def expect(self, attempt: Attempt) -> None:
        """An attempt is on its way here."""
        self._coming[id(attempt)] = attempt.call.model_id

    def leave(self, attempt: Attempt) -> None:
        """The attempt is not on its way any more."""
        self._coming.pop(id(attempt), None)

    def _is_in_trouble(self) -> bool:
        """Whether attempts go one by one, whatever their model."""
        return self._renewing.is_in_doubt() or self._breaking.is_open()

    async def __call__(self, attempt: Attempt) -> Generation:
        """One attempt, here."""
        return await self._renewing(attempt)

    def _noting(self, generate: Generate) -> Generate:
        """`generate`, which tells when an attempt begins."""

        async def begin(attempt: Attempt) -> Generation:
            self.leave(attempt)
            self.on_start()
            return await generate(attempt)

        return begin


def _speak(tell: Callable[[str], None], name: str, text: str) -> None:
    tell(f"Route {name}: {text}")
