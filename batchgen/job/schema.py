"""The job: what a job file may say, as frozen values. Defaults stand here and nowhere else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
)
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.dataclasses import dataclass

from batchgen.errors import InputError, JobError
from batchgen.job import fields
from batchgen.job.axes import Axes, Pattern, file_name_of
from batchgen.job.fields import OrNone, Parameters, Variables, level_alone
from batchgen.job.images import InputImages
from batchgen.job.validation_errors import KEYS, wrongs
from batchgen.job.yaml_document import Source
from batchgen.job.yaml_scalars import meaning

_Data = TypeVar("_Data")
WITHIN: Mapping[str, tuple[str | int, ...]] = {
    "ContentCredentials": ("metadata", "content_credentials"),
    "Derivative": ("derive", 0),
    "Item": ("items", 0),
    "Limits": ("limits",),
    "Metadata": ("metadata",),
    "OnFiltered": ("on_filtered",),
    "Override": ("override", 0),
    "Changes": ("override", 0, "set"),
    "Sample": ("sample",),
    "Retry": ("retry",),
    "Route": ("routes", 0),
    "Simulator": ("simulator",),
    "Step": ("steps", 0),
}
"""Where a part stands in a job."""


class _Complaining(type):
    """A program that makes a job gets a JobError with every complaint, as a file does."""

    if not TYPE_CHECKING:

        def __call__(cls, *arguments: Any, **keys: Any) -> Any:
            """The value. What stands in a file is validated without this call."""
            try:
                return super().__call__(*arguments, **keys)
            except ValidationError as error:
                within = WITHIN.get(cls.__name__, ())
                complaints = tuple(each.complaint for each in wrongs(error, within))
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


class Limits(Section):
    """How much, how fast and how long."""

    if TYPE_CHECKING:

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

    latency: OrNone[fields.Latency] = None
    """Seconds that a call takes."""
    requests_per_minute: OrNone[fields.SimulatedRate] = None
    """The quota of each model."""


class Route(Section):
    """One way for the calls to go: an account and a Region, with a quota of its own."""

    if TYPE_CHECKING:

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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

    def places(self, limits: Limits) -> int:
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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say."""

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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

    when: Pattern
    """For which: names (`id`, `model`, variables, `parameters.NAME`) to values or patterns."""
    set: Changes
    """What they get."""


class Sample(Section):
    """A part of what the job would make, chosen by names, never by places."""

    if TYPE_CHECKING:

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

    count: fields.MaxTasks
    """How many combinations to make, before `variants`."""
    seed: fields.SampleSeed = 0
    """Another number chooses others."""


class Step(Section):
    """One step of the chain that each image goes through."""

    if TYPE_CHECKING:

        def __init__(self, **keys: Any) -> None:
            """Whatever a file may say: a list for a tuple, a text for a duration or a time."""

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


