"""What a type of pydantic refuses, as one sentence of ours that says what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from batchgen.text import closest, did_you_mean, quoted

REFUSED = "refused"
"""The pydantic error type of a value that is not allowed; its message is a sentence of ours."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Turns whatever a type refuses into one sentence; stands last in `typing.Annotated`.

    A validator of the type may raise a ValueError, whose text then ends the sentence as a hint.
    """

    what: str
    """The end of the sentence: what to write."""
    names: tuple[str, ...] = ()
    """Words that are allowed, one of which may have been meant."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Wrap the type's own schema, which gives the JSON Schema as well."""
        return core_schema.no_info_wrap_validator_function(self._check, handler(source))

    def _check(self, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError as error:
            near = closest(value, self.names) if isinstance(value, str) else None
            hint = did_you_mean(near) or _hint(value, error)
        raise refusal(value, self.what + hint)


def refusal(value: Any, allowed: str) -> PydanticCustomError:
    """The error for a value that is not allowed."""
    facts = {"said": cannot_be(value), "allowed": allowed}
    return PydanticCustomError(REFUSED, "{said}; allowed: {allowed}", facts)


def cannot_be(value: Any) -> str:
    """The beginning of the sentence about a value that is not allowed."""
    return "has no value" if value is None else f"cannot be {quoted(value)}"


class _FromPrograms:
    """None is taken from a program; in a file it is a forgotten value."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_wrap_validator_function(
            self._check, handler(get_args(source)[0])
        )

    def _check(
        self, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo[Any]
    ) -> Any:
        return None if value is None and not info.context else check(value)


_Type = TypeVar("_Type")
OrNone = Annotated[_Type | None, _FromPrograms()]
"""What may be left out."""


def _hint(value: Any, error: ValidationError) -> str:
    hints = (_hint_of(value, it) for it in error.errors(include_url=False, include_input=False))
    return next((f"; {hint}" for hint in hints if hint), "")


def _hint_of(value: Any, details: ErrorDetails) -> str:
    facts, hint = details.get("ctx", {}), ""
    match details["type"]:
        case "value_error":
            hint = str(facts["error"])
        case "string_type":
            hint = why_no_text(value)
        case "string_unicode":
            hint = "it has half of a character"
        case "string_too_long" | "string_too_short":
            hint = f"it has {len(value):,} characters"
        case "int_type" | "float_type" if is_digits(value):
            hint = "write it without quotes"
        case "tuple_type" if isinstance(value, str):
            hint = "put [ ] around it"
        case "too_long":
            hint = f"at most {facts['max_length']}"
    return hint


def is_digits(value: Any) -> bool:
    """Whether a number stands in quotes."""
    return isinstance(value, str) and bool(re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value))


def why_no_text(value: Any) -> str:
    """What to do about a value that is no text; empty where that is plain to see."""
    if isinstance(value, dict) and all(each is None for each in value.values()):
        return "put a text that begins with { in quotes"
    return "put it in quotes" if isinstance(value, bool | int | float) else ""
