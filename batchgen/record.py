"""What became of a task and of a run, as the lines of a manifest (version 2 of the format).

Version 2 (November 2026) renamed `cost_usd` of an attempt line to `price_usd`, for whoever summed
it up counted each call twice; everything else of version 1 means what it meant.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

UtcTime = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC)),
    PlainSerializer(
        lambda time: time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        return_type=str,
        when_used="json",
    ),
]
"""A time that a line holds as `2026-11-21T02:00:03.120Z`; in any time zone it is a date that has a
name."""

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A whole number that tables and databases can hold, too."""
Usd = Annotated[float, Field(allow_inf_nan=False)]
"""An amount; NaN would make every sum NaN, and no budget would ever be used up."""

FORMAT_VERSION = 2
"""Written in every `run` line; a reader refuses a larger one than it knows."""


SELDOM = frozenset(
    (
        "fresh",
        "limit",
        "only",
        "original",
        "output",
        "region",
        "reproduces",
        "reseeds",
        "route",
        "served",
    )
)
"""Fields that a line leaves out while they are None."""


def is_simulated(endpoint: str) -> bool:
    """Whether an endpoint makes pictures that nobody pays for: a simulator on this machine.

    Any URL of another machine stands for the service itself, by a proxy or a gateway.
    """
    if endpoint == "simulator":
        return True
    try:
        host = urlsplit(endpoint).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Status(StrEnum):
    """What became of one task."""

    SUCCEEDED = "succeeded"
    FILTERED = "filtered"
    """The service's moderation refused it."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """A parent in its chain was not made."""


class Line(BaseModel):
    """One line of a manifest. Readers ignore fields they do not know: later versions may add."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        defer_build=True,
        cache_strings="none",  # few texts of a million lines are those of others; a third of a read
    )

    def to_json(self) -> bytes:
        """The line as ASCII JSON with its newline.

        ASCII only, because U+2028 and its kin end a line for some readers.
        """
        fields = self.model_dump(mode="json")
        for name in SELDOM & fields.keys():
            if fields[name] is None:
                del fields[name]
        return json.dumps(fields).encode() + b"\n"


DECODED_DIGITS = 16
"""Of a sha256, that tie what is said of a file to its bytes."""


def _is_none(value: object) -> bool:
    return value is None


def _is_empty(value: object) -> bool:
    return value == ()


class DerivedFile(BaseModel):
    """A size or format of an image, made on this machine as `derive` of the job orders."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    path: str
    """Below the output folder, with `/`: the path of the image with the suffix."""
    sha256: str
    """Of the file."""
    bytes: int
    """Of the file."""
    format: str
    """`png`, `jpeg` or `webp`."""
    width: int
    height: int
    suffix: str
    """What its name adds to that of the image."""
    settings: dict[str, str | int]
    """What the job ordered, as it stands there."""

    @property
    def is_decoded(self) -> bool:
        """Its pixels are those that were written, if the hash is the one on record."""
        return True

    @property
    def stays_beside(self) -> bool:
        """Whether its name stays in the folder of its image: a line may be anybody's."""
        return not {"/", "\0"} & set(self.suffix) and self.format in EXTENSIONS


EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}
"""Format -> how the names of its files end."""


def derived_path(path: str, suffix: str, form: str) -> str:
    """Where a derived file of an image lies."""
    return f"{path.rpartition('.')[0]}{suffix}.{EXTENSIONS.get(form, form)}"


