"""Before a run: each route of a job by itself, and what all of them come to together.

What is wrong with one route, or with a model there, is a warning as long as another one serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from batchgen.bedrock import Account, shared_quotas
from batchgen.doctor.credentials import look_at_credentials, look_at_service
from batchgen.doctor.findings import Check, Finding, Verdict
from batchgen.doctor.job import Workload
from batchgen.doctor.model_access import look_at_model
from batchgen.doctor.quotas import Allowance, ask_allowances, look_at_allowance
from batchgen.errors import ExitCode
from batchgen.job import Job, Route
from batchgen.text import sentences

ROUTES = Check("routes")

WITHOUT_IT = "The run goes on without this route"
ELSEWHERE = "The run calls it on another route"
FALLS_BACK = "Its fallback models make the images"
STANDS_IN = "It only stands in for other models"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """One model of the job, as one route has it."""

    access: Finding
    quota: Finding
    allowance: Allowance

    @property
    def callable(self) -> bool:
        """Whether nothing is in the way of its calls."""
        return Verdict.FAILED not in (self.access.verdict, self.quota.verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteReport:
    """What was found of one route."""

    route: Route
    credentials: Finding
    service: Finding
    models: Mapping[str, ModelReport]
    """By the names that the job gives them; only those that the route serves."""

    @property
    def usable(self) -> bool:
        """Whether a run could call it at all."""
        return Verdict.FAILED not in (self.credentials.verdict, self.service.verdict)

    @property
    def account(self) -> str | None:
        """Twelve digits; None if not known."""
        number = self.credentials.values.get("account")
        return None if number is None else str(number)


async def look_at_route(
    account: Account, job: Job, route: Route, work: Workload, now: datetime
) -> RouteReport:
    """Whose it is, whether its service answers, and each model that it serves."""
    region = route.region or job.region
    called = {name: there for name in work.named if (there := route.called(name)) is not None}
    known = {there: work.named[name] for name, there in called.items()}
    async with asyncio.TaskGroup() as group:
        who = group.create_task(look_at_credentials(account, now))
        service = group.create_task(look_at_service(account, job.endpoint, region))
        access = {
            there: group.create_task(look_at_model(account, region, there, model))
            for there, model in known.items()
        }
        quotas = group.create_task(ask_allowances(account, known, job.limits, route))
    stand_ins = {route.called(name) for name in work.stand_ins}
    allowances = {
        it.model: it.standing_in() if it.model in stand_ins else it for it in quotas.result()
    }
    return RouteReport(
        route=route,
        credentials=replace(who.result(), route=route.name),
        service=replace(service.result(), route=route.name),
        models={
            name: ModelReport(
                access=_named(access[there].result(), name, route),
                quota=_named(look_at_allowance(allowances[there]), name, route),
                allowance=allowances[there],
            )
            for name, there in called.items()
        },
    )


def _named(finding: Finding, name: str, route: Route) -> Finding:
    """A finding about a model under the name that the job gives it."""
    text, values = finding.text, finding.values
    if finding.model != name:
        text = sentences(f"Called {finding.model} here", text)
        values = {"called": finding.model, **values}
    return replace(finding, model=name, route=route.name, text=text, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """All routes of a job; a job without routes has one without a name."""

    reports: Sequence[RouteReport]
    work: Workload

    def owners(self) -> Iterator[Finding]:
        """Of each route, its credentials and its service; then who shares a quota with whom."""
        usable = self._usable()
        for each in self.reports:
            for finding in (each.credentials, each.service):
                failed = finding.verdict is Verdict.FAILED
                yield finding.softened(WITHOUT_IT) if failed and usable else finding
        if usable and usable[0].route.name is not None:
            yield from _look_at_shared_quotas(usable)

    def access(self) -> list[Finding]:
        """Each model on each route."""
        return [self._judged(served.access) for served in self._served()]

    def quotas(self) -> list[Finding]:
        """The quota of each model on each route."""
        return [self._judged(served.quota) for served in self._served()]

    def rates(self) -> dict[str, float | None]:
        """Model -> calls a minute on all routes that can call it; None if not known.

        One that no route can call is counted as if all could, for what it would take.
        """
        return {name: _sum(self._callable(name) or self._of(name)) for name in self.work.tasks}

    def _usable(self) -> list[RouteReport]:
        return [each for each in self.reports if each.usable]

    def _asked(self) -> list[RouteReport]:
        """Routes of which there is more to tell: if any can be used, those that can."""
        return self._usable() or list(self.reports)

    def _served(self) -> Iterator[ModelReport]:
        for each in self._asked():
            yield from each.models.values()

    def _of(self, name: str) -> list[ModelReport]:
        return [each.models[name] for each in self._asked() if name in each.models]

    def _callable(self, name: str) -> list[ModelReport]:
        return [served for served in self._of(name) if served.callable]

    def _judged(self, finding: Finding) -> Finding:
        name = finding.model or ""
        if finding.verdict is not Verdict.FAILED:
            return finding
        if name in self.work.stand_ins:
            return finding.softened(STANDS_IN)
        if self._callable(name):
            return finding.softened(ELSEWHERE)
        return finding.softened(FALLS_BACK) if self._has_stand_in(name) else finding

    def _has_stand_in(self, name: str) -> bool:
        """Whether every item of this model has another one that can be called."""
        lists = self.work.fallbacks.get(name, frozenset())
        others = [[each for each in models if each != name] for models in lists]
        return bool(others) and all(any(map(self._callable, models)) for models in others)


def _sum(served: Iterable[ModelReport]) -> float | None:
    return sum(each.allowance.rate or 0.0 for each in served) or None


def _look_at_shared_quotas(usable: Sequence[RouteReport]) -> list[Finding]:
    """Two routes of one account and Region take each other's quota."""
    found = []
    for shared in shared_quotas((each.route, each.account) for each in usable):
        other = shared.other.name
        if shared.account is None:
            text = f"Whether it shares a quota with {other} is not known"
            finding = ROUTES.warning(sentences(text))
        else:
            text = sentences(f"It {shared.text}")
            finding = ROUTES.failed(ExitCode.USAGE, text, shares_with=other)
        found.append(replace(finding, route=shared.route.name))
    text = f"Routes that can be used: {len(usable)}, each with a quota of its own"
    return found or [ROUTES.ok(sentences(text), usable=len(usable))]
