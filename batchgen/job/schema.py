"""The job: what a job file may say, as frozen values. Defaults stand here and nowhere else."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.dataclasses import dataclass

from batchgen.job import fields as checks
from batchgen.job.complaints import Source
from batchgen.job.fields import DURATION, FLAG, FailureLimit, choice, money, number, whole


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
    run_budget_usd: Annotated[Decimal | None, money(positive=True, optional=True)] = None
    """What each run may spend by itself."""
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

    name: Annotated[str | None, checks.ROUTE_NAME] = None
    """In messages and records; left out: made of the account and the Region."""
    profile: Annotated[str | None, checks.PROFILE] = None
    """AWS profile whose credentials sign the calls; left out: those that the SDK finds."""
    role: Annotated[str | None, checks.ROLE] = None
    """ARN of a role to assume with these credentials; it is assumed anew before it expires."""
    region: Annotated[str | None, checks.OWN_REGION] = None
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


Variables = dict[Annotated[str, checks.VARIABLE], Annotated[str, checks.VALUE]]
Parameters = dict[Annotated[str, checks.PARAMETER_NAME], Annotated[Any, checks.PARAMETER]]


@dataclass(
    frozen=True,
    slots=True,  # a third of a model's size, and a job may have 100,000 of them
    kw_only=True,
    config=ConfigDict(extra="forbid", use_attribute_docstrings=True),
)
class Item:
    """One thing to make pictures of. What it leaves out, the job gives."""

    id: Annotated[str, checks.ITEM_ID]
    """Stands once in a job; part of the file name."""
    prompt: Annotated[str | None, checks.OWN_TEXT] = None
    """Wins over the job's."""
    negative_prompt: Annotated[str | None, checks.OWN_TEXT] = None
    """Wins over a parameter of that name."""
    model: Annotated[str | None, checks.OWN_MODEL] = None
    """Wins over the job's, whose `family` then does not count."""
    family: Annotated[str | None, checks.FAMILY] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    fallback: Annotated[tuple[str, ...] | None, checks.OWN_FALLBACK] = None
    """Wins over the job's; an empty list: none."""
    seed: Annotated[int | None, checks.OWN_SEED] = None
    """Of the first variant; each further variant takes the next number."""
    variants: Annotated[int | None, checks.OWN_VARIANTS] = None
    """How many pictures to make of it."""
    parameters: Parameters = Field(default_factory=dict)
    """Merged over the job's, key by key."""
    vars: Variables = Field(default_factory=dict)
    """Merged over the job's, key by key."""


class Job(Section):
    """A validated job file, or one that a program made."""

    name: Annotated[str, checks.NAME]
    """Part of the derived seeds: another name makes other pictures."""
    endpoint: Annotated[str, checks.ENDPOINT] = "aws"
    """`simulator`, `aws` or a URL."""
    region: Annotated[str, checks.REGION] = "us-west-2"
    """AWS Region of the calls."""
    model: Annotated[str | None, checks.OWN_MODEL] = None
    """Of the items that bring none: an id, an inference profile or an ARN."""
    family: Annotated[str | None, checks.FAMILY] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    fallback: Annotated[tuple[str, ...], checks.FALLBACK] = ()
    """Models that make an image, in this order, while its own is denied, ended or out of reach."""
    on_filtered: OnFiltered = OnFiltered()
    routes: tuple[Route, ...] = Field(default=(), min_length=1)
    """The ways for the calls; left out: one, in `region`, with the credentials that are found."""
    output: Annotated[str, checks.OUTPUT] = Field(
        default_factory=lambda given: f"out/{given['name']}"
    )
    """Folder of images and manifest, from the current folder on; left out: `out/NAME`."""
    prompt: Annotated[str | None, checks.OWN_TEXT] = None
    """Of the items that bring none."""
    parameters: Parameters = Field(default_factory=dict)
    """The model's own parameters, by its own names."""
    vars: Variables = Field(default_factory=dict)
    """What `{name}` stands for in prompts, parameters and file names."""
    items: Annotated[tuple[Item, ...], Field(min_length=1)]
    """What to make."""
    seed: Annotated[int | Literal["derived", "random"], checks.SEED] = "derived"
    """`derived` from names, so that the same job makes the same pictures; `random`; or a number."""
    variants: Annotated[int, checks.VARIANTS] = 1
    """Pictures of each item that does not say."""
    file_name: Annotated[str, checks.TEXT] = "{id}-{variant}"
    """Template of the file names, without the extension; `/` makes folders."""
    limits: Limits = Limits()
    retry: Retry = Retry()
    allow_retired: Annotated[bool, FLAG] = False
    """Call a model on AWS although it is past its end of life."""
    allow_plain_http: Annotated[bool, FLAG] = False
    """Send credentials to an `http://` endpoint on another machine, where whoever is on the way can
    read them."""
    prices: dict[Annotated[str, checks.MODEL], Annotated[Decimal, money(positive=False)]] = Field(
        default_factory=dict
    )
    """US dollars of one picture by model, where they differ from those that batchgen knows."""
    simulator: Simulator = Simulator()
    """Only with `endpoint: simulator`."""
    _source: Source | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Keep where it was read from."""
        if context:
            self._source = context["source"]

    @property
    def ways(self) -> tuple[Route, ...]:
        """Its routes with name and Region; the only one of a job that names none has no name."""
        if not self.routes:
            return (Route(region=self.region),)
        return tuple(route.model_copy(update=self._told(route)) for route in self.routes)

    @property
    def places(self) -> int:
        """Calls in flight of one model on all routes."""
        return sum(route.places(self.limits) for route in self.ways)

    def _told(self, route: Route) -> dict[str, str]:
        region = route.region or self.region
        return {"region": region, "name": route.name or f"{route.owner}@{region}"}

    @property
    def source(self) -> Source | None:
        """The file that it was read from; None for a job that a program made."""
        return self._source
