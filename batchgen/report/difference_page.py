"""A page of what came out otherwise: original, reproduction and their difference side by side.

It opens from disk: the differences are in the page, the images are where they are. Everything in it
that comes from a manifest is escaped, once as text for people and once as HTML.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined

from batchgen.record import StoredImage
from batchgen.report.pictures import AMPLIFIED, amplified, decode
from batchgen.report.verdicts import Judged, whole
from batchgen.text import escaped

PAGE = "differences.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One original beside its reproduction."""

    label: str
    verdict: str
    reason: str
    prompt: str
    original: str | None
    """Where the image is, from the page on, as a URL; None if it is not there."""
    reproduction: str | None
    difference: str | None
    """A `data:` URL; None if there is nothing to compare."""


def write_page(differing: Iterable[Judged], originals: Path, output: Path, *, total: int) -> Path:
    """Write the page into the output of the reproductions; blocks.

    Args:
        differing: those to show, the worst first.
        originals: the output folder of the originals.
        output: that of the reproductions.
        total: how many differ; the page says so where it shows fewer.

    Returns:
        Where it is.

    Raises:
        OSError: the disk did not take it.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    source = files("batchgen.report").joinpath("differences.html").read_text("utf-8")
    text = environment.from_string(source).render(
        originals=escaped(str(originals.absolute())),
        output=escaped(str(output.absolute())),
        pairs=list(_pairs(differing, originals, output)),
        total=total,
        amplified=AMPLIFIED,
    )
    page = output / PAGE
    part = output / f".{PAGE}.part"
    part.unlink(missing_ok=True)
    with part.open("x", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return part.replace(page)


def _pairs(differing: Iterable[Judged], originals: Path, output: Path) -> Iterator[Pair]:
    for each in differing:
        if each.record is None or each.verdict is None:
            continue
        one = each.original.images[0] if each.original.images else None
        other = each.record.images[0] if each.record.images else None
        prompt = each.original.request.get("prompt")
        yield Pair(
            label=escaped(each.original.label),
            verdict=each.verdict,
            reason=escaped(each.reason or ""),
            prompt=escaped(prompt) if isinstance(prompt, str) else "",
            original=_url(originals, one, output),
            reproduction=_url(output, other, output),
            difference=_difference(originals, one, output, other),
        )


def _url(folder: Path, image: StoredImage | None, start: Path) -> str | None:
    if image is None or not (folder / image.path).is_file():
        return None
    return quote(os.path.relpath(folder.resolve() / image.path, start.resolve()))


def _difference(
    originals: Path, one: StoredImage | None, output: Path, other: StoredImage | None
) -> str | None:
    if one is None or other is None:
        return None
    try:
        picture = amplified(decode(whole(originals, one)), decode(whole(output, other)))
    except ValueError:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
