"""What a generation made, before a family puts it into its own words."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


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
    """All that a reply tells."""

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
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    first, *rest = text.split(json.dumps(PLACEHOLDER)[1:-1].encode("ascii"))
    parts = [first]
    for picture, after in zip(pictures, rest, strict=True):
        parts += [picture.base64, after]
    return tuple(parts)
