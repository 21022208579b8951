"""What a single value of a job file may be: the frame of a check, and the checks of any schema.

A check is a function from the raw value, or from one that was read before, to ours.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from batchgen.job.yaml_document import WrittenFloat
from batchgen.text import closest, quoted

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


ENDPOINTS = ("simulator", "aws")


SEED_MODES = ("derived", "random")


MAX_SEED = 4_294_967_295


MAX_VARIANTS = 1_000_000


RESERVED = ("id", "model", "seed", "variant")
"""Placeholders with a meaning of their own."""


LONGEST_ID = 200


LONGEST_MODEL = 2_048


LONGEST_VARIABLE = 100


MOST_FALLBACKS = 5


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """When a run with failed tasks gives up: exactly one of the two is set."""

    count: int | None = None
    share: float | None = None
    """Of the finished tasks, above 0 and at most 1."""


def _id(value: Any) -> str:
    if value is None or isinstance(value, bool):
        raise Refused
    name = written(value)
    if not 1 <= len(name) <= LONGEST_ID:
        raise Refused(f"it has {len(name):,} characters")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise Refused("it has a control character or a line end")
    return name


def _model(value: Any) -> str:
    name = plain_text(value)
    if not 1 <= len(name) <= LONGEST_MODEL or not name.isprintable() or " " in name:
        raise Refused
    return name


def _fallback(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise Refused("put [ ] around it" if isinstance(value, str) else "")
    models = tuple(map(_model, value))
    if len(models) > MOST_FALLBACKS:
        raise Refused(f"at most {MOST_FALLBACKS}")
    if len(set(models)) < len(models):
        raise Refused("a model stands there twice")
    return models


def _seed(value: Any) -> int | str:
    if type(value) is int and 1 <= value <= MAX_SEED:
        return value
    if isinstance(value, str) and value in SEED_MODES:
        return value
    zero = "0 asks the service for a seed that we would not know" if value == 0 else ""
    raise Refused(zero or meant(value, SEED_MODES))


def _endpoint(value: Any) -> str:
    endpoint = plain_text(value)
    if endpoint in ENDPOINTS:
        return endpoint
    try:
        url = urlsplit(endpoint)
        named = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        raise Refused from None
    if not named or not endpoint.isprintable() or " " in endpoint:
        raise Refused(meant(value, ENDPOINTS))
    if url.username is not None or url.query or url.fragment:
        raise Refused("leave out the part with @, ? or #")
    return endpoint


def _output(value: Any) -> str:
    folder = plain_text(value)
    if folder.startswith("s3://"):
        raise Refused("S3 is not supported yet")
    if _SCHEME.match(folder) or not folder.strip() or not folder.isprintable():
        raise Refused
    if folder.startswith("~"):
        raise Refused("~ stands for nothing here: write the folder out")
    return folder


_rate = number("", positive=True).read


def _requests_per_minute(value: Any) -> float | str:
    if isinstance(value, str) and value == "auto":
        return value
    rate: float = _rate(value)
    if not 1 / 1_440 <= rate <= 1_000_000:  # noqa: PLR2004 - one call a day, and more than any quota
        raise Refused
    return rate


def _until(value: Any) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    parts = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", plain_text(value), re.ASCII)
    if parts is None:
        raise Refused
    return time(int(parts[1]), int(parts[2]))


def _max_failures(value: Any) -> FailureLimit:
    if isinstance(value, FailureLimit):
        return value
    if type(value) is int and value >= 1:
        return FailureLimit(count=value)
    parts = re.fullmatch(r"([1-9][0-9]?|100)%", value) if isinstance(value, str) else None
    if parts is None:
        raise Refused
    return FailureLimit(share=int(parts[1]) / 100)


def _variable(value: Any) -> str:
    name = plain_text(value)
    if name in RESERVED:
        raise Refused(f"{', '.join(RESERVED)} have a meaning of their own")
    if len(name) > LONGEST_VARIABLE or not re.fullmatch(r"[^\W\d][\w-]*", name):
        raise Refused
    return name


_TEXT = {"type": "string"}


NAME = text(
    "1 to 100 letters a-z, digits, - _ and . with a letter or a digit at both ends",
    "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?",
)


REGION = text("a Region such as us-west-2", "[a-z]{2,4}(?:-[a-z]{2,20}){1,3}-[0-9]{1,2}")


ITEM_ID = Check(
    read=_id,
    allowed=f"a text of 1 to {LONGEST_ID} characters in one line, or a number",
    schema={"type": ["string", "number"], "minLength": 1, "maxLength": LONGEST_ID},
)


MODEL = Check(read=_model, allowed="a model id, a profile or an ARN", schema=_TEXT)


OWN_MODEL = Check(read=_model, allowed=MODEL.allowed, schema=_TEXT, optional=True)


FALLBACK = Check(
    read=_fallback,
    allowed="a list of model ids",
    schema={"type": "array", "items": _TEXT, "maxItems": MOST_FALLBACKS, "uniqueItems": True},
)


OWN_FALLBACK = replace(FALLBACK, optional=True)


FAMILY = Check(read=_model, allowed="a family or a known model id", schema=_TEXT, optional=True)


TEXT = Check(read=plain_text, allowed="a text", schema=_TEXT)


OWN_TEXT = Check(read=plain_text, allowed="a text", schema=_TEXT, optional=True)


SEED = Check(
    read=_seed,
    allowed=f"derived, random, or a whole number from 1 to {MAX_SEED:,}",
    schema={
        "anyOf": [
            {"enum": list(SEED_MODES)},
            {"type": "integer", "minimum": 1, "maximum": MAX_SEED},
        ]
    },
)


OWN_SEED = whole(1, MAX_SEED, optional=True)


VARIANTS = whole(1, MAX_VARIANTS)


OWN_VARIANTS = whole(1, MAX_VARIANTS, optional=True)


ENDPOINT = Check(
    read=_endpoint,
    allowed="simulator, aws, or an http:// or https:// URL with a host",
    schema=_TEXT,
)


OUTPUT = Check(read=_output, allowed="a folder, from the current one on", schema=_TEXT)


REQUESTS_PER_MINUTE = Check(
    read=_requests_per_minute,
    allowed="calls a minute, a number above 0 and up to 1,000,000, or auto",
    schema={"anyOf": [{"const": "auto"}, {"type": "number", "exclusiveMinimum": 0}]},
    optional=True,
)


UNTIL = Check(
    read=_until,
    allowed='a time of day in 24 hours as HH:MM, such as "06:00"',
    schema={"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"},
    optional=True,
)


MAX_FAILURES = Check(
    read=_max_failures,
    allowed='a whole number from 1, or a share from "1%" to "100%"',
    schema={
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "pattern": "^([1-9][0-9]?|100)%$"},
        ]
    },
    optional=True,
)


VARIABLE = Check(
    read=_variable,
    allowed=f"a name of letters, digits, _ and -, a letter first, at most {LONGEST_VARIABLE}",
    schema=_TEXT,
)


VALUE = Check(
    read=written,
    allowed="a text, a number, true or false",
    schema={"type": ["string", "number", "boolean"]},
)


PARAMETER_NAME = Check(read=plain_text, allowed="a text", schema=_TEXT)


PARAMETER = Check(
    read=json_value,
    allowed="texts, finite numbers, true, false, lists and mappings",
    schema={},
)


def _profile(value: Any) -> str:
    name = plain_text(value)
    if not 1 <= len(name) <= LONGEST_ID or not name.isprintable() or name != name.strip():
        raise Refused
    return name


OWN_REGION = replace(REGION, optional=True)


ROUTE_NAME = replace(NAME, optional=True)


PROFILE = Check(
    read=_profile,
    allowed="the name of an AWS profile",
    schema={"type": "string", "minLength": 1},
    optional=True,
)


ROLE = text(
    "the ARN of a role, such as arn:aws:iam::123456789012:role/images",
    r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}",
    optional=True,
)
