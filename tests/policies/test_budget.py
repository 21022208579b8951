import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from fakes import ERRORS, PRICE, SENT, make_attempt, make_generation, make_task, settle
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run, virtual_time

from batchgen.errors import (
    AnswerLost,
    Filtered,
    NotStarted,
    ServiceFault,
    StorageError,
    Throttled,
    UnusableReply,
)
from batchgen.policies.budget import Budget, may_be_billed, with_budget
from batchgen.policies.stop import Stop, StopCause, StopReason

ZERO = Decimal(0)
AMBIGUOUS = (AnswerLost, ServiceFault, UnusableReply)


class TestStop:
    async def test_nothing_stops_at_first(self):
        """A run starts without a reason to stop."""
        assert Stop().stopping is None

    async def test_the_first_reason_stays(self):
        """Set once: what else comes up later changes nothing."""
        stop = Stop()
        stop.request(StopCause.BUDGET, "used up")
        stop.request(StopCause.DISK, "full")
        assert stop.stopping == StopReason(cause=StopCause.BUDGET, text="used up")

    async def test_listeners_are_called_once(self):
        """Each listener hears of the stop once, in order, with the reason set."""
        stop, heard = Stop(), []
        stop.on_request(lambda: heard.append(("a", stop.stopping.cause)))
        stop.on_request(lambda: heard.append(("b", stop.stopping.cause)))
        assert heard == []
        stop.request(StopCause.DISK, "full")
        stop.request(StopCause.DISK, "full")
        assert heard == [("a", StopCause.DISK), ("b", StopCause.DISK)]

    async def test_who_listens_late_hears_at_once(self):
        """A listener that comes after the stop is called when it comes."""
        stop, heard = Stop(), []
        stop.request(StopCause.DISK, "full")
        stop.on_request(lambda: heard.append(1))
        assert heard == [1]

    @virtual_time
    async def test_waiting_ends_with_the_request(self):
        """`wait` returns when the stop is requested, for all who wait and all who come later."""
        stop = Stop()
        waiting = [asyncio.create_task(stop.wait()) for _ in range(3)]
        await settle()
        assert not any(task.done() for task in waiting)
        stop.request(StopCause.DEADLINE, "time")
        await asyncio.gather(*waiting)
        await stop.wait()

    @pytest.mark.parametrize("seconds", [0, 0.5, 3600])
    @virtual_time
    async def test_a_sleep_lasts_as_long_as_it_should(self, seconds):
        """Nothing stops: the sleep is a sleep."""
        await Stop().sleep(seconds)
        assert asyncio.get_running_loop().time() == seconds

    @virtual_time
    async def test_a_sleep_ends_with_the_request(self):
        """A wait for a retry ends at once when the run stops."""
        stop = Stop()
        sleeping = asyncio.create_task(stop.sleep(3600))
        await asyncio.sleep(5)
        stop.request(StopCause.INTERRUPTED, "INT")
        with pytest.raises(NotStarted, match=r"^the run is stopping$"):
            await sleeping
        assert asyncio.get_running_loop().time() == 5

    @pytest.mark.parametrize("seconds", [0, 10])
    @virtual_time
    async def test_nobody_sleeps_after_the_request(self, seconds):
        """When the run is stopping already there is no sleep at all."""
        stop = Stop()
        stop.request(StopCause.INTERRUPTED, "INT")
        with pytest.raises(NotStarted):
            await stop.sleep(seconds)
        assert asyncio.get_running_loop().time() == 0

    async def test_tasks_are_handed_out_until_the_request(self):
        """The filter passes tasks on, one by one, and ends when the run stops."""
        stop, made = Stop(), []

        def tasks():
            for _ in range(5):
                made.append(make_task())
                yield made[-1]

        handed = stop.until(tasks())
        assert [next(handed), next(handed)] == made
        assert len(made) == 2  # lazily: nothing is made ahead
        stop.request(StopCause.BUDGET, "used up")
        assert list(handed) == []
        assert len(made) <= 3

    async def test_without_a_request_all_tasks_are_handed_out(self):
        """A run that nothing stops sees every task, in order."""
        tasks = [make_task() for _ in range(4)]
        assert list(Stop().until(iter(tasks))) == tasks

    def test_causes_are_words_for_programs(self):
        """What stands in `--json` and the manifest is fixed."""
        assert sorted(StopCause) == [
            "budget",
            "credentials",
            "deadline",
            "denied",
            "disk",
            "failures",
            "interrupted",
            "terminated",
            "throttled_out",
            "unreachable",
        ]


