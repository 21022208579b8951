"""From the bytes of a response to a Reply; shared by the families, for none trusts its reply."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

import pybase64
from pydantic_core import from_json

from batchgen.models.base import Artifact, Reply, ReplyError
from batchgen.text import quoted, shortened

REASONS = 20
"""Finish reasons of one reply that are kept; a request asks for one image."""
LONGEST_REASON = 500
"""Characters; the service's have up to 40."""
LONGEST_SEED = 20
"""Digits of a seed that came as a text; none of the service's is longer than 10."""


LARGE = 1 << 16
"""Bytes of a body from which on a parser costs more than to look for the image in it."""
Path = tuple[str | int, ...]
"""Keys and numbers that lead to a value of a JSON object."""
_STAND_IN = secrets.token_hex(16)
"""In the place of an image, so that nobody else's text is taken for it."""
_OTHER_SPELLING = str.maketrans("-_", "+/", "\r\n")


class Verdict(Enum):
    """What a finish reason means for the image beside it."""

    FINE = auto()
    FILTERED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a reply says of one artifact, as it came."""

    image: Any
    """Base64 text, as documented, or the bytes that it stood for; None if there is no image."""
    seed: Any
    finish_reason: str | None


def read(body: bytes, image_at: Path = ()) -> dict[str, Any]:
    """The JSON object that a body holds.

    Args:
        body: of a response.
        image_at: where the family's replies have their first image. A large one that stands there
            in plain base64 is decoded as it lies in the body, which no parser then copies.

    Raises:
        ReplyError: it holds none.
    """
    try:
        value = _without_image(body, image_at) if len(body) >= LARGE and image_at else None
        if value is None:
            value = _parsed(body)
    except (ValueError, RecursionError) as error:
        start = quoted(body[:100].decode(errors="replace"))
        raise ReplyError(f"the reply is not JSON ({error}); it begins with {start}") from error
    if not isinstance(value, dict):
        raise ReplyError(f"the reply is {quoted(value)}, not a JSON object")
    return value


def _without_image(body: bytes, path: Path) -> Any:
    """The JSON of a body with the bytes of its first image in the place of their base64.

    The text between two quotes is taken out and another one put in: where that makes JSON in which
    the other text stands at the path, the whole is the same JSON with the image there, for neither
    text has anything in it that JSON knows.

    Returns:
        None where anything is not as in most replies: then the whole of it is to be parsed.
    """
    found = _before_image(path).search(body)
    if found is None:
        return None
    start = found.end()
    end = body.find(b'"', start)
    if end - start < LARGE // 2:
        return None
    try:
        data = pybase64.b64decode(memoryview(body)[start:end], validate=True)
        value = from_json(b"".join((body[:start], _STAND_IN.encode(), body[end:])))
        *way, last = path
        holder = value
        for step in way:
            holder = holder[step]
        if holder[last] != _STAND_IN:
            return None
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    holder[last] = data
    return value


@cache
def _before_image(path: Path) -> re.Pattern[bytes]:
    """What stands in a body before the image at a path, by its last key."""
    key = next(step for step in reversed(path) if isinstance(step, str))
    opening = rb"\[\s*" if isinstance(path[-1], int) else b""
    return re.compile(b'"' + key.encode() + rb'"\s*:\s*' + opening + b'"')


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        try:
            return _parsed_leniently(body)
        except ValueError:
            raise error from None


def _parsed_leniently(body: bytes) -> Any:
    """What an image that was paid for is not given up over.

    UTF-16, a byte order mark, bytes that are no UTF-8, half of a character, controls within a text,
    and whatever a proxy puts behind the JSON.
    """
    text = body.decode(json.detect_encoding(body), errors="replace").lstrip()
    value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    return value


def entries(reply: dict[str, Any], name: str) -> list[Any]:
    """The list at a key of a reply; empty where the key is absent or null.

    Raises:
        ReplyError: something else stands there.
    """
    value = reply.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ReplyError(f'"{name}" of the reply is {quoted(value)}, not a list')
    return value


def finish_reason(value: Any) -> str | None:
    """A finish reason, in the service's own words as far as a record can bear them.

    Raises:
        ReplyError: it is neither a text nor null.
    """
    if value is None or isinstance(value, str):
        return value and shortened(value, LONGEST_REASON)
    raise ReplyError(f"a finish reason of the reply is {quoted(value)}, not a text")


def verdict(reason: str | None) -> Verdict:
    """What a finish reason says, by its words, for the list of them may grow.

    Known are null and SUCCESS, "Filter reason: …" and CONTENT_FILTERED, "Inference error" and ERROR
    (AWS Bedrock User Guide, Stability AI). A word nobody knows counts as a failure: that costs at
    most the one retry a job allows, where taking it for moderation would give the image up.
    """
    words = (reason or "").casefold()
    if words in ("", "success"):
        return Verdict.FINE
    if "filter" in words or "moderat" in words:
        return Verdict.FILTERED
    return Verdict.FAILED


def speaks_of_output(reason: str | None) -> bool:
    """Whether a reason ("Filter reason: output image") says that a finished picture was refused."""
    return "output" in (reason or "").casefold()


def assemble(found: Iterable[Entry]) -> Reply:
    """The reply that these entries make: the good images, or why there is none.

    Raises:
        ReplyError: there is neither an image nor a reason, or an image cannot be decoded.
    """
    listed = tuple(found)
    good = [entry for entry in listed if verdict(entry.finish_reason) is Verdict.FINE]
    refused = [entry for entry in listed if verdict(entry.finish_reason) is not Verdict.FINE]
    images = tuple(_artifact(entry) for entry in good if entry.image is not None)
    if not images and not refused:
        raise ReplyError("the reply holds no image and no reason why")
    moderated = any(verdict(entry.finish_reason) is Verdict.FILTERED for entry in refused)
    return Reply(
        images=images,
        finish_reasons=tuple(entry.finish_reason for entry in listed[:REASONS]),
        filtered=not images and moderated,
        inference_error=not images and not moderated,
        withheld=sum(bool(entry.image) for entry in refused),
    )


def _artifact(entry: Entry) -> Artifact:
    return Artifact(
        data=_decoded(entry.image),
        seed=_seed(entry.seed),
        finish_reason=entry.finish_reason,
    )


def _decoded(image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str):
        raise ReplyError(f"an image of the reply is {quoted(image)}, not base64 text")
    try:
        data = _from_base64(image)
    except ValueError as error:
        raise ReplyError(f"an image of the reply is broken base64: {error}") from error
    if not data:
        raise ReplyError("an image of the reply is empty")
    return data


def _from_base64(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        # The other spellings of the same bytes: a data URL, lines, the alphabet of URLs.
        bare = text.partition(";base64,")[2] or text
        return pybase64.b64decode(bare.translate(_OTHER_SPELLING), validate=True)


def _seed(value: Any) -> int | None:
    """A seed from a number or from its digits; None for all else.

    A picture that was paid for is not given up over its seed: we know which one we sent.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) if len(value) <= LONGEST_SEED else None
    return value if type(value) is int else None
