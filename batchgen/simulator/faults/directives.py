"""Fault directives (from JSON, a prompt, moderation or chance), and which act on a call."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from batchgen.simulator.calls import draw
from batchgen.simulator.errors import Refused

from .actions import ACTIONS, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from batchgen.simulator.calls import Call
    from batchgen.simulator.options import Options


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


def read(document: Any) -> tuple[Directive, ...]:
    """The directives of a JSON value: a list of objects.

    Raises:
        DirectiveError: it is none.
    """
    if not isinstance(document, list):
        raise DirectiveError("fault directives are a JSON list of objects")
    return tuple(_directive(entry, number) for number, entry in enumerate(document, 1))


def _directive(entry: Any, number: int) -> Directive:
    here = f"directive {number}"
    values = _values(entry, _DIRECTIVE, here)
    action = values.get("action")
    if action not in ACTIONS:
        raise DirectiveError(f"{here}: unknown action {action!r}; there are {', '.join(ACTIONS)}")
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


def _within(low: float, high: float, *types: type) -> Callable[[Any], Any]:
    check = _of(*types)

    def bounded(value: Any) -> Any:
        if not low <= check(value) <= high:
            raise ValueError
        return value

    return bounded


def _name(value: Any) -> str:
    """An exception's name, which goes into a header."""
    if not re.fullmatch(r"[\w.-]+", _text(value), re.ASCII):
        raise ValueError
    return str(value)


_text, _flag = _of(str), _of(bool)
_LONGEST = 1e9
"""Seconds: more than 30 years, and less than would leave the calendar."""
_number, _whole = _within(-_LONGEST, _LONGEST, int, float), _within(0, 2**31, int)
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
    "type": _name,
    "status": _within(200, 599, int),
    "reason": _text,
    "seconds": _number,
    "bytes": _whole,
    "charged": _flag,
}
if {entry.name for entry in fields(Directive)} != set(_DIRECTIVE):  # pragma: no cover
    raise AssertionError("every field of a directive can be written in JSON")


CallFaults = dict[Stage, Directive]
"""At most one directive for each stage of a call."""
_SPELLED = re.compile(r"\bsimulate:([A-Za-z0-9-]+)(?:\*(\d+))?")


class Script:
    """The directives in force, with how often each has acted."""

    def __init__(self) -> None:
        self._directives: list[Directive] = []
        self._matched: list[int] = []

    def add(self, directives: Iterable[Directive]) -> None:
        """Put directives behind those in force."""
        added = list(directives)
        self._directives += added
        self._matched += [0] * len(added)

    def clear(self) -> None:
        """Leave every call alone."""
        self._directives, self._matched = [], []

    def pick(self, call: Call) -> Iterator[Directive]:
        """The directives that act on this call; counts them as used."""
        taken: set[Stage] = set()
        for index, directive in enumerate(self._directives):
            stage = ACTIONS[directive.action].stage
            if stage in taken or not matches(directive.when, call):
                continue
            self._matched[index] += 1
            number = self._matched[index] - directive.skip
            if number >= 1 and (directive.times is None or number <= directive.times):
                taken.add(stage)
                yield directive


def matches(when: When, call: Call) -> bool:
    """Whether every condition that is set holds for the call."""
    caller, model = call.caller, call.model
    return (
        (when.model is None or (model is not None and when.model in {model.id, call.model_id}))
        and (when.region is None or (caller is not None and when.region == caller.region))
        and (when.key_id is None or (caller is not None and when.key_id == caller.key_id))
        and (when.call is None or call.sequence in when.call)
        and (when.attempt is None or call.attempt in when.attempt)
        and when.since <= call.elapsed
        and (when.until is None or call.elapsed < when.until)
        and (when.contains is None or when.contains in call.text)
    )


def by_prompt(prompt: str, call: Call) -> Iterator[Directive]:
    """Directives that a prompt spells out: `simulate:ACTION`, `simulate:ACTION*2`.

    Raises:
        Refused: there is no such action.
    """
    for name, times in _SPELLED.findall(prompt):
        if name not in ACTIONS or name == "error":
            known = ", ".join(action for action in ACTIONS if action != "error")
            raise Refused(
                "ValidationException",
                f"simulate:{name} is no action of this simulator; try {known}",
            )
        attempts = Range(first=1, last=int(times) if times else None)
        if call.attempt in attempts:
            yield Directive(action=name)


_MODERATED = {
    **dict.fromkeys(("nude", "naked", "nsfw", "gore"), "filter-prompt"),
    **dict.fromkeys(("bloody", "bikini"), "filter-output"),
}


def by_moderation(prompt: str) -> Iterator[Directive]:
    """The directive that refuses this prompt or its picture, if there is a reason to."""
    for word in re.findall(r"[a-z]+", prompt.lower()):
        if word in _MODERATED:
            yield Directive(action=_MODERATED[word])
            return


_ERRORS = (
    "InternalServerException",
    "ServiceUnavailableException",
    "ModelTimeoutException",
    "ModelErrorException",
)
_FILTERS = ("filter-prompt", "filter-output")
_DAMAGES = ("torn-image", "broken-base64", "cut-json", "not-an-image", "empty-images")
_DROPS = ("reset", "close-before-headers", "cut-body")


def by_chance(options: Options, call: Call) -> Iterator[Directive]:
    """Directives of the rates. A body's attempts differ in their luck, except with moderation."""
    attempt = (call.sha256, call.attempt)
    for rate, names, what in (
        (options.throttle_rate, ("throttle",), attempt),
        (options.error_rate, _ERRORS, attempt),
        (options.filter_rate, _FILTERS, (call.sha256,)),
        (options.damage_rate, _DAMAGES, attempt),
        (options.drop_rate, _DROPS, attempt),
    ):
        if rate and draw(options.seed, names, "whether", *what) < rate:
            yield Directive(
                action=names[int(draw(options.seed, names, "which", *what) * len(names))]
            )


def first_of_each_stage(directives: Iterable[Directive]) -> CallFaults:
    """The first directive of each stage."""
    chosen: CallFaults = {}
    for directive in directives:
        chosen.setdefault(ACTIONS[directive.action].stage, directive)
    return chosen
