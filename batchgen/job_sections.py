"""The sections of a job: limits, retries, routes and what happens to refused images."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from batchgen import job_checks as checks
from batchgen import job_route_checks as route_checks
from batchgen.job_checks import FailureLimit
from batchgen.job_fields import DURATION, choice, money, number, whole


class Section(BaseModel):
    """A mapping of fixed keys, as frozen values."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Limits(Section):
    """How much, how fast and how long."""

    concurrency: Annotated[int, whole(1, 1_000)] = 8
    """Calls in flight at most."""
    requests_per_minute: Annotated[float | Literal["auto"] | None, checks.REQUESTS_PER_MINUTE] = (
        None
    )
    """Calls a minute and model; left out: the model's documented quota."""
    budget_usd: Annotated[Decimal | None, money(positive=True, optional=True)] = None
    """What all runs into one output may spend together."""
    until: Annotated[time | None, checks.UNTIL] = None
    """Local time of day when the run must have ended."""
    max_failures: Annotated[FailureLimit | None, checks.MAX_FAILURES] = None
    """Failed tasks after which the run stops: a number, or a share of the finished ones."""
    give_up_after: Annotated[float, DURATION] = 1_800.0
    """Seconds without any success after which the run stops."""


class Retry(Section):
    """What happens after a failed attempt."""

    attempts: Annotated[int, whole(1, 20)] = 6
    """Of one task, the first included; a call that the quota rejected does not count."""
    max_elapsed: Annotated[float, DURATION] = 1_800.0
    """Seconds from the first attempt of a task to its last."""
    ambiguous: Annotated[Literal["retry", "fail"], choice("retry", "fail")] = "retry"
    """What to do after a call that may have been billed although no answer came."""


class Simulator(Section):
    """Options of the simulator that `endpoint: simulator` starts."""

    latency: Annotated[float | None, number("seconds, a number from 0", positive=False)] = None
    """Seconds that a call takes."""
    requests_per_minute: Annotated[
        float | None, number("calls a minute, a number above 0", positive=True)
    ] = None
    """The quota of each model."""


class Route(Section):
    """One way for the calls to go: an account and a Region, with a quota of its own."""

    name: Annotated[str | None, route_checks.ROUTE_NAME] = None
    """In messages and records; left out: made of the account and the Region."""
    profile: Annotated[str | None, route_checks.PROFILE] = None
    """AWS profile whose credentials sign the calls; left out: those that the SDK finds."""
    role: Annotated[str | None, route_checks.ROLE] = None
    """ARN of a role to assume with these credentials; it is assumed anew before it expires."""
    region: Annotated[str | None, route_checks.OWN_REGION] = None
    """AWS Region; left out: the job's."""
    models: dict[Annotated[str, checks.MODEL], Annotated[str, checks.MODEL]] = Field(
        default_factory=dict
    )
    """Model of the job -> what it is called here, such as an inference profile. A route that names
    any serves these alone; left out, it serves all by their own ids."""
    requests_per_minute: Annotated[float | Literal["auto"] | None, checks.REQUESTS_PER_MINUTE] = (
        None
    )
    """Calls a minute and model on this route; left out: as `limits` says."""
    concurrency: Annotated[int | None, whole(1, 1_000, optional=True)] = None
    """Calls in flight of each model on this route; left out: as `limits` says."""

    def called(self, model_id: str) -> str | None:
        """What a model of the job is called on this route; None if the route does not serve it."""
        return self.models.get(model_id) if self.models else model_id

    def rate(self, limits: Limits) -> float | Literal["auto"] | None:
        """Calls a minute and model here, as the job says; None: the documented quota."""
        return self.requests_per_minute or limits.requests_per_minute

    def places(self, limits: Limits) -> int:
        """Calls in flight of each model here."""
        return self.concurrency or limits.concurrency

    @property
    def account(self) -> str | None:
        """The account of the role; None where only the service can tell."""
        return self.role.split(":")[4] if self.role is not None else None

    @property
    def owner(self) -> str:
        """Whose quota it is, as far as the job tells."""
        return self.account or self.profile or "default"


class OnFiltered(Section):
    """What to do when the service's moderation refused an image; each refusal may have cost one."""

    retry_with_new_seed: Annotated[int, whole(0, 10)] = 0
    """How often to try the same prompt with another seed."""
    fallback_prompt: Annotated[str | None, checks.OWN_TEXT] = None
    """A prompt to try at last, with the same placeholders as any other."""
