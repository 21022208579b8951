"""The pacers of each route: a quota belongs to one model in one Region of one account."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.bedrock import Endpoint, OpenRoute
from batchgen.errors import NoRoute, ServiceUnusable
from batchgen.job import Job
from batchgen.pacing import Pace, Pacer, PaceState, SharedLimit
from batchgen.plan import PlanSummary, calls_a_minute


class RouteQuotas:
    """The pacers of one route."""

    def __init__(
        self,
        pacers: Mapping[str, Pacer],
        closed: Sequence[str] = (),
        *,
        route: str | None = None,
    ) -> None:
        self._pacers = pacers
        self.route = route
        """Name of the route; None for a job without routes."""
        self.closed = closed
        """Models that the account may not call: their quota is 0."""

    def stop(self) -> None:
        """Give no more turns: waiting attempts end unsent; calls in flight go on."""
        for pacer in self._pacers.values():
            pacer.stop()

    def state(self) -> dict[str, PaceState]:
        """How each model's pacer stands."""
        return {model: pacer.state() for model, pacer in self._pacers.items()}

    def remember(self, proven: Mapping[str, float]) -> None:
        """Begin each search where an earlier run of this output found the quota."""
        for model, pacer in self._pacers.items():
            if model in proven:
                pacer.remember(proven[model])

    def __contains__(self, model_id: str) -> bool:
        """Whether calls of this model have a quota here."""
        return model_id in self._pacers

    def ready_in(self, model_id: str) -> float:
        """Seconds until an attempt that came now could start; infinite if that is not known."""
        return self._pacers[model_id].ready_in()

    def wrap(self, generate: Generate) -> Generate:
        """Attempts that wait for a turn of their model's quota."""

        async def attempt_when_due(attempt: Attempt) -> Generation:
            model_id = attempt.call.model_id
            if model_id not in self:
                raise NoRoute(f"No route is left that serves {model_id}.", code="NoRoute")
            async with self._pacers[model_id].slot():
                attempt.begin()
                return await generate(attempt)

        return attempt_when_due


def documented(outline: PlanSummary) -> dict[str, float | None]:
    """Every model that a run may call -> its usual calls a minute; None where it is not known."""
    models = (*outline.models, *outline.fallbacks)
    return {each.model_id: each.model.requests_per_minute for each in models}


async def open_quotas(
    job: Job,
    opened: OpenRoute,
    outline: PlanSummary,
    clock: Callable[[], float],
    shared: SharedLimit | None = None,
) -> RouteQuotas:
    """A pacer for each model that a route serves, at its quota there.

    How many calls a minute those are, `plan.calls_a_minute` says; without a number the pacer finds
    it. Service Quotas are asked once, for `auto`. A model that the account may not call gets none.

    Args:
        job: what it says.
        opened: the route.
        outline: the models to call.
        clock: seconds.
        shared: of calls in flight, for routes that have no limit of their own.
    """
    rates = documented(outline)
    stand_ins = {each.model_id for each in outline.fallbacks}
    route = opened.route
    given = route.rate(job.limits)
    called = {name: there for name in rates if (there := route.called(name)) is not None}
    found = await opened.quotas(called.values()) if given == "auto" else {}
    limit = shared if route.concurrency is None else SharedLimit(route.concurrency)
    pacers: dict[str, Pacer] = {}
    closed: list[str] = []
    for model_id, there in called.items():
        rate = calls_a_minute(
            given, rates[model_id], found=found.get(there), stands_in=model_id in stand_ins
        )
        if rate == 0:
            closed.append(model_id)
            continue
        pace = Pace(requests_per_minute=rate, concurrency=route.in_flight_limit(job.limits))
        pacers[model_id] = Pacer(pace, limit=limit, clock=clock)
    return RouteQuotas(pacers, closed, route=route.name)


def require_quotas(
    job: Job,
    outline: PlanSummary,
    endpoint: Endpoint,
    quotas: Sequence[RouteQuotas],
    notify: Callable[[str], None],
) -> None:
    """Report models that an account may not call.

    Raises:
        ServiceUnusable: no route may call a model that has to be called.
    """
    for opened, its in zip(endpoint.routes, quotas, strict=True):
        region = opened.route.region or job.region
        for model_id in its.closed:
            on = "" if opened.route.name is None else f" on the route {opened.route.name}"
            text = f"The quota of {model_id} in {region}{on} is 0 calls a minute"
            served = any(model_id in each for each in quotas)
            if not served and not outline.fallbacks:
                raise ServiceUnusable(
                    f"{text}: this account may not call it. Ask AWS Support, or choose another "
                    "model or Region."
                )
            notify(f"{text}: it is not called there.")
    if not any(model_id in each for model_id in documented(outline) for each in quotas):
        raise ServiceUnusable("No model of the job may be called by any route.")
