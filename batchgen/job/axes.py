"""The types of what makes more tasks of one item: `matrix`, `zip`, `exclude`, `override`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from batchgen.job.allowed import Allowed
from batchgen.job.fields import (
    RESERVED,
    json_value,
    written,
)
from batchgen.text import quoted

PARAMETER = "parameters."
"""Begins the name of an axis, a column or a pattern that is a parameter of the model."""

_NAME = re.compile(r"[^\W\d][\w-]{0,99}")
_SCALARS = (str, int, float)


def placeholder(axis: str) -> str:
    """The name in braces that stands for the value of an axis."""
    return axis.removeprefix(PARAMETER)


def is_placeholder(name: str) -> bool:
    """Whether a name can stand in braces."""
    return _NAME.fullmatch(name) is not None


def file_name_of(axes: Iterable[str]) -> str:
    """The template of file names of a job with these axes that gives none."""
    names = ("id", *filter(is_placeholder, map(placeholder, axes)), "variant")
    return "-".join(f"{{{name}}}" for name in names)


def _axis(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004  # pydantic's way to refuse
    if value == "model" or (value.startswith(PARAMETER) and value != PARAMETER):
        return value
    if value in (*RESERVED, "name", "prompt"):
        raise ValueError(f"{quoted(value)} is another thing: name a variable after what it is")
    if not is_placeholder(value):
        raise ValueError
    return value


def _axis_value(value: Any) -> Any:
    """A scalar as it is, or a mapping with its name as a text and its other values checked."""
    if not isinstance(value, Mapping):
        if not isinstance(value, _SCALARS):
            raise ValueError(  # noqa: TRY004  # pydantic's way to refuse
                "anything else needs a name: {name: …, parameters.NAME: …}"
            )
        written(value)
        return value
    if "name" not in value:
        raise ValueError("it has no name")
    return {key: _part(key, each) for key, each in value.items()}


def _part(key: Any, value: Any) -> Any:
    if key in ("name", "model", "family"):
        text = written(value)
        if not text:
            raise ValueError(f"{key} is empty")
        return text
    _axis(key)
    return json_value(value) if key.startswith(PARAMETER) else written(value)


def _pattern_value(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else (value,)
    if not values:
        raise ValueError
    return tuple(map(written, values))


Axis = Annotated[
    str,
    PlainValidator(_axis, json_schema_input_type=str),
    Allowed("the name of a variable, model, or parameters.NAME"),
]
AxisValue = Annotated[
    Any,
    PlainValidator(_axis_value, json_schema_input_type=str | float | bool | dict[str, Any]),
    Allowed(
        "a text, a number, true or false, or a mapping of name and what it sets: variables, "
        "model, parameters.NAME"
    ),
]
Axes = dict[Axis, Annotated[tuple[AxisValue, ...], Field(min_length=1)]]
Pattern = Annotated[
    dict[
        Annotated[str, Field(strict=True)],
        Annotated[
            tuple[str, ...],
            PlainValidator(
                _pattern_value,
                json_schema_input_type=str | float | bool | list[str | float | bool],
            ),
            Allowed("a text such as mug-*, a number, true or false, or a list of them"),
        ],
    ],
    Field(min_length=1),
]