class StoredImage(BaseModel):
    """One image file of a task, as it lies in the output."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    path: str
    """Below the output folder, with `/`."""
    sha256: str
    """Of the file."""
    received_sha256: str | None = Field(default=None, exclude_if=_is_none)
    """Of the bytes that the service sent; left out where the file is these bytes."""
    pixels_sha256: str | None = Field(default=None, exclude_if=_is_none)
    """Of the decoded pixels, as `output.hash_pixels` makes it; left out where that is, and where
    pixels are missing."""
    decoded: str | None = Field(default=None, exclude_if=_is_none)
    """The first 16 digits of the `sha256` of the file whose pixels were all decoded when it came;
    left out where some were missing, or nobody looked."""
    bytes: Whole
    """Of the file."""
    format: str
    """What the bytes are: `png`, `jpeg` or `webp`, whatever was asked for."""
    width: Whole
    height: Whole
    seed: int | None
    """The seed that the service says it used; None where it did not say."""
    finish_reason: str | None
    derived: tuple[DerivedFile, ...] = Field(default=(), exclude_if=_is_empty)
    """Sizes and formats that were made of it and lie beside it; left out without any. A `derived`
    line that follows the record takes the place of this."""

    def at(self, path: str) -> StoredImage:
        """The same image where it is now; what was derived of it lies beside it."""
        if path == self.path:
            return self
        derived = tuple(
            each.model_copy(update={"path": derived_path(path, each.suffix, each.format)})
            for each in self.derived
            if each.stays_beside
        )
        return self.model_copy(update={"path": path, "derived": derived})

    @property
    def is_decoded(self) -> bool:
        """Whether a file with this hash is known to have all its pixels."""
        return self.decoded is not None and self.decoded == self.sha256[:DECODED_DIGITS]


class ErrorInfo(BaseModel):
    """Why a task was not made."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    type: str
    """Name of the class in `batchgen.errors`."""
    code: str
    """The service's error code or the name of the local error."""
    message: str
    retryable: bool
    """Whether a later run of the same job may succeed without an edit."""


class Served(BaseModel):
    """What was sent in place of what the task asks for, because the job allows it."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    reason: str
    """`filtered`, or why the model asked for was left: `denied`, `throttled`, `unavailable`."""
    model_id: str
    seed: Whole
    request: dict[str, Any]
    """The exact body that was sent."""


class Original(BaseModel):
    """The record of another manifest whose image was made again."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    task_id: str
    run_id: str
    path: str | None
    """Where its image was, below the output of that manifest; None if it had none."""
    sha256: str | None
    """Of its image, as that record says."""


class Record(Line):
    """What became of one task. The last record of a task id wins."""

    kind: Literal["record"] = "record"
    run_id: str
    task_id: str
    label: str
    item_id: str
    vars: dict[str, str]
    status: Status
    original: Original | None = None
    """What `reproduce` made again; stands before `endpoint`, behind which readers look for the path
    of the image."""
    model_id: str
    region: str
    """Where the last attempt went."""
    route: str | None = None
    """Name of the job's route that it took; None for a job without routes."""
    endpoint: str
    seed: Whole
    """The seed that was asked for."""
    request: dict[str, Any]
    """The exact body that the task asks for; it was sent unless `served` says otherwise.

    In place of each input image stands `{"path": ..., "sha256": ...}`, never its base64, in which
    the file was sent: the path as the job gives it, relative to the folder of the run's `job_file`
    (without one, to the folder that the run was started in), and the SHA-256 of the file's bytes.
    An image of another task of the run has that one's id beside these, as `task`, and its path
    counts from the output; of a task that was skipped it has the id alone. The id of the task is
    made of the hash, or of the other task's id, alone: `task.task_id(model_id, request)` of what
    stands here is `task_id`. `job.InputImages(folder).read(request[name])` reads the file and
    checks it; `models.FAMILIES[family].IMAGE_PARAMETERS` names the parameters that are images."""
    served: Served | None = None
    """What the last attempt sent in its place."""
    images: tuple[StoredImage, ...]
    finish_reasons: tuple[str | None, ...]
    """The service's own words, one for each artifact of the reply."""
    attempts: Whole
    request_id: str | None
    started_at: UtcTime
    """When the last attempt started, UTC."""
    finished_at: UtcTime
    latency_ms: Whole | None
    """Time of the last attempt's call; None where it is not known (an adopted image)."""
    cost_usd: Usd | None
    """What this task surely cost; None where the price is unknown."""
    maybe_billed: Whole
    """Attempts without a usable answer that may have been billed as well."""
    maybe_billed_usd: Usd | None = None
    """What these may have cost. Lines of earlier versions may lack it: then each may have cost
    what this call does."""
    error: ErrorInfo | None

    @property
    def is_unpriced(self) -> bool:
        """Whether it cost, or may have cost, what nobody knows."""
        paid = self.status is Status.SUCCEEDED or self.maybe_billed > 0
        return paid and self.cost_usd is None