class TestBudget:
    @virtual_time
    async def test_a_reservation_is_set_aside(self):
        """What is reserved is neither spent nor left."""
        budget = Budget(Decimal("1.00"))
        assert budget.left == Decimal("1.00")
        assert await budget.reserve(Decimal("0.40")) is True
        assert (budget.left, budget.spent) == (Decimal("0.60"), ZERO)

    @virtual_time
    async def test_settling_keeps_what_was_billed(self):
        """Billed and maybe billed stay spent, each on its own account; the rest comes back."""
        budget = Budget(Decimal("1.20"))
        for billed, maybe in (("0.40", "0"), ("0", "0.40"), ("0", "0")):
            assert await budget.reserve(Decimal("0.40")) is True
            await budget.settle(Decimal("0.40"), billed=Decimal(billed), maybe=Decimal(maybe))
        assert (budget.billed, budget.maybe_billed) == (Decimal("0.40"), Decimal("0.40"))
        assert (budget.spent, budget.left) == (Decimal("0.80"), Decimal("0.40"))

    @virtual_time
    async def test_the_last_cent_may_be_spent(self):
        """The limit itself is allowed, a cent more is not."""
        budget = Budget(Decimal("0.08"))
        assert await budget.reserve(Decimal("0.08")) is True
        await budget.settle(Decimal("0.08"), billed=Decimal("0.08"), maybe=ZERO)
        assert budget.left == 0
        assert await budget.reserve(Decimal("0.01")) is False
        assert await budget.reserve(ZERO) is True

    @virtual_time
    async def test_what_earlier_runs_spent_counts(self):
        """A resumed run continues the same budget; what it billed itself is counted apart."""
        budget = Budget(Decimal("1.00"), spent=Decimal("0.97"))
        assert (budget.left, budget.spent) == (Decimal("0.03"), Decimal("0.97"))
        assert (budget.billed, budget.maybe_billed) == (ZERO, ZERO)
        assert await budget.reserve(PRICE) is False

    @virtual_time
    async def test_it_waits_while_money_may_come_back(self):
        """A reservation that fits no more is refused only when nothing is in flight."""
        budget = Budget(PRICE)
        assert await budget.reserve(PRICE) is True
        waiting = asyncio.create_task(budget.reserve(PRICE))
        await settle()
        assert not waiting.done()
        await budget.settle(PRICE, billed=ZERO, maybe=ZERO)
        assert await waiting is True

    @virtual_time
    async def test_it_refuses_when_none_comes_back(self):
        """The call in flight was billed: all who waited are refused."""
        budget = Budget(PRICE)
        assert await budget.reserve(PRICE) is True
        waiting = [asyncio.create_task(budget.reserve(PRICE)) for _ in range(3)]
        await settle()
        await budget.settle(PRICE, billed=PRICE, maybe=ZERO)
        assert await asyncio.gather(*waiting) == [False, False, False]

    @virtual_time
    async def test_one_refund_lets_one_in(self):
        """Of many who wait, as many go on as have room; the others wait for the next."""
        budget = Budget(2 * PRICE)
        for _ in range(2):
            assert await budget.reserve(PRICE) is True
        waiting = [asyncio.create_task(budget.reserve(PRICE)) for _ in range(3)]
        await budget.settle(PRICE, billed=ZERO, maybe=ZERO)
        await settle()
        assert [task.done() for task in waiting] == [True, False, False]
        await budget.settle(PRICE, billed=PRICE, maybe=ZERO)
        await settle()
        assert [task.done() for task in waiting] == [True, False, False]
        await budget.settle(PRICE, billed=PRICE, maybe=ZERO)
        assert await asyncio.gather(*waiting) == [True, False, False]
        assert budget.spent == 2 * PRICE

    @virtual_time
    async def test_settling_waits_for_nobody(self):
        """However many wait for money: an attempt that is cancelled settles without a pause."""
        budget = Budget(PRICE)
        assert await budget.reserve(PRICE) is True
        waiting = [asyncio.create_task(budget.reserve(PRICE)) for _ in range(3)]
        await settle()
        for _ in range(2):  # the second one while those whom the first woke have not run
            with pytest.raises(StopIteration):
                budget.settle(ZERO, billed=ZERO, maybe=ZERO).send(None)
        await budget.settle(PRICE, billed=PRICE, maybe=ZERO)
        assert await asyncio.gather(*waiting) == [False, False, False]

    @virtual_time
    async def test_who_is_cancelled_reserves_nothing(self):
        """A waiter that goes away leaves no reservation behind."""
        budget = Budget(PRICE)
        assert await budget.reserve(PRICE) is True
        waiting = asyncio.create_task(budget.reserve(PRICE))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await budget.settle(PRICE, billed=ZERO, maybe=ZERO)
        assert budget.left == PRICE

    @virtual_time
    async def test_without_a_limit_money_is_only_counted(self):
        """No budget: everything fits, nothing is left to say, and the sums are right."""
        budget = Budget(None, spent=Decimal("7.00"))
        for _ in range(3):
            assert await budget.reserve(Decimal(1_000)) is True
            await budget.settle(Decimal(1_000), billed=Decimal(1_000), maybe=ZERO)
        assert (budget.left, budget.billed, budget.spent) == (None, 3_000, 3_007)


