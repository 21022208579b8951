"""What may still be spent: every attempt reserves its price before it waits for a turn."""

from __future__ import annotations

import asyncio
from decimal import ROUND_CEILING, Decimal

from batchgen.attempt import Attempt, Generate, Generation
from batchgen.errors import Ambiguous, AttemptError, Filtered, NotStarted
from batchgen.policies.stop import Stop, StopCause
from batchgen.task import Task

ZERO = Decimal(0)


class Budget:
    """What may still be spent, by reservation before each attempt: never a cent above the limit.

    An attempt's price is reserved before it starts. What surely was not billed is given back; what
    was or may have been stays spent.
    """

    def __init__(
        self, limit: Decimal | None, *, run_limit: Decimal | None = None, spent: Decimal = ZERO
    ) -> None:
        self.limit = limit
        """USD for all runs until the job is finished; None: no limit, only the count."""
        self.run_limit = run_limit
        """USD for this run alone; None: no such limit."""
        self.spent = spent
        """USD surely or maybe billed, earlier runs of this output included."""
        self.planned = ZERO
        """USD that the open tasks of the job cost, as they were when the run began."""
        self.is_too_small = False
        """Not one more image fits, in a later run either."""
        self._before = ZERO
        """USD of `spent` that this run did not spend."""
        self.billed = ZERO
        """USD surely billed in this run."""
        self.maybe_billed = ZERO
        """USD of attempts in this run that may have been billed."""
        self._reserved = ZERO
        self._set_aside = ZERO
        """USD for tasks of chains that have begun, of which no attempt has drawn it."""
        self._drawn: set[str] = set()
        """Ids of the tasks at work that have drawn theirs."""
        self._changed = asyncio.Condition()

    def begin_chain(self, price: Decimal) -> bool:
        """Set the price of all tasks of a chain aside; False if there is no room for it now."""
        if not self._fits(price):
            return False
        self._set_aside += price
        return True

    @property
    def has_begun(self) -> bool:
        """Whether money is set aside for a chain, or an attempt is under way."""
        return bool(self._set_aside or self._reserved)

    def end_task(self, task: Task) -> None:
        """Give back what was set aside for a task of a chain, unless its attempts drew it."""
        if task.id in self._drawn:
            self._drawn.discard(task.id)
        else:
            self._set_aside -= self._share(task)

    def _share(self, task: Task) -> Decimal:
        """USD that are set aside for a task."""
        if task.step is None or task.id in self._drawn:
            return ZERO
        return min(task.price_usd or ZERO, self._set_aside)

    async def reserve(self, price: Decimal, task: Task | None = None) -> bool:
        """Set the price of one attempt aside; False when the budget will never have it again.

        Waits while attempts in flight may still give money back.

        Args:
            price: USD of the attempt.
            task: whose attempt it is; what was set aside for it is drawn first.
        """
        async with self._changed:
            share = ZERO if task is None else self._share(task)
            while not self._fits(price - share):
                if self._reserved == ZERO:
                    return False
                await self._changed.wait()
                share = ZERO if task is None else self._share(task)
            self._reserved += price
            if task is not None and share:
                self._set_aside -= share
                self._drawn.add(task.id)
            return True

    def undraw(self, task: Task, share: Decimal) -> None:
        """Set aside again what an attempt drew that cost nothing."""
        if task.id in self._drawn:
            self._drawn.discard(task.id)
            self._set_aside += share

    async def settle(self, price: Decimal, *, billed: Decimal, maybe: Decimal) -> None:
        """Give back the reservation, and keep what was or may have been billed.

        It is done before anything else can happen, a cancellation too: nobody waits while holding
        the lock, so it is free.
        """
        async with self._changed:
            self._reserved -= price
            self.spent += billed + maybe
            self.billed += billed
            self.maybe_billed += maybe
            self._changed.notify_all()

    def open(self, spent: Decimal, planned: Decimal) -> None:
        """Begin with what earlier runs spent and what is left to make.

        Args:
            spent: USD since the job was last finished.
            planned: USD that its open tasks cost.
        """
        self.spent, self._before, self.planned = spent, spent, planned

    def find(self, billed: Decimal) -> None:
        """Count what an earlier run was billed and no line says."""
        self.spent += billed
        self._before += billed
        self.billed += billed

    @property
    def left(self) -> Decimal | None:
        """USD that may still be reserved; None without a limit."""
        lefts = [left for left in (self._left_of_all, self._left_of_run) if left is not None]
        return min(lefts, default=None)

    @property
    def _left_of_all(self) -> Decimal | None:
        held = self._reserved + self._set_aside
        return None if self.limit is None else self.limit - self.spent - held

    @property
    def _left_of_run(self) -> Decimal | None:
        if self.run_limit is None:
            return None
        return self.run_limit - (self.spent - self._before) - self._reserved - self._set_aside

    def shortage(self, price: Decimal) -> str | None:
        """Why one more image of this price does not fit, and what helps; None if it does."""
        left = self._left_of_all
        if self.limit is not None and left is not None and price > left:
            self.is_too_small = True
            # What may have been billed and made no image comes on top of the plan.
            finish = max(self._before + self.planned + self.maybe_billed, self.spent + price)
            return (
                f"{_money(price)} needed, {_money(left)} left of {_money(self.limit)}, counted "
                f"over all runs until the job is finished: raise it to {_money(finish)} to finish "
                "(limits.budget_usd)."
            )
        left = self._left_of_run
        if self.run_limit is None or left is None or price <= left:
            return None
        self.is_too_small = price > self.run_limit
        what_helps = "raise it, else no run makes anything" if self.is_too_small else ""
        text = f"{_money(price)} needed, {_money(left)} left of {_money(self.run_limit)}"
        end = "for this run (limits.run_budget_usd, --max-cost)"
        return f"{text} {end}{': ' if what_helps else ''}{what_helps}."

    def _fits(self, price: Decimal) -> bool:
        return self.left is None or price <= self.left


def with_budget(generate: Generate, budget: Budget, stop: Stop) -> Generate:
    """Attempts that reserve their price first; the run stops when the budget is used up."""

    async def admit(attempt: Attempt) -> Generation:
        price = attempt.call.price_usd or ZERO
        if not await budget.reserve(price, attempt.task):
            text = budget.shortage(price) or f"{_money(price)} needed, and no money is left."
            stop.apply(StopCause.BUDGET, shortage=text)
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
            await budget.settle(price, billed=billed, maybe=maybe)
            if not billed and not maybe:
                budget.undraw(attempt.task, attempt.task.price_usd or ZERO)
        return generation

    return admit


def may_be_billed(error: AttemptError) -> bool:
    """Whether an attempt that ended like this may be on the bill.

    A filtered one is assumed to be where an image was made; AWS documents no rule.
    """
    return isinstance(error, Ambiguous) or (isinstance(error, Filtered) and error.image_came)


def _money(amount: Decimal) -> str:
    """USD with two digits, or with as many as say it to a hundredth of a cent."""
    exact = format(amount.quantize(Decimal("0.0001"), ROUND_CEILING).normalize(), "f")
    return max(exact, f"{amount:.2f}", key=len)
