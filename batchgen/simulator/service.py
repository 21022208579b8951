"""The story of one call of InvokeModel: from what arrived to an answer and a ledger entry."""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING

from .calls import FILTERED, Answer, Call, Finish, Result, draw_integer, refusal
from .credentials import Credentials
from .errors import Refused
from .families import FAMILIES
from .faults.actions import ACTIONS, Stage
from .faults.directives import (
    CallFaults,
    Script,
    by_chance,
    by_moderation,
    by_prompt,
    first_of_each_stage,
)
from .faults.replies import damaged
from .generation import Generator, Order, charge
from .ledger import REMEMBERED, Ledger, Stats, entry
from .models import resolve
from .quota import Quotas
from .rules import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .clock import Clock
    from .credentials import Caller
    from .families.base import Model
    from .options import Options

_log = logging.getLogger("batchgen.simulator")
_MOST_RANDOM_SEED = 4_294_967_294


class Service:
    """The simulated Bedrock Runtime."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.credentials = Credentials(options, clock)
        self.quotas = Quotas(options, clock)
        self.script = Script()
        self.ledger = Ledger(options.ledger)
        self.stats = Stats(clock)
        self._generator = Generator(options, clock)
        self._started = clock.monotonic()
        self._open: dict[str, Call] = {}
        self._numbers = count(1)
        self._attempts: OrderedDict[tuple[str, str], int] = OrderedDict()
        """Model and body -> how often they were sent, those that were sent last at the end."""

    def reset(self) -> None:
        """Forget calls, charges, faults and used-up quota, as if just started."""
        self._started = self.clock.monotonic()
        self._numbers = count(1)
        self._attempts.clear()
        self.script.clear()
        self.ledger.reset()
        self.stats.reset()
        self.quotas.reset()

    def abandon(self) -> None:
        """Give up what is being generated. It is charged: the real service would finish it."""
        for call in list(self._open.values()):
            if call.pending is not None:
                call.charged = call.pending
                self._record(call, 0, "abandoned")
        self._open.clear()

    def close(self) -> None:
        """Close threads and files."""
        self._generator.close()
        self.ledger.close()

    def arrive(self, model_id: str, headers: Mapping[str, str], body: bytes) -> Call:
        """A call that has just been read."""
        now = self.clock.monotonic()
        return Call(
            sequence=next(self._numbers),
            model_id=model_id,
            headers=headers,
            body=body,
            started=now,
            elapsed=now - self._started,
            time=self.clock.wall(),
            request_id=str(uuid.uuid4()),
        )

    async def answer(self, call: Call) -> Answer:
        """What the call is answered with; when this returns, the call is in the ledger."""
        self._open[call.request_id] = call
        try:
            with self.stats.flight():
                answer = await self._serve(call)
        except Refused as refused:
            answer = self.refuse(call, refused)
        finally:
            self._open.pop(call.request_id, None)
        return replace(answer, ahead=answer.ahead + self.options.clock_skew)

    async def _serve(self, call: Call) -> Answer:
        caller = call.caller = self.credentials.admit(call.headers)
        model = call.model = resolve(call.model_id, caller.region, self.options)
        if {model.id, "bedrock"} & set(self.options.deny):
            raise Refused("AccessDeniedException")
        order = self._order(call, model)
        if Stage.REFUSAL in order.faults:
            return await self._refuse_on_demand(order)
        return self._reply(order, await self._generate(order, caller))

    def _order(self, call: Call, model: Model) -> Order:
        family = FAMILIES[model.family]
        call.attempt = self._count((model.id, call.sha256))
        body = parse(call.body, family.SCHEMAS[model.schema])
        # Both no seed and 0 ask for one of the service's choice.
        seed = body.get("seed") or self._random_seed(call)
        picture = family.picture_request(model, body, seed)
        faults = self._faults(call, family.prompts(body))
        return Order(call=call, model=model, body=body, picture=picture, faults=faults)

    def _count(self, sent: tuple[str, str]) -> int:
        """How many times a model was sent this body, unless so many others came meanwhile."""
        number = self._attempts.pop(sent, 0) + 1
        self._attempts[sent] = number
        if len(self._attempts) > REMEMBERED:
            self._attempts.popitem(last=False)
        return number

    def _random_seed(self, call: Call) -> int:
        what = (self.options.seed, "seed", call.sha256, call.attempt)
        return draw_integer(_MOST_RANDOM_SEED, *what)

    def _faults(self, call: Call, prompt: str) -> CallFaults:
        faults = first_of_each_stage(
            chain(
                self.script.pick(call),
                by_prompt(prompt, call),
                by_moderation(prompt),
                by_chance(self.options, call),
            )
        )
        call.faults = tuple(directive.action for directive in faults.values())
        return faults

    async def _generate(self, order: Order, caller: Caller) -> Result:
        with self.quotas.slot(caller.account, caller.region, order.model):
            result = await self._generator.generate(order)
        order.call.seed = order.picture.seed
        return result

    async def _refuse_on_demand(self, order: Order) -> Answer:
        call, directive = order.call, order.faults[Stage.REFUSAL]
        await self.clock.sleep(directive.seconds or 0)
        call.charged = charge(order, None, self.options)
        name, message = ACTIONS[directive.action].error or (directive.type or "", None)
        refused = Refused(name, directive.message or message, status=directive.status)
        return _skewed(self.refuse(call, refused), order.faults)

    def refuse(self, call: Call, refused: Refused) -> Answer:
        """The answer to a call that ends in an error, which is entered in the ledger."""
        self._record(call, refused.status, refused.name)
        return refusal(refused, call.request_id)

    def _reply(self, order: Order, result: Result) -> Answer:
        call, faults = order.call, order.faults
        answer = Answer(
            parts=FAMILIES[order.model.family].answer(result),
            request_id=call.request_id,
            latency_ms=round((self.clock.monotonic() - call.started) * 1000),
            delivery=faults.get(Stage.DELIVERY),
        )
        image = result.sha256
        if Stage.BODY in faults:
            answer, image = damaged(answer, faults[Stage.BODY]), None
        self._record(call, answer.status, _outcome(result.finish), image)
        return _skewed(answer, faults)

    def _record(
        self, call: Call, status: int, outcome: str, image_sha256: str | None = None
    ) -> None:
        line = entry(call, status, outcome, image_sha256)
        self.ledger.record(line)
        self.stats.count(line)
        _log.info(
            "#%d %s %s %s, %s USD",
            line.sequence,
            line.model or line.model_id,
            status,
            outcome,
            line.charged_usd,
        )


def _outcome(finish: Finish) -> str:
    if finish in FILTERED:
        return "filtered"
    return "generated" if finish is Finish.DONE else "inference-error"


def _skewed(answer: Answer, faults: CallFaults) -> Answer:
    if Stage.CLOCK not in faults:
        return answer
    seconds = faults[Stage.CLOCK].seconds
    return replace(answer, ahead=_USUAL_SKEW if seconds is None else seconds)


_USUAL_SKEW = 420.0
