"""The job: what a job file may say, as frozen values. Defaults stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.dataclasses import dataclass

from batchgen import job_checks as checks
from batchgen.errors import Complaint
from batchgen.job_checks import FailureLimit
from batchgen.job_fields import DURATION, FLAG, choice, money, number, whole
from batchgen.job_source import Source
from batchgen.nearest import shown

Variables = dict[Annotated[str, checks.VARIABLE], Annotated[str, checks.VALUE]]
Parameters = dict[Annotated[str, checks.PARAMETER_NAME], Annotated[Any, checks.PARAMETER]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    seed: Annotated[int | None, checks.OWN_SEED] = None
    """Of the first variant; each further variant takes the next number."""
    variants: Annotated[int | None, checks.OWN_VARIANTS] = None
    """How many pictures to make of it."""
    parameters: Parameters = Field(default_factory=dict)
    """Merged over the job's, key by key."""
    vars: Variables = Field(default_factory=dict)
    """Merged over the job's, key by key."""


class Limits(_Section):
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


class Retry(_Section):
    """What happens after a failed attempt."""

    attempts: Annotated[int, whole(1, 20)] = 6
    """Of one task, the first included; a call that the quota rejected does not count."""
    max_elapsed: Annotated[float, DURATION] = 1_800.0
    """Seconds from the first attempt of a task to its last."""
    ambiguous: Annotated[Literal["retry", "fail"], choice("retry", "fail")] = "retry"
    """What to do after a call that may have been billed although no answer came."""


class Simulator(_Section):
    """Options of the simulator that `endpoint: simulator` starts."""

    latency: Annotated[float | None, number("seconds, a number from 0", positive=False)] = None
    """Seconds that a call takes."""
    requests_per_minute: Annotated[
        float | None, number("calls a minute, a number above 0", positive=True)
    ] = None
    """The quota of each model."""


class Job(_Section):
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
    def source(self) -> Source | None:
        """The file that it was read from; None for a job that a program made."""
        return self._source


def conflicts(job: Job) -> Iterator[Complaint]:
    """What no single value shows: ids that stand twice, items without a model."""
    first: dict[str, int] = {}
    for index, item in enumerate(job.items):
        earlier = first.setdefault(item.id, index)
        if earlier != index:
            text = f"{shown(item.id)} is the id of items[{earlier}] already: every id stands once"
            yield Complaint(path=("items", index, "id"), text=text)
    if job.model is None:
        without = [index for index, item in enumerate(job.items) if item.model is None]
        if without:
            where = f"items[{without[0]}]" + (
                f" and {len(without) - 1:,} more" if without[1:] else ""
            )
            text = f"is missing: name the model that makes the pictures of {where}"
            yield Complaint(path=("model",), text=text)
