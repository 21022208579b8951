"""From an order that passed every check to a result: time, moderation, a picture, and its price."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .calls import Artifact, Finish, Picture, Result, draw
from .families import FAMILIES
from .faults.actions import ACTIONS, Stage
from .models import price
from .pictures.painter import paint, plain

if TYPE_CHECKING:
    from .calls import Call
    from .clock import Clock
    from .families.base import Model
    from .faults.directives import CallFaults
    from .options import Options
    from .pictures.request import PictureRequest

_JUDGED_FIRST = frozenset({Finish.PROMPT, Finish.INPUT})
"""What moderation refuses before anything is made."""
_NOTHING = Decimal(0)
_REMEMBERED = 64
"""Painted pictures kept, so that the same request soon after costs nothing: about 20 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A call that the service has understood."""

    call: Call
    model: Model
    body: dict[str, Any]
    picture: PictureRequest
    faults: CallFaults


class Generator:
    """Makes results, as fast as the model would."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._pictures = PictureMaker(
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
        call.pending = charge(order, ended, self._options)
        made = Artifact(seed=order.picture.seed)
        if ended not in _JUDGED_FIRST:
            await self._clock.sleep(self._latency(call, order.model))
            request = replace(order.picture, blurred=ended is Finish.OUTPUT)
            made = replace(made, picture=await self._pictures.make(request))
        call.charged, call.pending = call.pending, None
        return _altered(_ended(Result(artifacts=(made,)), ended, order), order)

    def close(self) -> None:
        """Start no more pictures."""
        self._pictures.close()

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


def charge(order: Order, finish: Finish | None, options: Options) -> Decimal:
    """USD for a call whose generation ended so; None stands for a call that made nothing.

    AWS does not say whether refused requests cost, so an option decides.
    """
    full = price(order.model, order.body)
    for directive in order.faults.values():
        if directive.charged is not None:
            return full if directive.charged else _NOTHING
    return full if _costs(finish, options) else _NOTHING


def _costs(finish: Finish | None, options: Options) -> bool:
    if finish is Finish.DONE:
        return True
    if finish is Finish.OUTPUT:
        return options.bill_filtered != "never"
    return finish in {Finish.PROMPT, Finish.INPUT} and options.bill_filtered == "always"


class PictureMaker:
    """Makes pictures in threads, so that the loop goes on answering."""

    def __init__(self, *, plain_pictures: bool, about: int | None) -> None:
        self._plain_pictures = plain_pictures
        self._about = about
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="paint")
        self._ready: dict[tuple[tuple[int, int], str], Picture] = {}
        self._making = asyncio.Lock()

    async def make(self, request: PictureRequest) -> Picture:
        """A painted picture, or a plain one where `plain_pictures` is set."""
        loop = asyncio.get_running_loop()
        if not self._plain_pictures:
            return await loop.run_in_executor(self._threads, _painted, request)
        key = (request.size, request.format)
        if key in self._ready:
            return self._ready[key]
        # A thousand calls may start with none made: one makes it, the others wait for it.
        async with self._making:
            making = loop.run_in_executor(self._threads, _plain, *key, self._about)
            self._ready[key] = await making
        return self._ready[key]

    def close(self) -> None:
        """Start no more pictures."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@lru_cache(maxsize=_REMEMBERED)
def _painted(request: PictureRequest) -> Picture:
    return Picture.of(paint(request))


@lru_cache(maxsize=16)
def _plain(size: tuple[int, int], image_format: str, about: int | None) -> Picture:
    return Picture.of(plain(size, image_format, about))
