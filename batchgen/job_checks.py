"""The checks of the values that only a job file has: ids, names, seeds, endpoints, limits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import time
from typing import Any
from urllib.parse import urlsplit

from batchgen.job_fields import (
    Check,
    Refused,
    json_value,
    meant,
    number,
    plain_text,
    text,
    whole,
    written,
)

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
