"""Which tasks may still start: the one stop of a run, and the budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import Ambiguous, AttemptError, Filtered, NotStarted
from batchgen.task import Task

ZERO = Decimal(0)


class Cause(StrEnum):
    """Why a run stops before its tasks are done."""

    BUDGET = "budget"
    CREDENTIALS = "credentials"
    DEADLINE = "deadline"
    DENIED = "denied"
    DISK = "disk"
    FAILURES = "failures"
    INTERRUPTED = "interrupted"
    """SIGINT, or a terminal that went away."""
    TERMINATED = "terminated"
    """SIGTERM."""
    THROTTLED_OUT = "throttled_out"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """The first reason to stop that came up."""

    cause: Cause
    text: str
    """One sentence for a person: what happened and what to do."""


class Stop:
    """The one switch that ends a run: set once, never unset; what is in flight goes on."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self.stopping: Stopping | None = None

    def request(self, cause: Cause, text: str) -> None:
        """Stop handing out tasks. Only the first request counts."""
        if self.stopping is not None:
            return
        self.stopping = Stopping(cause=cause, text=text)
        self._event.set()
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the stop is requested, or now if it was."""
        self._listeners.append(listener)
        if self.stopping is not None:
            listener()

    async def wait(self) -> None:
        """Return when the stop has been requested."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the run stops meanwhile.

        Raises:
            NotStarted: the run is stopping.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        raise NotStarted("the run is stopping")

    def until(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Hand out tasks until the stop is requested."""
        for task in tasks:
            if self.stopping is not None:
                return
            yield task


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
        """Count what an earlier run was billed and nobody has counted yet."""
        self.spent += billed
        self.billed += billed

    @property
    def left(self) -> Decimal | None:
        """USD that may still be reserved; None without a limit."""
        return None if self.limit is None else self.limit - self.spent - self._reserved

    def _fits(self, price: Decimal) -> bool:
        return self.left is None or price <= self.left


def budgeted(generate: Generate, budget: Budget, stop: Stop) -> Generate:
    """Attempts that reserve their price first; the run stops when the budget is used up."""

    async def admit(attempt: Attempt) -> Generation:
        price = attempt.call.price_usd or ZERO
        if not await budget.reserve(price):
            stop.request(Cause.BUDGET, f"The budget of {budget.limit} USD is used up.")
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
            # Cancelled or broken in mid-call: nobody knows.
            maybe = ZERO if attempt.course.withdrawn else price
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
