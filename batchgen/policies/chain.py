"""The one call, wrapped in all that decides when, where and how often it is made.

From the outside in: `Fallback` chooses what is sent; `retrying` makes an attempt again, outside
of everything below, so that a wait before a retry holds nothing; `Routing` chooses the route; and
each route is a `Way` with credentials, breaker, budget, quotas and journal in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from batchgen.attempt import RunTask
from batchgen.bedrock import Endpoint
from batchgen.job import Job
from batchgen.plan import Substitutes
from batchgen.policies.balancer import routed
from batchgen.policies.fallback import Fallback
from batchgen.policies.model_health import ModelHealth
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.retry import Retry, RetryPolicy, retrying
from batchgen.policies.route import RunContext


def policies(
    job: Job,
    endpoint: Endpoint,
    quotas: Sequence[RouteQuotas],
    means: RunContext,
    on_retry: Callable[[Retry], None],
    availability: ModelHealth,
) -> RunTask:
    """All attempts of a task as its job wants them.

    Args:
        quotas: of each route of the endpoint, in their order.
        means: what the routes share.
        on_retry: told of each retry, before its wait.
        availability: told what becomes of each model.
    """
    policy = RetryPolicy(
        attempts=job.retry.attempts,
        # A task waits at least as long as the run does for a service that is away.
        max_elapsed=max(job.retry.max_elapsed, job.limits.give_up_after),
        ambiguous=job.retry.ambiguous == "retry",
    )
    make = retrying(
        routed(endpoint, quotas, means),
        policy,
        sleep=means.stop.sleep,
        on_retry=on_retry,
        clock=means.clock,
    )
    return Fallback(make, Substitutes(job), availability, job.on_filtered)


def availability_of(job: Job, models: Collection[str], means: RunContext) -> ModelHealth:
    """What is known of the models of a run.

    A model is lost to its fallbacks after half of the time that ends a run without any success:
    another one has the rest to show what it can.
    """
    patience = job.limits.give_up_after / 2
    return ModelHealth(models, means.stop, means.tell, patience=patience, clock=means.clock)
