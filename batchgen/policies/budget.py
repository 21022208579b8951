"""What may still be spent: every attempt reserves its price before it waits for a turn."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import Ambiguous, AttemptError, Filtered, NotStarted
from batchgen.policies.stop import Stop, StopCause

ZERO = Decimal(0)


class Budget:
    """What may still be spent, by reservation before each attempt: never a cent above the limit.

    An attempt's price is reserved before it starts. What surely was not billed is given back; what
    was or may have been stays spent.
    """

    def __init__(self, limit: Decimal | None, *, spent: Decimal = ZERO) -> None:
        self.limit = limit
        """USD; None: no limit, only the count."""
        self.spent = spent
        """USD surely or maybe billed, earlier runs of this output included."""
        self.billed = ZERO
        """USD surely billed in this run."""
        self.maybe_billed = ZERO
        """USD of attempts in this run that may have been billed."""
        self._reserved = ZERO
        self._changed = asyncio.Condition()

    async def reserve(self, price: Decimal) -> bool:
        """Set the price of one attempt aside; False when the budget will never have it again.

        Waits while attempts in flight may still give money back.
        """
        async with self._changed:
            while not self._fits(price):
                if self._reserved == ZERO:
                    return False
                await self._changed.wait()
            self._reserved += price
            return True

    async def settle(self, price: Decimal, *, billed: Decimal, maybe: Decimal) -> None:
        """Give back the reservation, and keep what was or may have been billed."""
        async with self._changed:
            self._reserved -= price
            self.spent += billed + maybe
            self.billed += billed
            self.maybe_billed += maybe
            self._changed.notify_all()

    def find(self, billed: Decimal) -> None:
        """Count what an earlier run was billed and no line says."""
        self.spent += billed
        self.billed += billed

    @property
    def left(self) -> Decimal | None:
        """USD that may still be reserved; None without a limit."""
        return None if self.limit is None else self.limit - self.spent - self._reserved

    def _fits(self, price: Decimal) -> bool:
        return self.left is None or price <= self.left


def with_budget(generate: Generate, budget: Budget, stop: Stop) -> Generate:
    """Attempts that reserve their price first; the run stops when the budget is used up."""

    async def admit(attempt: Attempt) -> Generation:
        price = attempt.call.price_usd or ZERO
        if not await budget.reserve(price):
            stop.apply(StopCause.BUDGET, limit=budget.limit)
            raise NotStarted("the budget is used up")
        billed = maybe = ZERO
        try:
            generation = await generate(attempt)
            billed = price
        except NotStarted:
            raise
        except AttemptError as error:
            maybe = price if may_be_billed(error) else ZERO
            raise
        except BaseException:
            # Cancelled or broken: once it was sent, it may have been billed.
            maybe = ZERO if attempt.state.sent is None else price
            raise
        finally:
            await asyncio.shield(budget.settle(price, billed=billed, maybe=maybe))
        return generation

    return admit


def may_be_billed(error: AttemptError) -> bool:
    """Whether an attempt that ended like this may be on the bill.

    A filtered one is assumed to be where an image was made; AWS documents no rule.
    """
    return isinstance(error, Ambiguous) or (isinstance(error, Filtered) and error.image_came)