class TestRunLimit:
    """`limits.run_budget_usd`: what one run may spend, within what all of them may."""

    @virtual_time
    async def test_it_bounds_this_run_alone(self):
        """What earlier runs spent is not taken from it; what this run reserved and spent is."""
        budget = Budget(None, run_limit=Decimal("0.12"))
        budget.open(spent=Decimal("5.00"), planned=Decimal("1.00"))
        assert budget.left == Decimal("0.12")
        assert await budget.reserve(PRICE) is True
        assert budget.left == Decimal("0.08")
        await budget.settle(PRICE, billed=PRICE, maybe=ZERO)
        assert (budget.left, budget.spent) == (Decimal("0.08"), Decimal("5.04"))
        assert await budget.reserve(3 * PRICE) is False

    @pytest.mark.parametrize(
        ("limit", "run_limit", "left"),
        [("1.00", "0.30", "0.30"), ("0.20", "0.30", "0.20"), ("0.30", "0.30", "0.30")],
    )
    def test_of_two_limits_the_tighter_holds(self, limit, run_limit, left):
        """Neither may be passed."""
        assert Budget(Decimal(limit), run_limit=Decimal(run_limit)).left == Decimal(left)


class TestOpen:
    def test_a_run_begins_with_what_was_spent_before(self):
        """It counts against the job's budget, and is nothing that this run was billed."""
        budget = Budget(Decimal("1.00"))
        budget.open(spent=Decimal("0.40"), planned=Decimal("0.20"))
        assert (budget.spent, budget.planned) == (Decimal("0.40"), Decimal("0.20"))
        assert (budget.left, budget.billed) == (Decimal("0.60"), ZERO)

    def test_what_an_earlier_run_was_billed_is_found_once(self):
        """An image that a killed run left: billed, but not out of this run's own budget."""
        budget = Budget(Decimal("1.00"), run_limit=Decimal("0.30"))
        budget.open(spent=Decimal("0.40"), planned=ZERO)
        for _ in range(2):
            budget.find(PRICE)
        assert (budget.spent, budget.billed) == (Decimal("0.48"), Decimal("0.08"))
        assert budget.left == Decimal("0.30")  # of this run, which spent nothing itself


