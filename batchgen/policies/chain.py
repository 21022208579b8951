"""The one call, wrapped in all that decides when, where and how often it is made.

The order of the policies is written here and nowhere else, from the outside in:

    fallback(retry(balancer(route: credentials(breaker(budget(pacer(attempt log(generate))))))))

* fallback: chooses what is sent. Outside of retry, for another model is tried when retries ended.
* retry: outside of everything that limits attempts: each attempt pays them anew, and a wait before
  a retry holds no slot, no money and no place in a queue.
* balancer: chooses the route, for each attempt anew: a retry may go by another one. Inside it, each
  route has the following to itself.
* credentials: an attempt with renewed credentials pays budget and pace again.
* breaker: before the budget, for an attempt that waits for the service to come back holds no money.
* budget: before the pacer, for no turn is spent on a call that cannot be paid.
* pacer: the last wait. An attempt with its turn is sent at once.
* attempt log: innermost, for a line means a call that is about to be sent and nothing else.
* generate: one call: build, send, parse, inspect, label, store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from batchgen.attempt import Generate, RunTask, Target
from batchgen.bedrock import Endpoint, OpenRoute
from batchgen.job import InputImages, Job
from batchgen.output import Manifest, Store
from batchgen.plan import Substitutes
from batchgen.policies.attempt_log import DiskReserve, with_attempt_log
from batchgen.policies.balancer import Balancer
from batchgen.policies.budget import Budget, with_budget
from batchgen.policies.circuit_breaker import (
    PAUSES,
    QUIET,
    REFUSALS,
    CircuitBreaker,
    with_circuit_breaker,
)
from batchgen.policies.credential_refresh import CredentialRefresh
from batchgen.policies.fallback import Fallback
from batchgen.policies.generate import generate_with
from batchgen.policies.labelling import Labelling
from batchgen.policies.model_health import ModelHealth
from batchgen.policies.quotas import RouteQuotas
from batchgen.policies.retry import Retry, RetryPolicy, with_retry
from batchgen.policies.route import RoutePipeline
from batchgen.policies.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What all routes of a run share."""

    run_id: str
    region: str
    """The job's, for a route that does not say."""
    manifest: Manifest
    store: Store
    images: InputImages
    labelling: Labelling
    reserve: DiskReserve
    budget: Budget
    stop: Stop
    """The run's."""
    notify: Callable[[str], None]
    clock: Callable[[], float]


def build_chain(
    job: Job,
    endpoint: Endpoint,
    quotas: Sequence[RouteQuotas],
    context: RunContext,
    on_retry: Callable[[Retry], None],
    health: ModelHealth,
) -> RunTask:
    """All attempts of a task as its job wants them.

    Args:
        job: says what is tried again, and what is sent instead.
        endpoint: with the routes.
        quotas: of each route of the endpoint, in their order.
        context: what the routes share.
        on_retry: told of each retry, before its wait.
        health: told what becomes of each model.
    """
    most = job.retry.max_elapsed
    policy = RetryPolicy(
        attempts=job.retry.attempts,
        # Unless the job says else, a task waits as long as the run for a service that is away.
        max_elapsed=job.limits.give_up_after if most is None else most,
        ambiguous=job.retry.ambiguous == "retry",
    )
    run_call = with_retry(
        by_routes(endpoint, quotas, context),
        policy,
        sleep=context.stop.sleep,
        on_retry=on_retry,
        clock=context.clock,
    )
    return Fallback(run_call, Substitutes(job), health, job.on_filtered)


def by_routes(endpoint: Endpoint, quotas: Sequence[RouteQuotas], context: RunContext) -> Generate:
    """The one route of a job, or all of its routes behind a balancer."""
    if len(quotas) == 1:
        return _route(endpoint.routes[0], quotas[0], context, context.stop, ()).generate
    stops = [Stop() for _ in quotas]
    routes = [
        _route(opened, its, context, stop, [other for other in stops if other is not stop])
        for opened, its, stop in zip(endpoint.routes, quotas, stops, strict=True)
    ]
    return Balancer(routes, context.stop, context.notify)


def _route(
    opened: OpenRoute,
    quotas: RouteQuotas,
    context: RunContext,
    stop: Stop,
    others: Sequence[Stop],
) -> RoutePipeline:
    """The calls of one route with its policies around them.

    Args:
        opened: makes the calls.
        quotas: of this route.
        context: what it shares with the others.
        stop: ends the calls of this route.
        others: the same of the other routes.
    """
    name, notify, clock = opened.route.name, context.notify, context.clock
    if name is not None:
        notify = partial(_notify_of_route, notify, name)
    breaker = CircuitBreaker(PAUSES, quiet=QUIET, refusals=REFUSALS, clock=clock)
    target = Target(region=opened.route.region or context.region, route=name)

    generate = generate_with(opened.service, context.store, context.images, context.labelling)
    generate = with_attempt_log(
        generate, context.run_id, context.manifest, context.reserve, context.stop, target
    )
    generate = quotas.wrap(generate)
    generate = with_budget(generate, context.budget, context.stop)
    generate = with_circuit_breaker(generate, breaker, stop, notify)
    credentials = CredentialRefresh(
        generate, opened.renew, stop, others=others, notify=notify, clock=clock
    )
    stop.on_request(quotas.stop)
    return RoutePipeline(
        name=name,
        generate=credentials,
        stop=stop,
        quotas=quotas,
        credentials=credentials,
        breaker=breaker,
    )


def _notify_of_route(notify: Callable[[str], None], name: str, text: str) -> None:
    notify(f"Route {name}: {text}")


def health_of(job: Job, models: Collection[str], context: RunContext) -> ModelHealth:
    """What is known of the models of a run.

    A model is lost to its fallbacks after half of the time that ends a run without any success:
    another one has the rest to show what it can.
    """
    patience = job.limits.give_up_after / 2
    return ModelHealth(models, context.stop, context.notify, patience=patience, clock=context.clock)
