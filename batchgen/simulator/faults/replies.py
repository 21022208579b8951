"""Replies that are not what the documentation promises.

Each alteration is a function from a result whose generation succeeded to another; `damaged` acts on
the bytes of an answer.
"""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from PIL import Image

from batchgen.simulator.calls import Answer, Artifact, Finish, Picture, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from .directives import Directive


def seeds_as_strings(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Seeds come as strings."""
    return _first(result, seed=str(result.artifacts[0].seed))


def seeds_absent(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """No seeds come."""
    return replace(result, shows_seeds=False)


def seeds_different(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Another seed than the one asked for comes."""
    return _first(result, seed=result.artifacts[0].seed ^ 1)


def seeds_zero(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """The seed comes as 0."""
    return _first(result, seed=0)


def extra_fields(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Fields come that no documentation knows."""
    extra = {"model_revision": "2026-11-01", "usage": {"images": 1, "nested": [None, {"a": "b"}]}}
    return replace(result, extra=extra)


def finish_reason(result: Result, directive: Directive) -> Result:
    """The finish reason is `reason`, and no image comes."""
    words = directive.reason or "Filter reason: unheard of"
    return _first(result, finish=Finish.OUTPUT, words=words, picture=None)


def filter_with_image(result: Result, directive: Directive) -> Result:
    """An image stands beside a filter reason (`reason`, or the usual one)."""
    return _first(result, finish=Finish.OUTPUT, words=directive.reason)


def partly_filtered(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Two images are spoken of: one comes, one was filtered."""
    first = result.artifacts[0]
    second = Artifact(seed=first.seed ^ 1, finish=Finish.OUTPUT)
    return replace(result, artifacts=(first, second))


def empty_images(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Success is told, but no image comes."""
    return _first(result, picture=None)


def broken_base64(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """The base64 has characters that it cannot have."""
    text = base64.b64encode(_data(result))
    return _first(result, picture=Picture(base64=text[:-5] + b"!*!*!", sha256=None))


def not_an_image(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """The bytes are no image."""
    return _image(result, b"These bytes are no image, whatever their sender says of them.\n" * 20)


def torn_image(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """The image ends in its middle, without its end marker."""
    data = _data(result)
    return _image(result, data[: len(data) * 4 // 5])


def corrupt_image(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """Some bytes in the middle of the image are wrong."""
    data = bytearray(_data(result))
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    return _image(result, bytes(data))


def other_format(result: Result, directive: Directive) -> Result:  # noqa: ARG001 - one shape
    """A JPEG comes where something else was asked for, a PNG where a JPEG was."""
    with Image.open(io.BytesIO(_data(result))) as picture:
        changed = "PNG" if picture.format == "JPEG" else "JPEG"
        file = io.BytesIO()
        picture.save(file, changed)
    return _image(result, file.getvalue())


def _first(result: Result, **changes: Any) -> Result:
    first, *others = result.artifacts
    return replace(result, artifacts=(replace(first, **changes), *others))


def _image(result: Result, data: bytes) -> Result:
    return _first(result, picture=Picture.of(data))


def _data(result: Result) -> bytes:
    picture = result.artifacts[0].picture
    return base64.b64decode(picture.base64) if picture else b""


_ALL = (
    seeds_as_strings,
    seeds_absent,
    seeds_different,
    seeds_zero,
    extra_fields,
    finish_reason,
    filter_with_image,
    partly_filtered,
    empty_images,
    broken_base64,
    not_an_image,
    torn_image,
    corrupt_image,
    other_format,
)
ALTERATIONS: MappingProxyType[str, Callable[[Result, Directive], Result]] = MappingProxyType(
    {alter.__name__.replace("_", "-"): alter for alter in _ALL}
)

_PAGE = (
    b"<html>\r\n<head><title>%(title)s</title></head>\r\n<body>\r\n"
    b"<center><h1>%(title)s</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n"
)


def damaged(answer: Answer, directive: Directive) -> Answer:
    """The answer after one of the actions on the bytes of a reply."""
    if directive.action == "html":
        page = _PAGE % {b"title": b"Please sign in to the network"}
        return replace(answer, parts=(page,), content_type="text/html")
    if directive.action == "html-502":
        page = _PAGE % {b"title": b"502 Bad Gateway"}
        return replace(answer, status=502, parts=(page,), content_type="text/html")
    if directive.action == "empty-body":
        return replace(answer, parts=())
    body = b"".join(answer.parts)
    keep = len(body) // 2 if directive.bytes is None else directive.bytes
    return replace(answer, parts=(body[:keep],))
