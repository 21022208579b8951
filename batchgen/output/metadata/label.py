"""What is said of an image in its file: the values that are written, and those that are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from batchgen.record import UtcTime

PROVENANCE_VERSION = 1
"""Of the fields of `Provenance`; a reader ignores those that it does not know."""


class SourceType(StrEnum):
    """IPTC's words for how a picture came to be (its NewsCodes, `digitalsourcetype`)."""

    GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    """A model made it from words."""
    EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
    """A model made it from a picture that it was given."""


class Asked(BaseModel):
    """What a task asks for, where something else was sent in its place."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reason: str
    """As in `record.Served`."""
    model: str
    seed: int
    request: dict[str, Any]


class Provenance(BaseModel):
    """How an image was made: the one JSON field of `metadata: full`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = PROVENANCE_VERSION
    prompt: str | None
    negative_prompt: str | None
    model: str
    """The id that the image was asked of."""
    seed: int
    """The one that was sent."""
    parameters: dict[str, Any]
    """The rest of the body that was sent."""
    task_id: str
    label: str
    item_id: str
    vars: dict[str, str]
    run_id: str
    attempt: int
    """1-based within the run."""
    region: str | None
    simulated: bool
    """Whether a simulator made it."""
    started_at: UtcTime | None
    request_id: str | None
    latency_ms: int | None
    finish_reason: str | None
    request: dict[str, Any] | None = None
    """The exact body that was sent; None where the file had no room for it."""
    asked: Asked | None = None
    """What the task asks for, if that is not what was sent."""
    truncated: bool = False
    """Texts were cut, for the file had no room for them."""
    derived: bool = Field(default=False, exclude_if=lambda value: value is False)
    """The file is a size or a format that was made of the image on the user's machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What an image's file is to say."""

    creator_tool: str
    """`batchgen 0.1.0`."""
    created_at: datetime
    source_type: SourceType
    received_sha256: str
    """Of the bytes that the service sent: whoever finds the file can tell them by it."""
    model: str
    """The id that the image was asked of."""
    seed: int
    provenance: Mapping[str, Any] | None = None
    """The fields of `Provenance` as JSON takes them; None: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What a file says of itself. Anybody may have written that: to be shown cleaned, and bounded.

    What cannot be read is left out, and `problem` tells of it.
    """

    source_type: str | None = None
    """An IPTC digital source type, as a URI; those of `SourceType` are ours."""
    creator_tool: str | None = None
    created_at: str | None = None
    received_sha256: str | None = None
    """Of the bytes that the service sent, before anything was embedded."""
    provenance: Provenance | None = None
    parameters: str | None = None
    """The text of a PNG that viewers of generated images read; other programs write it, too."""
    has_credentials: bool = False
    """Whether it holds Content Credentials (C2PA), whoever signed them."""
    problem: str | None = None
    """Why something in it could not be read."""
