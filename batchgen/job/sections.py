"""The parts of a job as frozen values: its limits, routes, items, steps and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.dataclasses import dataclass

from batchgen.errors import JobError
from batchgen.job import fields
from batchgen.job.allowed import OrNone
from batchgen.job.axes import Pattern
from batchgen.job.complaints import Path
from batchgen.job.fields import Parameters, Variables
from batchgen.job.validation_errors import wrongs


class _Complaining(type):
    """A program that makes a job gets a JobError with every complaint, as a file does."""

    if not TYPE_CHECKING:

        def __call__(cls, *arguments: Any, **keys: Any) -> Any:
            """The value. What stands in a file is validated without this call."""
            try:
                return super().__call__(*arguments, **keys)
            except ValidationError as error:
                found = wrongs(error, PLACES.get(cls, ()))
                complaints = tuple(each.complaint for each in found)
                raise JobError(f"{cls.__name__}(...)", complaints) from None


class _ComplainingModel(_Complaining, ModelMetaclass):
    """The same for pydantic's models."""


class Section(BaseModel, metaclass=_ComplainingModel):
    """A mapping of fixed keys, as frozen values."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,  # a job file needs the validator of Job alone: a tenth of a start
    )


if TYPE_CHECKING:

    def _any_keys(self: Section, **keys: Any) -> None:
        """Whatever a file may say: a list for a tuple, a text for a duration or a time."""


class Limits(Section):
    """How much, how fast and how long."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    concurrency: fields.Concurrency = 8
    """Calls in flight of the whole run, whatever their models."""
    requests_per_minute: OrNone[fields.Rate] = None
    """Calls a minute and model; left out: the model's documented quota."""
    budget_usd: OrNone[fields.Money] = None
    """What all runs may spend together until the job is finished."""
    run_budget_usd: OrNone[fields.Money] = None
    """What each run may spend by itself."""
    until: OrNone[fields.TimeOfDay] = None
    """Local time of day when the run must have ended."""
    max_failures: OrNone[fields.MaxFailures] = None
    """Failed tasks after which the run stops: a number, or a share of the finished ones."""
    whole_chains: fields.Flag = False
    """Begin the `steps` of an image only if the budget has room for all of them."""
    give_up_after: fields.Duration = 1_800.0
    """Seconds without any success after which the run stops."""


class Retry(Section):
    """What happens after a failed attempt."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    attempts: fields.Attempts = 3
    """How often a call is made at most that the service says it failed, the first included. One
    whose answer was lost is made once more; what surely cost nothing does not count."""
    max_elapsed: OrNone[fields.Duration] = None
    """Seconds from a task's first attempt after which this run does not try it again: it stays open
    if only the state of the service was in its way. Left out: `limits.give_up_after`."""
    ambiguous: fields.Ambiguous = "retry"
    """What to do after a call that may have been billed although no answer came."""


class Simulator(Section):
    """Options of the simulator that `endpoint: simulator` starts."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    latency: OrNone[fields.Latency] = None
    """Seconds that a call takes."""
    requests_per_minute: OrNone[fields.SimulatedRate] = None
    """The quota of each model."""


class Route(Section):
    """One way for the calls to go: an account and a Region, with a quota of its own."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    name: OrNone[fields.Name] = None
    """In messages and records; left out: made of the account and the Region."""
    profile: OrNone[fields.Profile] = None
    """AWS profile whose credentials sign the calls; left out: those that the SDK finds."""
    role: OrNone[fields.Role] = None
    """ARN of a role to assume with these credentials; it is assumed anew before it expires."""
    region: OrNone[fields.Region] = None
    """AWS Region; left out: the job's."""
    models: dict[fields.ModelId, fields.ModelId] = Field(default_factory=dict)
    """Model of the job -> what it is called here, such as an inference profile. A route that names
    any serves these alone; left out, it serves all by their own ids."""
    requests_per_minute: OrNone[fields.Rate] = None
    """Calls a minute and model on this route; left out: as `limits` says."""
    concurrency: OrNone[fields.Concurrency] = None
    """Calls in flight on this route; left out: it shares those of `limits` with others."""

    def called(self, model_id: str) -> str | None:
        """What a model of the job is called on this route; None if the route does not serve it."""
        return self.models.get(model_id) if self.models else model_id

    def rate(self, limits: Limits) -> float | Literal["auto"] | None:
        """Calls a minute and model here, as the job says; None: the documented quota."""
        return self.requests_per_minute or limits.requests_per_minute

    def in_flight_limit(self, limits: Limits) -> int:
        """Calls in flight here at most."""
        return self.concurrency or limits.concurrency

    @property
    def account(self) -> str | None:
        """The account of the role; None where only the service can tell."""
        return self.role.split(":")[4] if self.role is not None else None

    @property
    def owner(self) -> str:
        """Whose quota it is, as far as the job tells."""
        return self.account or self.profile or "default"


class ContentCredentials(Section):
    """Who signs what an image says of itself; needs the extra `batchgen[c2pa]`."""

    if TYPE_CHECKING:

        def __init__(self, *, certificate: str, key: str) -> None:
            """Paths of two files."""

    certificate: fields.File
    """Path of the certificate and those that vouch for it, PEM, from the job file on."""
    key: fields.File
    """Path of its private key, PEM, without a password."""