class Job(Section):
    """A validated job file, or one that a program made."""

    if TYPE_CHECKING:

        def __init__(
            self, *, name: str, items: Sequence[Item | Mapping[str, Any]] = (), **keys: Any
        ) -> None:
            """Whatever a file may say: lists for tuples, mappings for `limits` and its like."""

    name: fields.Name
    """Part of the derived seeds: another name makes other pictures."""
    endpoint: fields.Endpoint = "aws"
    """`simulator`, `aws` or a URL."""
    region: fields.Region = "us-west-2"
    """AWS Region of the calls."""
    model: OrNone[fields.ModelId] = None
    """Of the items that bring none: an id, an inference profile or an ARN."""
    family: OrNone[fields.Family] = None
    """Whose facts hold for a model that is named by an ARN or a custom id."""
    fallback: fields.Fallback = ()
    """Models that make an image, in this order, while its own is denied, ended or out of reach."""
    on_filtered: OnFiltered = OnFiltered.model_construct()
    """What to do when the service's moderation refused an image."""
    routes: tuple[Route, ...] = Field(default=(), min_length=1)
    """The ways for the calls; left out: one, in `region`, with the credentials that are found."""
    output: fields.Folder = Field(default_factory=lambda given: f"out/{given['name']}")
    """Folder of images and manifest, from the current folder on; left out: `out/NAME`."""
    prompt: OrNone[fields.Text] = None
    """Of the items that bring none."""
    parameters: Parameters = Field(default_factory=dict)
    """The model's own parameters, by its own names."""
    vars: Variables = Field(default_factory=dict)
    """What `{name}` stands for in prompts, parameters and file names."""
    items: Annotated[tuple[Item, ...], Field(min_length=1)] = ()
    """What to make."""
    items_from: fields.DataFiles = ()
    """In place of `items`: a CSV or JSONL file, a pattern such as `photos/*.jpg` (an item for each
    file), `-` for standard input, or a list of these. Paths count from the job file."""
    seed: fields.Seed = "derived"
    """`derived` from names, so that the same job makes the same pictures; `random`; or a number."""
    variants: fields.Variants = 1
    """Pictures of each item that does not say."""
    matrix: Axes = Field(default_factory=dict)
    """Every combination of these values is made of each item: variables, `model` or
    `parameters.NAME`, each with a list of values. A value may be a mapping: a `name`, and what it
    sets."""
    zip: Axes = Field(default_factory=dict)
    """As `matrix`, but the lists advance together: the first values, then the second ones."""
    exclude: tuple[Pattern, ...] = ()
    """Combinations to leave out: names (`id`, `model`, variables, `parameters.NAME`) to values or
    patterns such as `mug-*`."""
    override: tuple[Override, ...] = ()
    """Changes for the combinations that match `when`; of two, the later one counts."""
    sample: OrNone[Sample] = None
    """Make a part of the combinations alone."""
    steps: tuple[Step, ...] = Field(default=(), min_length=1)
    """A chain that each image goes through, such as generate, cut out, enlarge."""
    max_tasks: OrNone[fields.MaxTasks] = None
    """Refuse the job if it would make more images than this."""
    file_name: fields.Text = Field(
        default_factory=lambda given: file_name_of((*given["matrix"], *given["zip"]))
    )
    """Template of the file names, without the extension; `/` makes folders. Left out: the id, the
    values of the matrix and the variant."""
    metadata: Annotated[
        Metadata, BeforeValidator(level_alone, json_schema_input_type=fields.Level | Metadata)
    ] = Metadata.model_construct(level="none")
    """What the files of images say of themselves: `none`, `ai-label`, `full`, or a mapping."""
    derive: tuple[Derivative, ...] = ()
    """Sizes and formats to make of each finished image on this machine; they cost nothing."""
    limits: Limits = Limits.model_construct()
    """Calls at once and a minute, money, and when to stop."""
    retry: Retry = Retry.model_construct()
    """How often a failed call is made again."""
    allow_retired: fields.Flag = False
    """Call a model on AWS although it is past its end of life."""
    allow_plain_http: fields.Flag = False
    """Send credentials to an `http://` endpoint on another machine, where whoever is on the way can
    read them."""
    include: fields.Includes = ()
    """YAML files of shared keys, merged below this one key by key; paths count from this file."""
    prices: dict[fields.ModelId, fields.Price] = Field(default_factory=dict)
    """US dollars of one picture by model, where they differ from those that batchgen knows."""
    simulator: Simulator = Simulator.model_construct()
    """Only with `endpoint: simulator`."""
    _source: Source | None = PrivateAttr(default=None)
    _images: InputImages | None = PrivateAttr(default=None)
    _data_files: dict[str, Any] = PrivateAttr(default_factory=dict)
    _user_prices: Mapping[str, Decimal] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Keep where it was read from."""
        if context:
            self._source = context["source"]

    def of_source(self, source: Source) -> Job:
        """The same job, of this source from now on."""
        self._source, self._images = source, None
        return self

    def with_prices(self, prices: Mapping[str, Decimal]) -> Job:
        """The same job, for a user whose prices count from now on where it has none itself."""
        self._user_prices = prices
        return self

    def price_of(self, model_id: str) -> Decimal | None:
        """US dollars of one picture by the job, else by its user; None if neither says."""
        return self.prices.get(model_id, self._user_prices.get(model_id))

    @property
    def images(self) -> InputImages:
        """The image files that its parameters name, from the folder of the job file on."""
        if self._images is None:
            self._images = InputImages(self.folder)
        return self._images

    @property
    def folder(self) -> Path:
        """What paths in the job count from: the folder of its file."""
        return Path() if self._source is None else Path(self._source.file).parent

    def data_file(self, name: str, make: Callable[[], _Data]) -> _Data:
        """The data file of this name, which every walk shares; made when it is first asked for."""
        if name not in self._data_files:
            self._data_files[name] = make()
        return cast("_Data", self._data_files[name])

    @property
    def ways(self) -> tuple[Route, ...]:
        """Its routes with name and Region; the only one of a job that names none has no name."""
        if not self.routes:
            return (Route(region=self.region),)
        return tuple(route.model_copy(update=self._told(route)) for route in self.routes)

    @property
    def places(self) -> int:
        """Calls in flight of the whole run."""
        own = [route.concurrency for route in self.ways]
        shared = self.limits.concurrency if None in own else 0
        return shared + sum(places or 0 for places in own)

    def _told(self, route: Route) -> dict[str, str]:
        region = route.region or self.region
        return {"region": region, "name": route.name or f"{route.owner}@{region}"}

    @property
    def source(self) -> Source | None:
        """The file that it was read from; None for a job that a program made."""
        return self._source


KEYS |= {
    "": tuple(Job.model_fields),
    "derive": tuple(Derivative.model_fields),
    "items": tuple(field.name for field in dataclasses.fields(Item)),
    "limits": tuple(Limits.model_fields),
    "metadata": tuple(Metadata.model_fields),
    "metadata.content_credentials": tuple(ContentCredentials.model_fields),
    "on_filtered": tuple(OnFiltered.model_fields),
    "override": tuple(Override.model_fields),
    "set": tuple(Changes.model_fields),
    "sample": tuple(Sample.model_fields),
    "retry": tuple(Retry.model_fields),
    "routes": tuple(Route.model_fields),
    "simulator": tuple(Simulator.model_fields),
    "steps": tuple(Step.model_fields),
}


def read_value(key: str, text: str) -> Any:
    """A value of a key of the job file, such as `limits.until`, from the text of an option.

    Raises:
        InputError: what is allowed.
    """
    read = _type_of(key).validate_python
    try:
        return read(text)
    except ValidationError:
        try:
            return read(_number_or_text(text))
        except ValidationError as error:
            raise InputError(error.errors()[0]["ctx"]["allowed"]) from None


def _number_or_text(text: str) -> Any:
    try:
        return meaning(text)
    except ValueError:  # more than a number can be
        return text


@cache
def _type_of(key: str) -> TypeAdapter[Any]:
    section, _, name = key.rpartition(".")
    keys = Job.model_fields[section].annotation if section else Job
    return TypeAdapter(cast("type[BaseModel]", keys).model_fields[name].rebuild_annotation())
