"""One call of InvokeModel: what arrived, what its generation made, and the answer it gets."""

from __future__ import annotations

import hashlib
import json
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .credentials import Caller
    from .errors import Refused
    from .families.base import Model
    from .faults.directives import Directive

_TYPE_SUFFIX = ":http://internal.amazon.com/coral/com.amazon.bedrock/"


@dataclass(kw_only=True)
class Call:
    """What is known of a call; filled in while the service finds it out."""

    sequence: int
    """Counts from 1."""
    model_id: str
    """As it was asked for, decoded."""
    headers: Mapping[str, str]
    """Their names compare without regard to case."""
    body: bytes
    started: float
    """By the monotonic clock."""
    elapsed: float
    """Seconds since the simulator's start."""
    time: float
    """Seconds since the epoch."""
    request_id: str
    caller: Caller | None = None
    model: Model | None = None
    attempt: int = 0
    """How many times this body was sent to this model, this time included."""
    seed: int | None = None
    faults: tuple[str, ...] = ()
    """Names of the actions that act on it."""
    charged: Decimal = Decimal(0)
    """USD; set as soon as the service has done what it charges for."""
    pending: Decimal | None = None
    """USD that the generation under way will cost; None while there is none."""

    @cached_property
    def sha256(self) -> str:
        """Of the body."""
        return hashlib.sha256(self.body).hexdigest()

    @cached_property
    def text(self) -> str:
        """The body for searching: as it came, and with its escapes undone."""
        raw = self.body.decode("utf-8", "replace")
        try:
            plain = json.dumps(json.loads(raw), ensure_ascii=False)
        except (ValueError, RecursionError):
            plain = ""
        return f"{raw}\n{plain}"


def draw(*what: object) -> float:
    """A number in [0, 1) that depends only on the arguments: chance that can be repeated."""
    return _bits(what) / 2**64


def draw_integer(most: int, *what: object) -> int:
    """A whole number in [1, most] that depends only on the arguments."""
    return _bits(what) % most + 1


def _bits(what: tuple[object, ...]) -> int:
    text = "\0".join(str(part) for part in what)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


class Finish(StrEnum):
    """How one image ended."""

    DONE = "done"
    PROMPT = "prompt"
    """Moderation refused the prompt, so nothing was made."""
    OUTPUT = "output"
    """Moderation refused the finished picture."""
    INPUT = "input"
    """Moderation refused the picture that was sent."""
    ERROR = "error"
    """Generation itself failed."""


FILTERED = frozenset({Finish.PROMPT, Finish.OUTPUT, Finish.INPUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Image bytes, ready for the wire."""

    base64: bytes
    sha256: str | None
    """Of the image's bytes; None where the base64 is broken."""

    @classmethod
    def of(cls, data: bytes) -> Picture:
        """The picture of an image file's bytes, which need be no image."""
        return cls(base64=b64encode(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One image of a reply."""

    seed: Any
    """A whole number, unless a fault made it something else."""
    finish: Finish = Finish.DONE
    words: str | None = None
    """A finish reason that is no family's own; None for the usual one."""
    picture: Picture | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a generation made, before a family puts it into its own words."""

    artifacts: tuple[Artifact, ...]
    shows_seeds: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that no documentation knows."""

    @property
    def finish(self) -> Finish:
        """How the first image ended."""
        return self.artifacts[0].finish

    @property
    def sha256(self) -> str | None:
        """Of the first picture that is sent."""
        pictures = [artifact.picture for artifact in self.artifacts if artifact.picture]
        return pictures[0].sha256 if pictures else None


PLACEHOLDER = "\0picture\0"
"""Stands for a picture in a reply until `assemble` puts it there; no JSON text contains it."""


def assemble(document: Mapping[str, Any], pictures: list[Picture]) -> tuple[bytes, ...]:
    """The JSON text of a reply in parts, so that megabytes of base64 are never copied."""
    text = _json(document)
    first, *rest = text.split(json.dumps(PLACEHOLDER)[1:-1].encode("ascii"))
    parts = [first]
    for picture, after in zip(pictures, rest, strict=True):
        parts += [picture.base64, after]
    return tuple(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers and body of an answer, and what is to go wrong while it is sent."""

    status: int = 200
    parts: tuple[bytes, ...] = ()
    """The body, in parts that are sent one after the other."""
    request_id: str | None = None
    """For the header that names it; None where the service sends no such header."""
    content_type: str = "application/json"
    error: str | None = None
    """The exception's name."""
    latency_ms: int | None = None
    ahead: float = 0.0
    """Seconds that the `Date` header is ahead of the true time."""
    delivery: Directive | None = None
    """What goes wrong while it is sent."""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)

    @property
    def headers(self) -> dict[str, str]:
        """All headers but `Date` and `Content-Length`."""
        headers = {"Content-Type": self.content_type}
        if self.request_id:
            headers["x-amzn-RequestId"] = self.request_id
        if self.error:
            headers["x-amzn-ErrorType"] = self.error + _TYPE_SUFFIX
        if self.latency_ms is not None:
            headers["x-amzn-bedrock-invocation-latency"] = str(self.latency_ms)
        return headers


def json_answer(document: Mapping[str, Any], content_type: str = "application/json") -> Answer:
    """A JSON value as the answer of one of the other services."""
    return Answer(parts=(_json(document),), content_type=content_type, request_id=str(uuid.uuid4()))


def refusal(refused: Refused, request_id: str) -> Answer:
    """The answer that an error gets: its type in a header, its message in a compact body."""
    body = _json({"message": refused.message})
    return Answer(status=refused.status, parts=(body,), request_id=request_id, error=refused.name)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")