class TestShortage:
    """Why one more image does not fit, in the sentence that ends the run."""

    @pytest.mark.parametrize(
        ("limit", "run_limit"), [(None, None), (PRICE, None), (None, PRICE), (PRICE, PRICE)]
    )
    def test_what_fits_is_no_shortage(self, limit, run_limit):
        """To the last cent; and without a limit everything fits."""
        budget = Budget(limit, run_limit=run_limit)
        assert budget.shortage(PRICE) is None
        assert budget.is_too_small is False

    @pytest.mark.parametrize(
        ("planned", "billed", "maybe", "raise_to"),
        [
            ("0.60", "0", "0", "0.70"),  # before the run 0.10, and 0.60 to make
            ("0.60", "0", "0.04", "0.74"),  # what may have been billed made no image of the plan
            ("0.60", "0.08", "0", "0.70"),  # what was billed made its images
            ("0", "0", "0", "0.14"),  # at the least what was spent and this image
            ("0", "0.08", "0", "0.22"),
        ],
    )
    @virtual_time
    async def test_the_job_s_budget_says_what_would_finish_the_job(
        self, planned, billed, maybe, raise_to
    ):
        """Whoever raises it to that amount needs to raise it no second time."""
        spent = Decimal(billed) + Decimal(maybe)
        limit = Decimal("0.13") + spent
        budget = Budget(limit)
        budget.open(spent=Decimal("0.10"), planned=Decimal(planned))
        await budget.settle(ZERO, billed=Decimal(billed), maybe=Decimal(maybe))
        assert budget.shortage(PRICE) == (
            f"0.04 needed, 0.03 left of {limit}, counted over all runs until the job is finished: "
            f"raise it to {raise_to} to finish (limits.budget_usd)."
        )
        assert budget.is_too_small is True

    def test_a_run_s_budget_that_is_used_up_is_there_again_in_the_next_run(self):
        """Nothing needs to be raised: the next run goes on."""
        budget = Budget(Decimal("9.00"), run_limit=Decimal("0.06"))
        budget.spent = PRICE
        assert budget.shortage(PRICE) == (
            "0.04 needed, 0.02 left of 0.06 for this run (limits.run_budget_usd, --max-cost)."
        )
        assert budget.is_too_small is False

    @pytest.mark.parametrize(
        ("run_limit", "is_too_small"), [("0.03", True), ("0.04", False), ("0.05", False)]
    )
    def test_a_run_s_budget_below_one_image_must_be_raised(self, run_limit, is_too_small):
        """No later run could make one either."""
        budget = Budget(None, run_limit=Decimal(run_limit))
        budget.spent = Decimal("0.02")
        what_helps = ": raise it, else no run makes anything" if is_too_small else ""
        left = Decimal(run_limit) - Decimal("0.02")
        assert budget.shortage(PRICE) == (
            f"0.04 needed, {left} left of {run_limit} for this run "
            f"(limits.run_budget_usd, --max-cost){what_helps}."
        )
        assert budget.is_too_small is is_too_small

    def test_the_job_s_budget_is_named_first(self):
        """It is the one that a later run would meet again."""
        budget = Budget(Decimal("0.03"), run_limit=Decimal("0.02"))
        assert "limits.budget_usd" in budget.shortage(PRICE)

    @pytest.mark.parametrize(
        ("price", "said"),
        [
            ("7", "7.00"),
            ("0.1", "0.10"),
            ("0.04", "0.04"),
            ("0.0456", "0.0456"),
            ("0.04001", "0.0401"),  # never less than is needed
            ("1000000", "1000000.00"),
        ],
    )
    def test_money_is_said_with_as_many_digits_as_it_needs(self, price, said):
        """Two at the least, and never in powers of ten."""
        text = Budget(None, run_limit=ZERO).shortage(Decimal(price))
        assert text.startswith(f"{said} needed, 0.00 left of 0.00 ")


calls = st.lists(
    st.tuples(
        st.sampled_from([1, 4, 8, 14]),  # price in cents
        st.sampled_from(["billed", "maybe", "free"]),
        st.integers(0, 5),  # starts
        st.integers(0, 5),  # lasts
    ),
    max_size=25,
)


