"""The job: what a job file may say, as frozen values. Defaults stand here and nowhere else."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PrivateAttr
from pydantic.dataclasses import dataclass

from batchgen import job_checks as checks
from batchgen.job_fields import FLAG, money
from batchgen.job_sections import Limits, OnFiltered, Retry, Route, Section, Simulator
from batchgen.job_source import Source

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
