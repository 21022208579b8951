"""A file of prices for all jobs of a user: model to US dollars, as `prices` in a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path as File
from typing import Any

from pydantic import TypeAdapter, ValidationError

from batchgen.errors import Complaint, JobError
from batchgen.job import fields, yaml_document
from batchgen.job.complaints import Path
from batchgen.job.validation_errors import wrongs
from batchgen.models import MODELS, UnknownModel, find
from batchgen.text import closest, did_you_mean, quoted

KEY = "prices"
NONE_YET = "it has no prices yet"
"""What is said of an empty file, which is none that is wrong."""
_DIGITS = re.compile(r"\d+")


def read_prices(path: File) -> dict[str, Decimal]:
    """The prices in a file: either a line for each model, or the block `prices` of a job.

    Raises:
        JobError: with all that is wrong, each with file, line, value and what is allowed.
    """
    try:
        document = yaml_document.read(path, needs=NONE_YET)
    except JobError as error:
        if error.complaints[0].text.endswith(NONE_YET):
            return {}
        raise
    source, value = document.source, document.value
    within: Path = ()
    if isinstance(value, dict) and tuple(value) == (KEY,):
        within, value = (KEY,), value[KEY]
    prices, found = _validated(value or {}, within)
    found += document.complaints
    if found:
        raise source.error(found)
    return prices


def _validated(value: Any, within: Path) -> tuple[dict[str, Decimal], tuple[Complaint, ...]]:
    try:
        prices = _adapter().validate_python(value)
    except ValidationError as error:
        wrong = (each.complaint for each in wrongs(error, (KEY,)))
        return {}, tuple(_placed(each.path, each.text, within) for each in wrong)
    return prices, tuple(_slips(prices, within))


@cache
def _adapter() -> TypeAdapter[dict[str, Decimal]]:
    return TypeAdapter(dict[fields.ModelId, fields.Price])


def _placed(path: Path, text: str, within: Path) -> Complaint:
    if not path and not within:
        text = "a file of prices is a mapping of models to US dollars"
    return Complaint(path=(*within, *path), text=text)


def _slips(prices: Mapping[str, Decimal], within: Path) -> Iterator[Complaint]:
    """Names of no model that are like one: a price that never counts would not be noticed.

    One with other digits is not a slip, but a version that is newer than this list; one without
    its last digits is a slip.
    """
    for name in prices:
        near = None if _is_known(name) else closest(name, MODELS)
        if near is None:
            continue
        if near.startswith(f"{name}:") or _DIGITS.findall(near) == _DIGITS.findall(name):
            text = f"{quoted(name)} is no model that is known{did_you_mean(near)}"
            yield Complaint(path=(*within, name), text=text)


def _is_known(name: str) -> bool:
    try:
        find(name)
    except UnknownModel:
        return False
    return True
