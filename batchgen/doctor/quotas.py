"""Before a run: how many calls a minute may each model take, and how long will its tasks take?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from batchgen.bedrock import Account, AccountError, AccountErrorReason
from batchgen.doctor.findings import Check, Finding
from batchgen.doctor.job import Workload
from batchgen.errors import ExitCode
from batchgen.job import Job, Limits, Route
from batchgen.models import Model
from batchgen.plan import Estimate, calls_a_minute, estimate
from batchgen.runner import deadline_of
from batchgen.text import duration, sentences

TIME = Check("time")

ASK_ADVICE = "Allow servicequotas:ListServiceQuotas in IAM, or look at the quota in the console"
ASK_SUPPORT = "Ask AWS Support why: a new account can be closed for a model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is known of the calls a minute of one model."""

    model: str
    found: float | None
    """What Service Quotas says."""
    documented: float | None
    given: float | Literal["auto"] | None
    """`Route.rate`."""
    key: str = "limits.requests_per_minute"
    """Of the job, where that is set."""
    why: str = ""
    """Why nothing was found."""
    advice: str = ""

    def standing_in(self) -> Allowance:
        """The same for a model that only stands in: it is never called faster than is usual."""
        if not isinstance(self.given, int | float):
            return self
        return replace(self, given=calls_a_minute(self.given, self.documented, stands_in=True))

    @property
    def rate(self) -> float | None:
        """Calls a minute at which a run starts; None if not known."""
        return calls_a_minute(self.given, self.documented, found=self.found)


async def ask_allowances(
    account: Account, models: Mapping[str, Model | None], limits: Limits, route: Route
) -> list[Allowance]:
    """The quota of each model, from Service Quotas where the account may ask it.

    Args:
        models: the ids by which they are called -> what is known of them.
        limits: of the job.
        route: by which they are called; its own limit wins.
    """
    why, advice = "Service Quotas lists none of this model", ""
    found: Mapping[str, float | None] = {}
    try:
        found = await account.quotas_of(models)
    except AccountError as error:
        why, advice = _silence(error)
    own = route.requests_per_minute
    return [
        Allowance(
            model=model,
            found=found.get(model),
            documented=None if known is None else known.requests_per_minute,
            given=route.rate(limits),
            key="limits.requests_per_minute" if own is None else "its requests_per_minute",
            why=why,
            advice=advice,
        )
        for model, known in models.items()
    ]


def _silence(error: AccountError) -> tuple[str, str]:
    """Why Service Quotas has no answer, and what to do."""
    match error.reason:
        case AccountErrorReason.DENIED:
            return f"Service Quotas may not be asked ({error})", ASK_ADVICE
        case AccountErrorReason.NO_CREDENTIALS | AccountErrorReason.REFUSED:
            return "Service Quotas was not asked, for no credentials are good", ""
        case _:
            return f"Service Quotas could not be asked: {error}", error.advice


def look_at_allowance(it: Allowance) -> Finding:
    """What the quota of a model is, and what the job makes of it."""
    check = Check("quota", it.model)
    values = {"requests_per_minute": it.rate, "found": it.found, "documented": it.documented}
    if it.found is None:
        return check.warning(sentences(it.why, _assumed(it), it.advice), **values)
    text = f"{it.found:g} calls a minute by Service Quotas"
    if it.found <= 0:
        return check.failed(ExitCode.SERVICE, sentences(text, ASK_SUPPORT), **values)
    wanted = it.documented if it.given is None else it.given
    if not isinstance(wanted, int | float) or wanted == it.found:
        return check.ok(sentences(text), **values)
    says = "The job asks for" if it.given is not None else "Without a limit the job takes the usual"
    if wanted > it.found:
        advice = f"Set {it.key} to {it.found:g} or auto: the rest is rejected"
        return check.warning(sentences(text, f"{says} {wanted:g}", advice), **values)
    return check.ok(sentences(text, f"{says} {wanted:g}"), **values)


def _assumed(it: Allowance) -> str:
    if isinstance(it.given, int | float):
        said = f"The job says {it.given:g} calls a minute"
        if it.documented is None or it.given <= it.documented:
            return said
        return (
            f"{said}, more than the documented default of {it.documented:g}: the rest is rejected"
        )
    if it.documented is None:
        return "The quota is not known: the run will find it"
    return f"The documented default of {it.documented:g} calls a minute is assumed; it may be less"


def look_at_time(
    job: Job, workload: Workload, rates: Mapping[str, float | None], now: datetime
) -> Finding:
    """How long the tasks take, and whether the job's deadline leaves that.

    Args:
        rates: model -> calls a minute on all its routes together; None if not known.
    """
    left = {model: count for model, count in workload.tasks.items() if count}
    if not left:
        return TIME.ok(sentences("Nothing is left to make"), minutes=0.0)
    if not all(rates.get(model) for model in left):
        return TIME.warning(sentences("Not known, because a quota is not known"), minutes=None)
    expected = estimate(job, workload.models, left, rates)
    parts = (
        f"{left[model]} of {model} at {rates[model]:g} a minute take {duration(seconds)}"
        for model, seconds in expected.by_quota.items()
    )
    text = f"About {duration(expected.seconds)}: {'; '.join(parts)}"
    if expected.is_by_concurrency:
        text += f"; {job.in_flight_limit} calls in flight do not get more done"
    return _in_time(job, text, expected, now)


def _in_time(job: Job, text: str, expected: Estimate, now: datetime) -> Finding:
    deadline = deadline_of(job.limits.until, None, now)
    values = {"minutes": expected.minutes}
    if deadline is None or now.timestamp() + expected.seconds <= deadline.at:
        return TIME.ok(sentences(text), **values)
    late = f"A run that starts now must end at {deadline.text}, before that; the rest stays open"
    return TIME.warning(sentences(text, late), **values)
