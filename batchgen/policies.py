"""The one call, wrapped in all that decides when, where and how often it is made.

From the outside in: `FallingBack` chooses what is sent; `retrying` makes an attempt again, outside
of everything below, so that a wait before a retry holds nothing; `Routing` chooses the route; and
each route is a `Way` with credentials, breaker, budget, quotas and journal in an order of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from batchgen.attempt import Make
from batchgen.availability import Availability
from batchgen.conclude import Concluding
from batchgen.fallback import FallingBack
from batchgen.job import Job
from batchgen.quotas import Quotas
from batchgen.retry import RetryPolicy, retrying
from batchgen.routes import Endpoint
from batchgen.routing import routed
from batchgen.substitutes import Substitutes
from batchgen.way import Means


def policies(
    job: Job,
    endpoint: Endpoint,
    quotas: Sequence[Quotas],
    means: Means,
    concluding: Concluding,
    availability: Availability,
) -> Make:
    """All attempts of a task as its job wants them.

    Args:
        quotas: of each route of the endpoint, in their order.
        means: what the routes share.
        concluding: told of each retry.
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
        on_retry=concluding.retry,
        clock=means.clock,
    )
    return FallingBack(make, Substitutes(job), availability, job.on_filtered)


def availability_of(job: Job, models: Collection[str], means: Means) -> Availability:
    """What is known of the models of a run.

    A model is lost to its fallbacks after half of the time that ends a run without any success:
    another one has the rest to show what it can.
    """
    patience = job.limits.give_up_after / 2
    return Availability(models, means.stop, means.tell, patience=patience, clock=means.clock)
