"""Values of options that stand for keys of the job file, read as the file's own are."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from batchgen.errors import InputError
from batchgen.job.schema import Job
from batchgen.job.yaml_scalars import meaning


def read_value(key: str, text: str) -> Any:
    """A value of a key of the job file, such as `limits.until`, from the text of an option.

    Raises:
        InputError: what is allowed.
    """
    read = _type_of(key).validate_python
    try:
        return read(text)
    except ValidationError:
        try:
            return read(_number_or_text(text))
        except ValidationError as error:
            raise InputError(error.errors()[0]["ctx"]["allowed"]) from None


def _number_or_text(text: str) -> Any:
    try:
        return meaning(text)
    except ValueError:  # more than a number can be
        return text


@cache
def _type_of(key: str) -> TypeAdapter[Any]:
    section, _, name = key.rpartition(".")
    keys = Job.model_fields[section].annotation if section else Job
    return TypeAdapter(cast("type[BaseModel]", keys).model_fields[name].rebuild_annotation())
