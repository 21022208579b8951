"""A fault directive: when, how often, and what; read from JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Whole numbers from `first` to `last`, both included; None has no end."""

    first: int
    last: int | None

    def __contains__(self, number: int) -> bool:
        return number >= self.first and (self.last is None or number <= self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which calls a directive is for: those to which all that is set applies."""

    model: str | None = None
    region: str | None = None
    key_id: str | None = None
    contains: str | None = None
    """Text anywhere in the request body."""
    call: Range | None = None
    """Number of the call, as the ledger counts; the first is 1."""
    attempt: Range | None = None
    """How many times this body was sent to this model, this time included."""
    since: float = 0.0
    """Seconds after the start of the simulator."""
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """What to do to some calls."""

    action: str
    """A name of `actions.ACTIONS`."""
    when: When = When()
    skip: int = 0
    """Matching calls to leave alone first."""
    times: int | None = None
    """Matching calls to act on; None for all."""
    message: str | None = None
    """Of an error, instead of the service's usual one."""
    type: str | None = None
    """Of the action `error`: the exception's name."""
    status: int | None = None
    """HTTP status of an error, instead of the usual one."""
    reason: str | None = None
    """A finish reason in the service's place."""
    seconds: float | None = None
    """How long to wait before the answer; for `date-skew`, how far the clock is ahead."""
    bytes: int | None = None
    """Bytes of the body to send before it is cut, or stalls."""
    charged: bool | None = None
    """Whether the call costs; None decides as the service would."""


class DirectiveError(ValueError):
    """A directive cannot be used; its text says why."""


def read(document: Any, actions: Mapping[str, object]) -> tuple[Directive, ...]:
    """The directives of a JSON value: a list of objects.

    Raises:
        DirectiveError: it is none.
    """
    if not isinstance(document, list):
        raise DirectiveError("fault directives are a JSON list of objects")
    return tuple(_directive(entry, number, actions) for number, entry in enumerate(document, 1))


def _directive(entry: Any, number: int, actions: Mapping[str, object]) -> Directive:
    here = f"directive {number}"
    values = _values(entry, _DIRECTIVE, here)
    action = values.get("action")
    if action not in actions:
        raise DirectiveError(f"{here}: unknown action {action!r}; there are {', '.join(actions)}")
    if action == "error" and not values.get("type"):
        raise DirectiveError(f"{here}: the action `error` needs a `type`, and may have a `status`")
    when = When(**_values(entry.get("when", {}), _WHEN, f"{here}: when"))
    return Directive(**{**values, "when": when})


def _values(entry: Any, readers: Mapping[str, Callable[[Any], Any]], here: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise DirectiveError(f"{here}: not a JSON object")
    values = {}
    for name, value in entry.items():
        if name not in readers:
            raise DirectiveError(f"{here}: unknown key {name!r}; there are {', '.join(readers)}")
        try:
            values[name] = readers[name](value)
        except (TypeError, ValueError):
            raise DirectiveError(f"{here}: {name}: {value!r} cannot be used") from None
    return values


def _of(*types: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) not in types:
            raise TypeError
        return value

    return check


def _range(value: Any) -> Range:
    """`3`, or `[3, 5]`, or `[3, null]`."""
    first, last = value if isinstance(value, list) else (value, value)
    if type(first) is not int or type(last) not in {int, type(None)}:
        raise TypeError
    return Range(first=first, last=last)


_text, _number, _whole, _flag = _of(str), _of(int, float), _of(int), _of(bool)
_WHEN: dict[str, Callable[[Any], Any]] = {
    "model": _text,
    "region": _text,
    "key_id": _text,
    "contains": _text,
    "call": _range,
    "attempt": _range,
    "since": _number,
    "until": _number,
}
_DIRECTIVE: dict[str, Callable[[Any], Any]] = {
    "action": _text,
    "when": _of(dict),
    "skip": _whole,
    "times": _whole,
    "message": _text,
    "type": _text,
    "status": _whole,
    "reason": _text,
    "seconds": _number,
    "bytes": _whole,
    "charged": _flag,
}
if {entry.name for entry in fields(Directive)} != set(_DIRECTIVE):  # pragma: no cover
    raise AssertionError("every field of a directive can be written in JSON")