class TestBudgetAlways:
    @given(calls, st.integers(0, 100), st.integers(0, 40))
    def test_never_a_cent_above_the_limit(self, plan, limit, spent_before):
        """At any time of any interleaving spent and reserved are within the limit, and all end."""

        async def main():
            budget = Budget(Decimal(limit), spent=Decimal(min(spent_before, limit)))
            reserved = ZERO
            tally = {"billed": ZERO, "maybe": ZERO, "free": ZERO}

            def holds():
                assert budget.spent + reserved <= budget.limit
                assert budget.left == budget.limit - budget.spent - reserved

            async def call(price, outcome, starts, lasts):
                nonlocal reserved
                price = Decimal(price)
                await asyncio.sleep(starts)
                if not await budget.reserve(price):
                    # Refused only for good: even with everything back it would not fit.
                    assert price > budget.limit - budget.spent
                    return
                reserved += price
                holds()
                await asyncio.sleep(lasts)
                tally[outcome] += price
                reserved -= price
                billed = price if outcome == "billed" else ZERO
                maybe = price if outcome == "maybe" else ZERO
                await budget.settle(price, billed=billed, maybe=maybe)
                holds()

            async with asyncio.timeout(1_000), asyncio.TaskGroup() as group:
                for each in plan:
                    group.create_task(call(*each))
            assert (budget.billed, budget.maybe_billed) == (tally["billed"], tally["maybe"])
            assert reserved == 0

        run(main())


def admitting(outcome, *, limit=Decimal("0.10"), lasts=0.0, sent=True):
    """A budget, a stop, and attempts that end like this, under the budget."""
    budget, stop = Budget(limit), Stop()

    async def generate(attempt):
        assert budget.left == limit - PRICE  # reserved while it lasts
        attempt.state.sent = SENT if sent else None
        await asyncio.sleep(lasts)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return budget, stop, with_budget(generate, budget, stop)


