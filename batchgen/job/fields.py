"""The types of a job's values: pydantic's own, each with words of ours for what is allowed."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
)

from batchgen.job.allowed import Allowed, is_digits, refusal, why_no_text
from batchgen.text import closest, did_you_mean

MAX_DEPTH = 32
"""Mappings and lists inside each other in one parameter."""
MAX_BITS = 512
"""Of a whole number."""
MOST_USD = 1_000_000_000
MAX_SECONDS = 366 * 86_400
MAX_SEED = 4_294_967_295
LONGEST_ID = 200
RESERVED = ("id", "model", "seed", "variant")
"""Placeholders with a meaning of their own."""

_UNITS = {"s": 1, "m": 60, "h": 3_600}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _is_finite(value: float) -> bool:
    """Neither infinite, nor no number, nor a whole number that nobody would write out."""
    return value.bit_length() <= MAX_BITS if isinstance(value, int) else math.isfinite(value)


def _text(value: Any) -> str:
    """A text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise ValueError(why_no_text(value))  # noqa: TRY004  # pydantic's way to refuse
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it has half of a character") from None
    return value


def written(value: Any) -> str:
    """A text, a number or a truth value as it is written in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and _is_finite(value):
        return str(value)
    return _text(value)


def json_value(value: Any, depth: int = 1) -> Any:
    """A copy in the plain types that JSON knows; numbers finite, keys texts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        if not _is_finite(value):
            raise ValueError("the number is too large")
        return int(value) if isinstance(value, int) else float(value)
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} mappings and lists inside each other")
    if isinstance(value, Mapping):
        return {_text(key): json_value(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each, depth + 1) for each in value]
    raise ValueError


def _dollars(value: Any) -> Any:
    """US dollars as they are written, without the error of a binary fraction."""
    if isinstance(value, str):
        raise ValueError("write it without quotes" if is_digits(value) else "")  # noqa: TRY004  # as above
    if isinstance(value, float):
        value = Decimal(str(value))
    if isinstance(value, int | Decimal) and value > MOST_USD:
        raise ValueError(f"at most {MOST_USD:,}")
    return value


def _seconds(value: Any) -> Any:
    """Seconds, from a number of them or from `90s`, `30m`, `2h`."""
    if isinstance(value, str):
        parts = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])", value)
        if parts is None:
            raise ValueError
        value = float(parts[1]) * _UNITS[parts[2]]
    if isinstance(value, int | float) and not 0 < value <= MAX_SECONDS:
        raise ValueError("more than 0 and at most a year")
    return value


def _time_of_day(value: Any) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    parts = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", _text(value), re.ASCII)
    if parts is None:
        raise ValueError
    return time(int(parts[1]), int(parts[2]))


def item_id(value: Any) -> str:
    """The id of an item, from a text or a number.

    Raises:
        ValueError: it is none; says what is wrong with it where that is not plain to see.
    """
    if value is None or isinstance(value, bool):
        raise ValueError
    name = written(value)
    if not 1 <= len(name) <= LONGEST_ID:
        raise ValueError(f"it has {len(name):,} characters")
    if not name.isprintable() and "Cc" in map(unicodedata.category, name):
        raise ValueError("it has a control character or a line end")
    return name


def _listed(value: Any) -> Any:
    """A list, of one text too."""
    return (value,) if isinstance(value, str) else value


def _unique(models: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(models)) < len(models):
        raise ValueError("a model stands there twice")
    return models


def _not_zero(value: Any) -> Any:
    if type(value) in (int, float) and value == 0:
        raise ValueError("0 asks the service for a seed that we would not know")
    return value


def _endpoint(endpoint: str) -> str:
    if endpoint in _ENDPOINTS:
        return endpoint
    url = urlsplit(endpoint)
    named = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    if not named or not endpoint.isprintable() or " " in endpoint:
        raise ValueError
    if url.username is not None or url.query or url.fragment:
        raise ValueError("leave out the part with @, ? or #")
    return endpoint


def _folder(folder: str) -> str:
    if folder.startswith("s3://"):
        raise ValueError("S3 is not supported yet")
    if _SCHEME.match(folder) or not folder.strip() or not folder.isprintable():
        raise ValueError
    if folder.startswith("~"):
        raise ValueError("~ stands for nothing here: write the folder out")
    return folder


def _file(path: str) -> str:
    if not path.strip() or not path.isprintable():
        raise ValueError
    if path.startswith("~"):
        raise ValueError("~ stands for nothing here: write the path out")
    return path


def _suffix(value: Any) -> Any:
    """A suffix as it is written: `-800` without quotes is a number for YAML."""
    return str(value) if type(value) is int else value


