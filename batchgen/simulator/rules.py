"""A small engine that checks a request body against a table, in the words of the service.

The wording is that of the JSON schema validator whose messages Bedrock passes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AGAIN = "please reformat your input and try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one field may hold."""

    type: str
    """`String`, `Integer`, `Number`, `JSONArray` or `JSONObject`."""
    required: bool = False
    least: float | None = None
    most: float | None = None
    step: int | None = None
    longest: int | None = None
    choices: tuple[str, ...] = ()
    any_case: bool = False
    """Whether a choice may be written in capitals."""
    fewest: int | None = None
    """Items of an array."""
    items: Mapping[str, Rule] | None = None
    """Fields of an array's objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What one model's body may hold."""

    rules: Mapping[str, Rule]
    names_fields: bool = False
    """Whether an unknown field is answered with the list of known ones, or just named."""
    service: str | None = None
    """Name of an image service, whose wording for an unknown field is its own."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that become required by another."""
    excludes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that are unknown beside another."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Pairs of width and height; empty where they are no parameters."""


def parse(body: bytes, schema: Schema) -> dict[str, Any]:
    """The body as a value.

    Raises:
        Refused: `ValidationException` with the service's message.
    """
    value = _load(body)
    broken = list(_violations(value, schema))
    if len(broken) > 1:
        raise _malformed(f"{len(broken)} schema violations found")
    if broken:
        raise _malformed(broken[0])
    _refuse_unknown(value, schema)
    _refuse_size(value, schema)
    return value


def _load(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("ValidationException") from None
    if not isinstance(value, dict):
        raise _malformed(f"#: expected type: JSONObject, found: {_type(value)}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _violations(value: dict[str, Any], schema: Schema) -> Iterator[str]:
    required = {name for name, rule in schema.rules.items() if rule.required}
    for name in value:
        required.update(schema.needs.get(name, ()))
    yield from _missing(value, required, "#")
    yield from _extraneous(value, schema)
    yield from _fields(value, schema.rules, "#")


def _missing(value: dict[str, Any], required: set[str], path: str) -> Iterator[str]:
    for name in sorted(required - set(value)):
        yield f"{path}: required key [{name}] not found"


def _extraneous(value: dict[str, Any], schema: Schema) -> Iterator[str]:
    excluded = {name for given in value for name in schema.excludes.get(given, ())}
    for name in value:
        if name in excluded or (name not in schema.rules and not schema.names_fields):
            yield f"#: extraneous key [{name}] is not permitted"


def _fields(value: dict[str, Any], rules: Mapping[str, Rule], path: str) -> Iterator[str]:
    for name, rule in rules.items():
        if name in value:
            yield from _field(value[name], rule, f"{path}/{name}")


def _field(value: Any, rule: Rule, path: str) -> Iterator[str]:
    found = _type(value)
    if found != rule.type and not (rule.type == "Number" and found in {"Integer", "BigDecimal"}):
        yield f"{path}: expected type: {rule.type}, found: {found}"
    elif rule.type == "String":
        yield from _string(value, rule, path)
    elif rule.type == "JSONArray":
        yield from _array(value, rule, path)
    elif rule.type != "JSONObject":
        yield from _number(value, rule, path)


def _string(value: str, rule: Rule, path: str) -> Iterator[str]:
    if rule.longest is not None and len(value) > rule.longest:
        yield f"{path}: expected maxLength: {rule.longest}, actual: {len(value)}"
    if rule.choices and (value.lower() if rule.any_case else value) not in rule.choices:
        yield f"{path}: {value} is not a valid enum value"


def _number(value: float, rule: Rule, path: str) -> Iterator[str]:
    if rule.least is not None and value < rule.least:
        yield f"{path}: {value} is not greater or equal to {rule.least:g}"
    if rule.most is not None and value > rule.most:
        yield f"{path}: {value} is not less or equal to {rule.most:.10g}"
    if rule.step is not None and value % rule.step:
        yield f"{path}: {value} is not a multiple of {rule.step}"


def _array(value: list[Any], rule: Rule, path: str) -> Iterator[str]:
    if rule.fewest is not None and len(value) < rule.fewest:
        yield f"{path}: expected minimum item count: {rule.fewest}, found: {len(value)}"
    for index, item in enumerate(value):
        here = f"{path}/{index}"
        if not isinstance(item, dict):
            yield f"{here}: expected type: JSONObject, found: {_type(item)}"
        elif rule.items is not None:
            yield from _missing(item, {n for n, r in rule.items.items() if r.required}, here)
            yield from _fields(item, rule.items, here)


def _refuse_unknown(value: dict[str, Any], schema: Schema) -> None:
    if not set(value) <= set(schema.rules):
        known = ", ".join(f"'{name}'" for name in schema.rules)
        detail = f"Invalid field in request. Available fields: [{known}]"
        if schema.service is not None:
            first = next(name for name in value if name not in schema.rules)
            fields = f"Available fields for {schema.service} are: {', '.join(schema.rules)}"
            detail = f"Invalid field '{first}' in request. {fields}"
        raise Refused("ValidationException", json.dumps({"detail": detail}, separators=(",", ":")))


def _refuse_size(value: dict[str, Any], schema: Schema) -> None:
    size = (value.get("width", 1024), value.get("height", 1024))
    if schema.sizes and size not in schema.sizes:
        allowed = ", ".join(f"{width}x{height}" for width, height in schema.sizes)
        raise Refused(
            "ValidationException",
            "invalid_sdxl_v1_dimensions: for stable-diffusion-xl-1024-v1-0 the allowed dimensions "
            f"are {allowed}, but we received {size[0]}x{size[1]}",
        )


def _malformed(what: str) -> Refused:
    return Refused("ValidationException", f"Malformed input request: {what}, {_AGAIN}")


_TYPES = {
    bool: "Boolean",
    int: "Integer",
    float: "BigDecimal",
    str: "String",
    list: "JSONArray",
    dict: "JSONObject",
}


def _type(value: Any) -> str:
    return _TYPES.get(type(value), "Null")
