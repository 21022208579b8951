"""One open route of a run: its chain of policies, and when it could start another attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from batchgen.attempt import Generate
from batchgen.policies.circuit_breaker import CircuitBreaker
from batchgen.policies.credential_refresh import CredentialRefresh
from batchgen.policies.model_health import DenialCounter
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoutePipeline:
    """A route with its credentials, its quotas and its health; `chain` puts it together."""

    name: str | None
    """None for a job without routes."""
    generate: Generate
    """One attempt by this route, with all its policies."""
    stop: Stop
    """Ends the calls of this route; the run's own where it is the only one."""
    quotas: RouteQuotas
    credentials: CredentialRefresh
    breaker: CircuitBreaker
    denials: DenialCounter = field(default_factory=DenialCounter)

    def serves(self, model_id: str) -> bool:
        """Whether calls of this model may go here at all."""
        return (
            self.stop.stopping is None
            and model_id in self.quotas
            and model_id not in self.denials.denied
        )

    def ready_in(self, model_id: str) -> float:
        """Seconds until an attempt could start here; infinite if that is not known."""
        if not self.serves(model_id):
            return math.inf
        return max(
            self.credentials.ready_in(), self.breaker.ready_in(), self.quotas.ready_in(model_id)
        )

    def refusals(self, model_id: str) -> int:
        """Calls that were refused here since the last one that was served."""
        return self.breaker.refusals + self.denials.seen(model_id)

    def is_in_trouble(self) -> bool:
        """Whether attempts go one by one, whatever their model."""
        return self.credentials.is_in_doubt() or self.breaker.is_open()