class Metadata(Section):
    """What the files of images say of themselves, beside their coded pixels."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    level: fields.Level = "ai-label"
    """`ai-label`: that a model made it, with which tool and when; `full`: prompts, model, seed and
    parameters, too."""
    content_credentials: OrNone[ContentCredentials] = None
    """Signs that, so that any change shows (C2PA); written last."""

    @property
    def is_written(self) -> bool:
        """Whether files say more than the service sent."""
        return self.level != "none"


class Derivative(Section):
    """A size or a format that is made of each finished image on this machine, without a call."""

    if TYPE_CHECKING:

        def __init__(self, *, suffix: str, **keys: Any) -> None:
            """Whatever a file may say."""

    suffix: fields.Suffix
    """Ends the name of the file: `-800` makes `mug-800.webp` of `mug.png`. Stands once in a job."""
    width: OrNone[fields.Side] = None
    """In pixels; left out: what the height and the shape of the image give."""
    height: OrNone[fields.Side] = None
    """In pixels; left out: what the width and the shape of the image give."""
    format: OrNone[fields.Format] = None
    """`png`, `jpeg` or `webp`; left out: that of the image."""
    quality: OrNone[fields.Quality] = None
    """Of JPEG and WebP, 1 to 100; left out: 85."""
    fit: fields.Fit = "contain"
    """What a width and a height mean: `contain`, the whole image fits into them; `cover`, it fills
    them and what hangs over at two sides is cut off."""
    background: OrNone[fields.Colour] = None
    """Behind what is transparent, and beside an image that does not fill width and height: `white`,
    `black`, `grey` or `"#rrggbb"`. Left out: nothing is added, and JPEG gets white."""

    @property
    def settings(self) -> dict[str, str | int]:
        """All that it orders but the suffix, as a record keeps it."""
        return self.model_dump(exclude={"suffix"}, exclude_none=True)


class OnFiltered(Section):
    """What to do when the service's moderation refused an image; each refusal may have cost one."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    retry_with_new_seed: fields.Retries = 0
    """How often to try the same prompt with another seed."""
    fallback_prompt: OrNone[fields.Text] = None
    """A prompt to try at last, with the same placeholders as any other."""


@dataclass(
    frozen=True,
    slots=True,  # a third of a model's size, and a job may have 100,000 of them
    kw_only=True,
    config=ConfigDict(extra="forbid", defer_build=True),
)
class Item(metaclass=_Complaining):
    """One thing to make pictures of. What it leaves out, the job gives."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            id: str | float,  # noqa: A002  # the key's name
            **keys: Any,
        ) -> None:
            """Whatever a file may say of an item."""

    id: fields.ItemId
    """Stands once in a job; part of the file name."""
    prompt: OrNone[fields.Text] = None
    """Wins over the job's."""
    negative_prompt: OrNone[fields.Text] = None
    """Wins over a parameter of that name."""
    model: OrNone[fields.ModelId] = None
    """Wins over the job's, whose `family` then does not count."""
    family: OrNone[fields.Family] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    fallback: OrNone[fields.Fallback] = None
    """Wins over the job's; an empty list: none."""
    seed: OrNone[fields.SeedNumber] = None
    """Of the first variant; each further variant takes the next number."""
    variants: OrNone[fields.Variants] = None
    """How many pictures to make of it."""
    parameters: Parameters = Field(default_factory=dict)
    """Merged over the job's, key by key."""
    vars: Variables = Field(default_factory=dict)
    """Merged over the job's, key by key."""


class Changes(Section):
    """What an override gives to the tasks that it is for; no key of it makes more tasks."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    prompt: OrNone[fields.Text] = None
    """In place of the item's and the job's."""
    negative_prompt: OrNone[fields.Text] = None
    """In place of the item's, and of a parameter of that name."""
    model: OrNone[fields.ModelId] = None
    """In place of the item's, the job's and the matrix's."""
    family: OrNone[fields.Family] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    parameters: Parameters = Field(default_factory=dict)
    """Merged over all others, key by key."""
    vars: Variables = Field(default_factory=dict)
    """Merged over all others, key by key."""


class Override(Section):
    """Other texts, parameters or another model for some of the tasks."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    when: Pattern
    """For which: names (`id`, `model`, variables, `parameters.NAME`) to values or patterns."""
    set: Changes
    """What they get."""


class Sample(Section):
    """A part of what the job would make, chosen by names, never by places."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    count: fields.MaxTasks
    """How many combinations to make, before `variants`."""
    seed: fields.SampleSeed = 0
    """Another number chooses others."""


class Step(Section):
    """One step of the chain that each image goes through."""

    if TYPE_CHECKING:
        __init__ = _any_keys

    id: fields.StepId
    """Stands once in a job; part of label and file name."""
    model: OrNone[fields.ModelId] = None
    """Left out: the item's or the job's, with their parameters. A step that names one has its own
    parameters alone."""
    family: OrNone[fields.Family] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    prompt: OrNone[fields.Text] = None
    """In place of the item's and the job's, which go to the steps whose model takes one."""
    negative_prompt: OrNone[fields.Text] = None
    """In place of the item's, and of a parameter of that name."""
    parameters: Parameters = Field(default_factory=dict)
    """As in an item. An image may be that of another step, `"@generate"`, or of a step of another
    item, `"@item:hero/generate"`."""
    derive: OrNone[tuple[Derivative, ...]] = None
    """Sizes and formats of the images of this step; left out: those of the job, if no other step
    takes its image, else none."""


PLACES: dict[Any, Path] = {
    ContentCredentials: ("metadata", "content_credentials"),
    Derivative: ("derive", 0),
    Item: ("items", 0),
    Limits: ("limits",),
    Metadata: ("metadata",),
    OnFiltered: ("on_filtered",),
    Override: ("override", 0),
    Changes: ("override", 0, "set"),
    Sample: ("sample",),
    Retry: ("retry",),
    Route: ("routes", 0),
    Simulator: ("simulator",),
    Step: ("steps", 0),
}
"""Where each part stands in a job."""
