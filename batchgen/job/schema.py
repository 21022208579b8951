"""The job: what a job file may say, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from pydantic import BeforeValidator, Field, PrivateAttr

from batchgen.job import fields
from batchgen.job.allowed import OrNone
from batchgen.job.axes import Axes, Pattern, file_name_of
from batchgen.job.fields import Parameters, Variables, level_alone
from batchgen.job.images import InputImages
from batchgen.job.sections import (
    PLACES,
    Derivative,
    Item,
    Limits,
    Metadata,
    OnFiltered,
    Override,
    Retry,
    Route,
    Sample,
    Section,
    Simulator,
    Step,
)
from batchgen.job.validation_errors import KEYS, named
from batchgen.job.yaml_document import Source

_Data = TypeVar("_Data")


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
    def effective_routes(self) -> tuple[Route, ...]:
        """Its routes with name and Region; the only one of a job that names none has no name."""
        if not self.routes:
            return (Route(region=self.region),)
        return tuple(route.model_copy(update=self._told(route)) for route in self.routes)

    @property
    def in_flight_limit(self) -> int:
        """Calls in flight of the whole run."""
        own = [route.concurrency for route in self.effective_routes]
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
    named(place): tuple(part.__pydantic_fields__) for part, place in (PLACES | {Job: ()}).items()
}
