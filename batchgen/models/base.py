"""What every model family offers: pure functions from parameters to a body and back.

A family is one module of this shape, entered in `registry.FAMILIES`. No I/O, no clock, no
randomness.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeAlias


class LifeCycle(StrEnum):
    """State of a model, in the service's words (`modelLifecycle.status`), and one of ours."""

    ACTIVE = "active"
    LEGACY = "legacy"
    RETIRED = "retired"
    """Past its end of life: the service refuses it."""


Key: TypeAlias = tuple[str | int, ...]
"""A path inside the parameters: `("cfg_scale",)`, `("text_prompts", 0, "weight")`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A text or a parameter that the model would not take."""

    key: Key
    text: str
    """The value, what is allowed and the nearest name, as one sentence."""
    of_prompts: bool = False
    """The key is a field of `Prompts`, a text of the item's own, and not a parameter."""


class Check(Protocol):
    """What one value may be: called with it and where it stands, it says all that is wrong."""

    @property
    def kind(self) -> str:
        """The type, in words for people: `text`, `number`, `image`."""

    @property
    def limits(self) -> str:
        """What is allowed of that type, in words for people; empty where all is."""

    def __call__(self, key: Key, value: Any) -> Collection[Problem]:
        """Everything that is wrong with the value that stands at a key; empty if it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a model."""

    check: Check
    default: Any = None
    """What holds where a request leaves it out, as documented; None if there is no such value."""
    required: bool = False

    @property
    def kind(self) -> str:
        """As its check."""
        return self.check.kind

    @property
    def limits(self) -> str:
        """As its check."""
        return self.check.limits

    def __call__(self, key: Key, value: Any) -> Collection[Problem]:
        """As its check."""
        return self.check(key, value)


class InputImage(dict[str, str]):
    """An image that a request takes, as the request names it until the call: `path` and `sha256`.

    What stands in a `Task`, in a `Record` and in what a task id is made of is this mapping, never
    the bytes; they are read when the task runs. The other facts are there when the file was looked
    at, and None in a request that comes from a manifest.
    """

    def __init__(
        self, path: str, sha256: str, *, size: tuple[int, int], file_format: str, file_bytes: int
    ) -> None:
        """An image file that was looked at.

        Args:
            path: as the job gives it: relative to the job file's folder, or absolute.
            sha256: of the file.
            size: width and height in pixels.
            file_format: `png`, `jpeg` or `webp`.
            file_bytes: of the file.
        """
        super().__init__(path=path, sha256=sha256)
        self.size = size
        self.file_format = file_format
        self.file_bytes = file_bytes


class StepImage(dict[str, str]):
    """The image of another task in a request: `task`, and once it is made `path` and `sha256`."""


@dataclass(frozen=True, slots=True)
class UnusableImage:
    """What stands in the parameters in place of an image file that cannot be used."""

    text: str
    """Which file, and why not: one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is known of one model id; facts of November 2026, each of which a job may override."""

    id: str
    """As the job names it: a model id, an inference profile or an ARN."""
    family: str
    title: str
    price_usd: Decimal | None = None
    """Price of one image at the default parameters; None if unknown.

    Where parameters change the price, `Family.price` changes this one in proportion, so that a job
    overrides the price of a model by one figure.
    """
    requests_per_minute: int | None = None
    """Default on-demand quota of one account in one Region; new accounts may have less."""
    regions: tuple[str, ...] = ()
    """Where it can be called; empty where that is not known: a profile or a custom model."""
    life_cycle: LifeCycle = LifeCycle.ACTIVE
    end_of_life: date | None = None
    """None if there is none, or it is unknown."""
    output_formats: tuple[str, ...] = ("png",)
    """What it can answer in: of `png`, `jpeg` and `webp`; the one we ask for by default first."""
    seed_max: int = 4_294_967_295
    """Largest seed; the smallest that we send is 1, for 0 asks the service for a random one."""
    latency_s: float | None = None
    """Seconds that a call takes, about; None if unknown."""
    quota_title: str | None = None
    """Its name in Service Quotas, which has one quota for all versions; None where not known."""
    prompt: Parameter | None = field(compare=False, repr=False)
    """The item's own prompt; None: the model takes none."""
    parameters: Mapping[str, Parameter] = field(compare=False, repr=False)
    """What a job may say under `parameters`, by the model's own names."""
    takes_seed: bool = True
    """Whether a request carries a seed; without one all variants of an item are one request."""
    scale: int | None = None
    """How many times as long as those of its `image` the sides of the answer are; None: unknown."""
    by_profile: bool = False
    """Only the inference profile that is its id can be called, not the model behind it."""


