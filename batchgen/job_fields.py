"""What a single value of a job file may be: the frame of a check, and the checks of any schema.

A check is a function from the raw value, or from one that was read before, to ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from batchgen.text import closest, quoted
from batchgen.yaml_scalars import WrittenFloat

REFUSED = "refused"
"""The pydantic error type of a value that a check refused; its message is a sentence of ours."""
MAX_DEPTH = 32
"""Mappings and lists inside each other in one parameter."""
MAX_BITS = 512
MOST_USD = 1_000_000_000
MAX_SECONDS = 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3_600}


class Refused(ValueError):
    """A value is not allowed; its text is a hint, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One kind of value, for `typing.Annotated`."""

    read: Callable[[Any], Any]
    """Raises `Refused`."""
    allowed: str
    """What to write, as the end of a sentence."""
    schema: Mapping[str, Any]
    """JSON Schema of the raw value."""
    optional: bool = False
    """None is taken from a program; in a file it is a forgotten value."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The check alone: pydantic adds no rule of its own."""
        return core_schema.with_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The raw value's, for that is what stands in a file."""
        return dict(self.schema)

    def _checked(self, value: Any, info: core_schema.ValidationInfo[Any]) -> Any:
        if value is None and self.optional and not info.context:
            return None
        try:
            return self.read(value)
        except Refused as error:
            hint = f"; {error}" if str(error) else ""
            what = "has no value" if value is None else f"cannot be {quoted(value)}"
            text = f"{what}; allowed: {self.allowed}{hint}"
            raise PydanticCustomError(REFUSED, "{text}", {"text": text}) from None


def whole(lowest: int, highest: int, *, optional: bool = False) -> Check:
    """A whole number; `true` is none, and neither is a text of digits."""

    def read(value: Any) -> int:
        if type(value) is not int:
            raise Refused(_unquoted(value))
        if not lowest <= value <= highest:
            raise Refused
        return value

    return Check(
        read=read,
        allowed=f"a whole number from {lowest:,} to {highest:,}",
        schema={"type": "integer", "minimum": lowest, "maximum": highest},
        optional=optional,
    )


def number(allowed: str, *, positive: bool, optional: bool = True) -> Check:
    """A finite number, above zero or from zero on."""

    def read(value: Any) -> float:
        if type(value) not in (int, float, WrittenFloat):
            raise Refused(_unquoted(value))
        if not is_finite(value) or value < 0 or (positive and value == 0):
            raise Refused
        return value if type(value) is int else float(value)

    bound = "exclusiveMinimum" if positive else "minimum"
    schema = {"type": "number", bound: 0}
    return Check(read=read, allowed=allowed, schema=schema, optional=optional)


def money(*, positive: bool, optional: bool = False) -> Check:
    """US dollars as they are written, without the error of a binary fraction."""
    amount = number("", positive=positive).read

    def read(value: Any) -> Decimal:
        if not isinstance(value, Decimal):
            amount(value)
        dollars = Decimal(str(value))
        if not dollars.is_finite() or dollars < 0 or (positive and dollars == 0):
            raise Refused
        if dollars > MOST_USD:
            raise Refused(f"at most {MOST_USD:,}")
        return dollars

    return Check(
        read=read,
        allowed=f"US dollars, a number {'above' if positive else 'from'} 0",
        schema={"type": "number", "exclusiveMinimum" if positive else "minimum": 0},
        optional=optional,
    )


def text(allowed: str, pattern: str, *, optional: bool = False) -> Check:
    """A text of this pattern (`re.ASCII`) as a whole."""
    expression = re.compile(pattern, re.ASCII)

    def read(value: Any) -> str:
        if expression.fullmatch(plain_text(value)) is None:
            raise Refused
        return str(value)

    schema = {"type": "string", "pattern": f"^(?:{pattern})$"}
    return Check(read=read, allowed=allowed, schema=schema, optional=optional)


def choice(*names: str) -> Check:
    """One of these names."""

    def read(value: Any) -> str:
        if value not in names or not isinstance(value, str):
            raise Refused(meant(value, names))
        return value

    return Check(read=read, allowed=" or ".join(names), schema={"enum": list(names)})


def duration(value: Any) -> float:
    """Seconds, from a number of them or from `90s`, `30m`, `2h`."""
    if isinstance(value, str):
        parts = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])", value)
        if parts is None:
            raise Refused
        seconds = float(parts[1]) * _UNITS[parts[2]]
    elif type(value) in (int, float, WrittenFloat):
        seconds = float(min(value, MAX_SECONDS + 1))
    else:
        raise Refused
    if not 0 < seconds <= MAX_SECONDS:
        raise Refused("more than 0 and at most a year")
    return seconds


DURATION = Check(
    read=duration,
    allowed='a duration such as "90s", "30m" or "2h", or seconds as a number, above 0',
    schema={"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?[smh]$"},
)


def flag(value: Any) -> bool:
    """`true` or `false`, and nothing that is like them."""
    if not isinstance(value, bool):
        raise Refused
    return value


FLAG = Check(read=flag, allowed="true or false", schema={"type": "boolean"})


def plain_text(value: Any) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(value, str):
        if isinstance(value, dict) and all(each is None for each in value.values()):
            raise Refused("put a text that begins with { in quotes")
        raise Refused("put it in quotes" if value is not None and is_scalar(value) else "")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused("it has half of a character") from None
    return value


def written(value: Any) -> str:
    """A text, a number or a truth value as it is written in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and is_finite(value):
        return str(value)
    return plain_text(value)


def json_value(value: Any, depth: int = 1) -> Any:
    """A copy in the plain types that JSON knows; numbers finite, keys texts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, int | float):
        if not is_finite(value):
            raise Refused("the number is too large")
        return int(value) if isinstance(value, int) else float(value)
    if depth > MAX_DEPTH:
        raise Refused(f"more than {MAX_DEPTH} mappings and lists inside each other")
    if isinstance(value, Mapping):
        return {plain_text(key): json_value(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each, depth + 1) for each in value]
    raise Refused


def is_finite(value: float) -> bool:
    """Neither infinite, nor no number, nor a whole number that nobody would write out."""
    return value.bit_length() <= MAX_BITS if isinstance(value, int) else math.isfinite(value)


def is_scalar(value: Any) -> bool:
    """Neither a mapping nor a list, nor anything that YAML has no word for."""
    return isinstance(value, str | bool | int | float)


def meant(value: Any, names: tuple[str, ...]) -> str:
    """The hint that names the nearest of `names`; empty where none is near."""
    near = closest(value, names) if isinstance(value, str) else None
    return f'did you mean "{near}"?' if near else ""


def _unquoted(value: Any) -> str:
    digits = isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value, re.ASCII)
    return "write it without quotes" if digits else ""
