"""Which faults a call meets: those scripted, those its prompt asks for, and those of chance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from batchgen.simulator.chance import draw
from batchgen.simulator.errors import Refused

from .actions import ACTIONS, Stage
from .directive import Directive, Range, When

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from batchgen.simulator.calls import Call
    from batchgen.simulator.options import Options

Plan = dict[Stage, Directive]
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
    """Whether all that is set applies to the call."""
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


def spelled(prompt: str, call: Call) -> Iterator[Directive]:
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


_ERRORS = (
    "InternalServerException",
    "ServiceUnavailableException",
    "ModelTimeoutException",
    "ModelErrorException",
)
_FILTERS = ("filter-prompt", "filter-output")
_DAMAGES = ("torn-image", "broken-base64", "cut-json", "not-an-image", "empty-images")
_DROPS = ("reset", "close-before-headers", "cut-body")


def chances(options: Options, call: Call) -> Iterator[Directive]:
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


def plan(directives: Iterable[Directive]) -> Plan:
    """The first directive of each stage."""
    chosen: Plan = {}
    for directive in directives:
        chosen.setdefault(ACTIONS[directive.action].stage, directive)
    return chosen