@dataclass(slots=True, kw_only=True)  # a plan makes a million: frozen ones take three times as long
class Prompts:
    """The texts of one task with all placeholders filled in."""

    prompt: str | None
    negative_prompt: str | None
    """Wins over a `negative_prompt` among the parameters; empty, it takes that one away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a request asks for: in terms that all families share, and what is its family's own."""

    texts: tuple[tuple[str, float], ...]
    """Each text with its weight: a prompt has 1, a negative prompt -1."""
    shape: tuple[int, int] | None
    """Width and height of the picture, or only their ratio; None where an input decides it."""
    is_exact_size: bool = False
    """The shape is the size in pixels."""
    image_format: str
    own: Mapping[str, Any]
    """Parameters that other families have no word for."""

    @property
    def prompt(self) -> str | None:
        """The prompt; None where weights say more than a prompt and a negative one after it."""
        is_plain = tuple(weight for _, weight in self.texts) in ((1,), (1, -1))
        return self.texts[0][0] if is_plain else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Parts in the terms of one family: what it builds a request of."""

    prompts: Prompts
    parameters: dict[str, Any]
    problems: tuple[Problem, ...] = ()
    """What the family has no word for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One image of a reply, decoded and unchecked."""

    data: bytes
    seed: int | None
    finish_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response body in our words.

    Exactly one of three holds: there are images, moderation refused, or generation failed.
    """

    images: tuple[Artifact, ...]
    """Only what we keep: an image beside a reason of moderation or failure is not among them."""
    finish_reasons: tuple[str | None, ...]
    """The service's own words, one for each artifact it spoke of."""
    filtered: bool
    """Moderation refused it and no image is kept, even if one came."""
    inference_error: bool
    """The service says that generation failed: no image is kept, and it may have been billed."""
    withheld: int = 0
    """How many images came beside a reason to refuse them: not kept, but perhaps billed."""


class UnknownModel(ValueError):
    """A model, or a family, that we have no facts of; its text says what to name instead."""


class ReplyError(ValueError):
    """A response body that is not what the family's model answers; its text says why."""


class Family(Protocol):
    """The shape of a family module."""

    NAME: str
    MODELS: Mapping[str, Model]
    PROMPT_PARAMETERS: frozenset[str]
    """Parameters that say the prompt: an item that brings one does not take the job's prompt."""
    IMAGE_PARAMETERS: frozenset[str]
    """Parameters that are images: files in a job, `InputImage` in a request, base64 on the wire."""

    def generic(self, model_id: str) -> Model:
        """A model of which only the family is known: no price, no quota, the loosest limits."""

    def text_problems(self, model: Model, prompts: Prompts) -> Sequence[Problem]:
        """Everything in the texts that the model would refuse."""

    def problems(
        self, model: Model, prompts: Prompts, parameters: Mapping[str, Any]
    ) -> Iterator[Problem]:
        """Everything in the texts and the parameters that the model would refuse.

        Those of the texts and what is wrong with parameters whatever the texts are; only images,
        which share a body with the texts, and `PROMPT_PARAMETERS` are judged together with them.
        """

    def build(
        self, model: Model, prompts: Prompts, parameters: Mapping[str, Any], seed: int
    ) -> dict[str, Any]:
        """The request body, in which an image stands as its `InputImage`.

        Only for parameters that `problems` found nothing wrong with.

        Equal requests are written equally: 7 and 7.0, or an omitted and an explicit default that we
        always send, give one body. The body may share what is nested in the parameters.
        """

    def parts(self, request: Mapping[str, Any]) -> Parts:
        """What a body that `build` made asks for, so that another family can ask for it."""

    def from_parts(self, parts: Parts, model: Model) -> Asked:
        """These parts in the family's own terms, for one of its models."""

    def with_prompt(self, request: Mapping[str, Any], prompt: str) -> dict[str, Any]:
        """The same body with another prompt, where `parts` finds one in it."""

    def image_format(self, request: Mapping[str, Any]) -> str:
        """The format that the request asks for: `png`, `jpeg` or `webp`."""

    def price(self, model: Model, request: Mapping[str, Any]) -> Decimal | None:
        """Price of one call in USD with these parameters; None if unknown."""

    def parse(self, body: bytes) -> Reply:
        """The reply that a response body holds.

        Raises:
            ReplyError: the body is not one that this family's models answer.
        """