class TestBudgeted:
    @virtual_time
    async def test_a_success_is_billed(self):
        """The price of an image is spent for sure."""
        budget, stop, admit = admitting(make_generation())
        assert await admit(make_attempt()) == make_generation()
        assert (budget.billed, budget.maybe_billed, budget.spent) == (PRICE, ZERO, PRICE)
        assert budget.left == Decimal("0.06")
        assert stop.stopping is None

    @pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
    def test_an_error_is_billed_as_its_class_says(self, kind):
        """Ambiguous calls stay reserved as maybe billed; what surely cost nothing comes back."""

        async def main():
            budget, _, admit = admitting(ERRORS[kind])
            with pytest.raises(kind) as caught:
                await admit(make_attempt())
            assert caught.value is ERRORS[kind]
            maybe = PRICE if kind in AMBIGUOUS else ZERO
            assert (budget.billed, budget.maybe_billed, budget.spent) == (ZERO, maybe, maybe)
            assert budget.left == Decimal("0.10") - maybe

        run(main())

    @pytest.mark.parametrize("came", [True, False])
    @virtual_time
    async def test_a_filtered_call_costs_what_an_image_costs_if_one_came(self, came):
        """Moderation of an image is assumed paid for, moderation of a prompt is not."""
        error = Filtered("no", code="Filtered", image_came=came)
        budget, _, admit = admitting(error)
        with pytest.raises(Filtered):
            await admit(make_attempt())
        assert budget.maybe_billed == (PRICE if came else ZERO)
        assert may_be_billed(error) is came

    @virtual_time
    async def test_what_was_not_started_costs_nothing(self):
        """A stop between the reservation and the call gives the money back."""
        budget, _, admit = admitting(NotStarted("stop"))
        with pytest.raises(NotStarted):
            await admit(make_attempt())
        assert (budget.spent, budget.left) == (ZERO, Decimal("0.10"))

    @pytest.mark.parametrize("error", [StorageError("disk"), ValueError("bug")])
    def test_what_broke_in_the_middle_may_have_been_billed(self, error):
        """A broken disk or a bug after the call: nobody knows, so the money is not spent twice."""

        async def main():
            budget, _, admit = admitting(error)
            with pytest.raises(type(error)):
                await admit(make_attempt())
            assert (budget.billed, budget.maybe_billed) == (ZERO, PRICE)
            assert budget.left == Decimal("0.06")

        run(main())

    @virtual_time
    async def test_a_cancelled_call_may_have_been_billed(self):
        """The service finishes what the client gave up on."""
        budget, _, admit = admitting(make_generation(), lasts=10)
        calling = asyncio.create_task(admit(make_attempt()))
        await asyncio.sleep(1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (budget.billed, budget.maybe_billed) == (ZERO, PRICE)
        assert budget.left == Decimal("0.06")

    @pytest.mark.parametrize("error", [StorageError("disk"), ValueError("bug")])
    @virtual_time
    async def test_what_broke_before_it_was_sent_costs_nothing(self, error):
        """Nothing left this machine: the money is there for another attempt."""
        budget, _, admit = admitting(error, sent=False)
        with pytest.raises(type(error)):
            await admit(make_attempt())
        assert (budget.spent, budget.left) == (ZERO, Decimal("0.10"))

    @virtual_time
    async def test_an_attempt_cancelled_before_it_was_sent_costs_nothing(self):
        """It waited for its turn, and its task went on with another model."""
        budget, _, admit = admitting(make_generation(), lasts=10, sent=False)
        calling = asyncio.create_task(admit(make_attempt()))
        await asyncio.sleep(1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert (budget.spent, budget.left) == (ZERO, Decimal("0.10"))

    @virtual_time
    async def test_a_used_up_budget_stops_the_run(self):
        """The attempt is not started, and the run ends with the limit in its sentence."""
        budget, stop, admit = admitting(make_generation(), limit=Decimal("0.03"))
        with pytest.raises(NotStarted, match=r"^the budget is used up$"):
            await admit(make_attempt())
        text = (
            "The budget is used up: 0.04 needed, 0.03 left of 0.03, counted over all runs until "
            "the job is finished: raise it to 0.04 to finish (limits.budget_usd)."
        )
        assert stop.stopping == StopReason(cause=StopCause.BUDGET, text=text)
        assert (budget.spent, budget.left) == (ZERO, Decimal("0.03"))

    @virtual_time
    async def test_a_price_that_nobody_knows_is_none(self):
        """Without a budget an unknown price counts as nothing."""
        task = replace(make_task(), price_usd=None)
        budget = Budget(None)

        async def generate(_):
            return make_generation()

        await with_budget(generate, budget, Stop())(make_attempt(task))
        assert (budget.billed, budget.spent) == (ZERO, ZERO)

    @virtual_time
    async def test_at_any_concurrency_the_limit_holds(self):
        """A hundred attempts at once under a budget for seven: seven calls, then the stop."""
        budget, stop, made = Budget(Decimal("0.30")), Stop(), []

        async def generate(attempt):
            await asyncio.sleep(3)
            made.append(attempt)
            return make_generation()

        admit = with_budget(generate, budget, stop)
        results = await asyncio.gather(
            *(admit(make_attempt()) for _ in range(100)), return_exceptions=True
        )
        assert len(made) == 7
        assert sum(isinstance(result, NotStarted) for result in results) == 93
        assert budget.spent == Decimal("0.28")
        assert stop.stopping.cause is StopCause.BUDGET

    @virtual_time
    async def test_a_refund_is_used(self):
        """A throttled attempt gives its place in the budget to one that waits."""
        budget, stop = Budget(PRICE), Stop()
        outcomes = [ERRORS[Throttled], make_generation()]

        async def generate(_):
            await asyncio.sleep(1)
            outcome = outcomes.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        admit = with_budget(generate, budget, stop)
        results = await asyncio.gather(
            admit(make_attempt()), admit(make_attempt()), return_exceptions=True
        )
        assert results == [ERRORS[Throttled], make_generation()]
        assert (budget.spent, stop.stopping) == (PRICE, None)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_what_may_be_on_the_bill(kind):
    """The ambiguous ones, and no others."""
    assert may_be_billed(ERRORS[kind]) is (kind in AMBIGUOUS)
