"""From an order that passed every check to a result: time, moderation, a picture, and its price."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .billing import charge
from .chance import draw
from .families import FAMILIES
from .faults.actions import ACTIONS, Stage
from .gallery import Gallery
from .result import Artifact, Finish, Result

if TYPE_CHECKING:
    from .calls import Call
    from .catalog import Model
    from .clock import Clock
    from .faults.script import Plan
    from .options import Options
    from .pictures.studio import Commission

_JUDGED_FIRST = frozenset({Finish.PROMPT, Finish.INPUT})
"""What moderation refuses before anything is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A call that the service has understood."""

    call: Call
    model: Model
    body: dict[str, Any]
    commission: Commission
    faults: Plan


class Generator:
    """Makes results, as fast as the model would."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._gallery = Gallery(
            plain_pictures=options.picture == "plain", about=options.picture_bytes
        )

    async def generate(self, order: Order) -> Result:
        """The result of an order; its call is charged as soon as the result is there.

        Raises:
            Refused: the family answers moderation with an error.
        """
        call, faults = order.call, order.faults
        finish = (
            ACTIONS[faults[Stage.JUDGEMENT].action].finish if Stage.JUDGEMENT in faults else None
        )
        ended = finish or Finish.DONE
        call.pending = charge(call, order.body, ended, faults.values(), self._options)
        made = Artifact(seed=order.commission.seed)
        if ended not in _JUDGED_FIRST:
            await self._clock.sleep(self._latency(call, order.model))
            commission = replace(order.commission, blurred=ended is Finish.OUTPUT)
            made = replace(made, picture=await self._gallery.picture(commission))
        call.charged, call.pending = call.pending, None
        return _altered(_ended(Result(artifacts=(made,)), ended, order), order)

    def close(self) -> None:
        """Start no more pictures."""
        self._gallery.close()

    def _latency(self, call: Call, model: Model) -> float:
        span = self._options.latency
        low, high = (span.low, span.high) if span else model.latency
        luck = draw(self._options.seed, "latency", call.sha256, call.attempt)
        # Squared, so that most calls are quick and a few are slow.
        return low + (high - low) * luck**2


def _ended(result: Result, finish: Finish, order: Order) -> Result:
    if finish is Finish.DONE:
        return result
    return FAMILIES[order.model.family].ended(finish, result)


def _altered(result: Result, order: Order) -> Result:
    directive = order.faults.get(Stage.ALTERATION)
    alter = ACTIONS[directive.action].alter if directive else None
    if directive is None or alter is None or result.finish is not Finish.DONE:
        return result
    return alter(result, directive)
