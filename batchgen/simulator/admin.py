"""The simulator's own endpoints, below `/simulator/`: what it did, and what it is to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .faults.actions import ACTIONS
from .faults.directives import DirectiveError, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .service import Service


_MOST_DIGITS = 18


class NoSuchEndpoint(LookupError):
    """There is no such endpoint."""


def administer(
    service: Service, what: tuple[str, str], query: Mapping[str, str], body: bytes
) -> dict[str, Any]:
    """Do what a method and a path ask for.

    Raises:
        DirectiveError: the body or the query cannot be used.
        NoSuchEndpoint: nothing is there.
    """
    match what:
        case "GET", "ledger":
            return {"entries": service.ledger.lines(_number(query.get("after", "0")))}
        case "GET", "stats":
            return {**service.stats.snapshot(), "charged_usd": str(service.ledger.total)}
        case "GET", "actions":
            return {name: action.text for name, action in ACTIONS.items()}
        case "POST", "faults":
            directives = read(_json(body))
            service.script.add(directives)
            return {"added": len(directives)}
        case "DELETE", "faults":
            service.script.clear()
            return {}
        case "POST", "reset":
            service.reset()
            return {}
    raise NoSuchEndpoint(" ".join(what))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DirectiveError(f"the body is no JSON: {error}") from error


def _number(text: str) -> int:
    if not (text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise DirectiveError(f"{text!r} is no number of a call")
    return int(text)