def _colour(value: Any) -> Any:
    """A colour as `#rrggbb`, in small letters.

    Raises:
        ValueError: it is none.
    """
    text = _text(value).lower()
    named = COLOURS.get(text, text)
    if re.fullmatch("#[0-9a-f]{3}", named):
        named = "#" + "".join(digit * 2 for digit in named[1:])
    if not re.fullmatch("#[0-9a-f]{6}", named):
        raise ValueError("put a text that begins with # in quotes" if not text else "")
    return named


def level_alone(value: Any) -> Any:
    """The mapping that a level by itself stands for."""
    if not isinstance(value, str):
        return value
    if value not in LEVELS:
        raise refusal(value, _LEVEL_OR_MAPPING + did_you_mean(closest(value, LEVELS)))
    return {"level": value}


def _trimmed(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError
    return name


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{', '.join(RESERVED)} have a meaning of their own")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimit:
    """When a run with failed tasks gives up: exactly one of the two is set."""

    count: int | None = None
    share: float | None = None
    """Of the finished tasks, above 0 and at most 1."""


def _failure_limit(value: Any) -> FailureLimit:
    if isinstance(value, FailureLimit):
        return value
    if type(value) is int and value >= 1:
        return FailureLimit(count=value)
    parts = re.fullmatch(r"([1-9][0-9]?|100)%", value) if isinstance(value, str) else None
    if parts is None:
        raise ValueError
    return FailureLimit(share=int(parts[1]) / 100)


_ENDPOINTS = ("simulator", "aws")
COLOURS = {"white": "#ffffff", "black": "#000000", "gray": "#808080", "grey": "#808080"}
FORMATS = ("png", "jpeg", "webp")
FITS = ("contain", "cover")
LEVELS = ("none", "ai-label", "full")
"""What the files of images say of themselves."""
_LEVEL_OR_MAPPING = "none, ai-label or full, or a mapping of level and content_credentials"
_Text = Annotated[str, Field(strict=True), AfterValidator(_text)]
_ModelId = Annotated[
    str, Field(strict=True, min_length=1, max_length=2_048, pattern=r"^[^\p{C}\p{Z}]+$")
]
_SeedNumber = Annotated[int, Field(strict=True, ge=1, le=MAX_SEED)]

Text = Annotated[_Text, Allowed("a text")]
Flag = Annotated[bool, Field(strict=True), Allowed("true or false")]
Name = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$"),
    Allowed("1 to 100 letters a-z, digits, - _ and . with a letter or a digit at both ends"),
]
Region = Annotated[
    str,
    Field(strict=True, pattern=r"^[a-z]{2,4}(?:-[a-z]{2,20}){1,3}-[0-9]{1,2}$"),
    Allowed("a Region such as us-west-2"),
]
ItemId = Annotated[
    str,
    PlainValidator(
        item_id,
        json_schema_input_type=Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] | float,
    ),
    Allowed(f"a text of 1 to {LONGEST_ID} characters in one line, or a number"),
]
StepId = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,49}$"),
    Allowed("a name of letters a-z, digits, _ and -, no dash first, at most 50"),
]
ModelId = Annotated[_ModelId, Allowed("a model id, a profile or an ARN")]
Family = Annotated[_ModelId, Allowed("a family or a known model id")]
Fallback = Annotated[
    tuple[_ModelId, ...],
    Field(max_length=5),
    AfterValidator(_unique),
    Allowed("a list of model ids"),
]
SeedNumber = Annotated[_SeedNumber, Allowed(f"a whole number from 1 to {MAX_SEED:,}")]
Seed = Annotated[
    Literal["derived", "random"] | _SeedNumber,
    BeforeValidator(_not_zero),
    Allowed(
        f"derived, random, or a whole number from 1 to {MAX_SEED:,}", names=("derived", "random")
    ),
]
SampleSeed = Annotated[
    int, Field(strict=True, ge=0, le=MAX_SEED), Allowed(f"a whole number from 0 to {MAX_SEED:,}")
]
Variants = Annotated[
    int, Field(strict=True, ge=1, le=1_000_000), Allowed("a whole number from 1 to 1,000,000")
]
Concurrency = Annotated[
    int, Field(strict=True, ge=1, le=1_000), Allowed("a whole number from 1 to 1,000")
]
Includes = Annotated[
    tuple[Annotated[_Text, Field(min_length=1)], ...],
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    Allowed("a YAML file, or a list of them"),
]
DataFiles = Annotated[
    tuple[Annotated[_Text, Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    Allowed("a .csv or .jsonl file, a pattern such as photos/*.jpg, - or a list of them"),
]
MaxTasks = Annotated[
    int, Field(strict=True, ge=1, le=10_000_000), Allowed("a whole number from 1 to 10,000,000")
]
Attempts = Annotated[int, Field(strict=True, ge=1, le=20), Allowed("a whole number from 1 to 20")]
Retries = Annotated[int, Field(strict=True, ge=0, le=10), Allowed("a whole number from 0 to 10")]
Ambiguous = Annotated[Literal["retry", "fail"], Allowed("retry or fail", names=("retry", "fail"))]
Endpoint = Annotated[
    _Text,
    AfterValidator(_endpoint),
    Allowed("simulator, aws, or an http:// or https:// URL with a host", names=_ENDPOINTS),
]
Folder = Annotated[_Text, AfterValidator(_folder), Allowed("a folder, from the current one on")]
File = Annotated[_Text, AfterValidator(_file), Allowed("a file, from the job file on")]
Level = Annotated[
    Literal["none", "ai-label", "full"], Allowed("none, ai-label or full", names=LEVELS)
]
Suffix = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9._@+=-]{0,39}[A-Za-z0-9_@+=-]$"),
    BeforeValidator(_suffix, json_schema_input_type=str | int),
    Allowed("1 to 40 letters a-z, digits, - _ . @ + and =, no . at the end"),
]
Side = Annotated[
    int, Field(strict=True, ge=1, le=16_383), Allowed("pixels, a whole number from 1 to 16,383")
]
Format = Annotated[Literal["png", "jpeg", "webp"], Allowed("png, jpeg or webp", names=FORMATS)]
Quality = Annotated[int, Field(strict=True, ge=1, le=100), Allowed("a whole number from 1 to 100")]
Fit = Annotated[Literal["contain", "cover"], Allowed("contain or cover", names=FITS)]
Colour = Annotated[
    str,
    PlainValidator(_colour, json_schema_input_type=str),
    Allowed('white, black, grey or a colour in quotes such as "#f4f4f4"', names=tuple(COLOURS)),
]
Rate = Annotated[
    Literal["auto"] | Annotated[float, Field(strict=True, ge=1 / 1_440, le=1_000_000)],
    Allowed("calls a minute, a number above 0 and up to 1,000,000, or auto"),
]
SimulatedRate = Annotated[
    float,
    Field(strict=True, gt=0, allow_inf_nan=False),
    Allowed("calls a minute, a number above 0"),
]
Latency = Annotated[
    float, Field(strict=True, ge=0, allow_inf_nan=False), Allowed("seconds, a number from 0")
]
Money = Annotated[
    Decimal,
    Field(gt=0),
    BeforeValidator(_dollars, json_schema_input_type=Annotated[float, Field(gt=0)]),
    Allowed("US dollars, a number above 0"),
]
Price = Annotated[
    Decimal,
    Field(ge=0),
    BeforeValidator(_dollars, json_schema_input_type=Annotated[float, Field(ge=0)]),
    Allowed("US dollars, a number from 0"),
]
Duration = Annotated[
    float,
    Field(strict=True),
    BeforeValidator(
        _seconds,
        json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[smh]$")]
        | Annotated[float, Field(gt=0)],
    ),
    Allowed('a duration such as "90s", "30m" or "2h", or seconds as a number, above 0'),
]
TimeOfDay = Annotated[
    time,
    PlainValidator(
        _time_of_day,
        json_schema_input_type=Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")],
    ),
    Allowed('a time of day in 24 hours as HH:MM, such as "06:00"'),
]
MaxFailures = Annotated[
    FailureLimit,
    PlainValidator(
        _failure_limit,
        json_schema_input_type=Annotated[int, Field(ge=1)]
        | Annotated[str, Field(pattern=r"^([1-9][0-9]?|100)%$")],
    ),
    Allowed('a whole number from 1, or a share from "1%" to "100%"'),
]
Profile = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=LONGEST_ID),
    AfterValidator(_trimmed),
    Allowed("the name of an AWS profile"),
]
Role = Annotated[
    str,
    Field(
        strict=True,
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$",
    ),
    Allowed("the ARN of a role, such as arn:aws:iam::123456789012:role/images"),
]
Variables = dict[
    Annotated[
        str,
        Field(strict=True, max_length=100, pattern=r"^[\p{L}_][\p{L}\p{N}_-]*$"),
        AfterValidator(_not_reserved),
        Allowed("a name of letters, digits, _ and -, a letter first, at most 100"),
    ],
    Annotated[
        str,
        PlainValidator(written, json_schema_input_type=str | float | bool),
        Allowed("a text, a number, true or false"),
    ],
]
Parameters = dict[
    Text,
    Annotated[
        Any,
        PlainValidator(json_value, json_schema_input_type=Any),
        Allowed("texts, finite numbers, true, false, lists and mappings"),
    ],
]