class Reseed(BaseModel):
    """New seeds for some images, which later runs of the output keep to."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    key: str
    """What the seeds are derived from."""
    only: tuple[str, ...] = ()
    """Patterns of the item ids or labels that get them; none: all."""


class RunLine(Line):
    """Opens a run."""

    kind: Literal["run"] = "run"
    run_id: str
    version: int = FORMAT_VERSION
    batchgen_version: str
    sdk_versions: dict[str, str]
    job_name: str
    job_file: str | None
    """Its absolute path; None for a job that a program made."""
    job_sha256: str | None
    output: str | None = None
    """Its absolute path; None in lines of earlier versions."""
    reproduces: str | None = None
    """Absolute path of the manifest whose images the run makes again."""
    endpoint: str
    region: str
    random_seed_key: str
    """What `seed: random` draws from; a later run of this output takes it over."""
    reseeds: tuple[Reseed, ...] | None = None
    """Every `--reseed` so far, this run's last; a later run of this output takes them over."""
    fresh: bool | None = None
    """Whether the run makes again what the manifest had: all that is older than this line."""
    only: tuple[str, ...] | None = None
    """Patterns of what was chosen; None: all."""
    limit: int | None = None
    """How many tasks were chosen at most; None: all."""
    started_at: UtcTime


class AttemptLine(Line):
    """Precedes each call: after a crash it tells *maybe paid* from *never sent*."""

    kind: Literal["attempt"] = "attempt"
    run_id: str
    task_id: str
    attempt: Whole
    """1-based within the run."""
    seed: Whole
    price_usd: Usd | None = Field(validation_alias=AliasChoices("price_usd", "cost_usd"))
    """What the call costs if it is billed; `cost_usd` in version 1 of the format."""
    maybe_billed: Whole = 0
    """Earlier attempts at the task in this run that may have been billed; this one may be, too."""
    maybe_billed_usd: Usd | None = None
    """What these may have cost. Lines of earlier versions may lack it: then each may have cost
    what this call does."""
    route: str | None = None
    """Name of the job's route that it takes; None for a job without routes."""
    region: str | None = None
    """None in lines of earlier versions."""
    served: Served | None = None
    """What is sent in place of what the task asks for."""
    started_at: UtcTime


class MovedLine(Line):
    """Follows a file that made room for another, or took its name back."""

    kind: Literal["moved"] = "moved"
    run_id: str
    task_id: str
    path: str
    new_path: str


class DerivedLine(Line):
    """What there is now of sizes and formats of a task's first image.

    What its last record, or an earlier line of this kind, said of them counts no more.
    """

    kind: Literal["derived"] = "derived"
    run_id: str
    task_id: str
    path: str
    """Of the image, where it was then."""
    derived: tuple[DerivedFile, ...]


class MovedFile(BaseModel):
    """A file that was moved aside."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    path: str
    new_path: str


class RepairLine(Line):
    """What `verify` settled with `--repair` or `--prune`: what it names counts no more."""

    kind: Literal["repair"] = "repair"
    reason: str
    """`pruned`, or what was found: the kind of a finding of `verify`."""
    task_id: str | None = None
    """Whose records so far count no more, so that a run makes it again; None: nobody's."""
    files: tuple[MovedFile, ...] = ()
    """Where its files went, or a file that no record named."""
    damaged_lines: tuple[int, ...] = ()
    """Offsets in bytes of lines that cannot be read, and that are known by now."""
    at: UtcTime


class EndLine(Line):
    """Closes a run."""

    kind: Literal["end"] = "end"
    run_id: str
    finished_at: UtcTime
    exit_code: int
    summary: dict[str, Any]
    """Counts, cost and rates: the same object that `run --json` prints."""


def utc_now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)
