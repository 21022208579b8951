"""What a run has come to: counts, rates, money, and the exit code that tells the truth."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from fakes import FakeClock, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import ServiceFault, Throttled
from batchgen.pacing import Pace, Pacer
from batchgen.policies.budget import Budget
from batchgen.policies.retry import Retry
from batchgen.policies.stop import RULES, StopCause, StopReason
from batchgen.record import Status
from batchgen.runner.progress import WINDOW as RATE_WINDOW
from batchgen.runner.progress import Earlier, RollingRate, RunStats

DENIED = StopReason(cause=StopCause.DENIED, text="no access")
INTERRUPTED = StopReason(cause=StopCause.INTERRUPTED, text="Stopped by SIGINT.")


@pytest.fixture
def clock():
    """Seconds that pass when told to."""
    return FakeClock()


@pytest.fixture
def tally(clock):
    """The counts of a run of 100 tasks."""
    made = RunStats("run-1", "out/shop", patience=60.0, clock=clock)
    made.total = 100
    return made


def summary(tally, *, stopping=None, budget=None, pace=None):
    """The state as it is now."""
    return tally.snapshot(budget or Budget(None), pace or {}, stopping)


def count(tally, **numbers):
    """Count as many records of each status."""
    for status, number in numbers.items():
        for _ in range(number):
            tally.record(make_record(status=Status(status)))


class TestCounts:
    def test_every_record_counts_once(self, tally):
        """By its status; done is what has a record, now or earlier."""
        tally.earlier = Earlier(succeeded=20, filtered=2)
        count(tally, succeeded=3, filtered=1, failed=2)

        now = summary(tally)

        assert (now.succeeded, now.filtered, now.failed) == (3, 1, 2)
        assert (now.done, now.left) == (28, 72)

    def test_what_has_no_price_is_counted(self, tally):
        """An image, and what may have been billed: not a refusal, and nothing that has a price."""
        for status, price, maybe in (
            (Status.SUCCEEDED, None, 0),
            (Status.SUCCEEDED, 0.0, 0),
            (Status.FAILED, None, 1),
            (Status.FAILED, None, 0),
        ):
            tally.record(make_record(status=status, cost_usd=price, maybe_billed=maybe))

        assert summary(tally).unpriced == summary(tally).to_json()["unpriced"] == 2

    def test_retries_are_counted_and_throttled_ones_apart(self, tally):
        """The quota's refusals are not the service's faults."""
        for error in (
            Throttled("a", code="T"),
            Throttled("b", code="T"),
            ServiceFault("c", code="F"),
        ):
            tally.retry(Retry(task=make_task(), attempt=1, wait=1.0, error=error))

        assert (summary(tally).retried, summary(tally).throttled) == (3, 2)

    async def test_calls_in_flight_are_those_of_all_models(self, tally, clock):
        """Whatever holds a place at a pacer."""
        pacers = [Pacer(Pace(requests_per_minute=600.0), clock=clock) for _ in range(2)]

        async with pacers[0].slot(), pacers[1].slot():
            pace = {str(number): pacer.state() for number, pacer in enumerate(pacers)}
            assert summary(tally, pace=pace).in_flight == 2

    def test_the_longest_call_is_remembered(self, tally):
        """The deadline stops the handing-out by that much earlier."""
        for milliseconds in (2_000, 9_500, None, 3_000):
            tally.record(make_record(latency_ms=milliseconds))

        assert tally.longest_call == 9.5


class TestRates:
    def test_a_short_run_counts_from_its_start(self, tally, clock):
        """Ten images in half a minute are twenty a minute."""
        count(tally, succeeded=10, failed=5)
        clock.advance(30)

        now = summary(tally)

        assert now.images_per_minute == now.average_per_minute == 20.0
        assert now.time_left_s == pytest.approx(85 / 20 * 60)

    def test_a_long_run_shows_its_last_minutes(self, tally, clock):
        """The time left is at the present pace; the figures of the whole run are its average."""
        count(tally, succeeded=50)
        clock.advance(2 * RATE_WINDOW)
        count(tally, succeeded=10)

        now = summary(tally)

        assert now.images_per_minute == 10 * 60 / RATE_WINDOW
        assert now.average_per_minute == 60 * 60 / (2 * RATE_WINDOW)
        assert now.to_json()["images_per_minute"] == 6.0

    def test_nothing_made_has_no_rate_and_no_time_left(self, tally, clock):
        """Nor does a run that has only just begun divide by nothing."""
        assert (summary(tally).images_per_minute, summary(tally).time_left_s) == (0.0, None)
        assert summary(tally).average_per_minute == 0.0

        clock.advance(10)
        count(tally, filtered=3)

        assert summary(tally).time_left_s is None

    @given(st.lists(st.tuples(st.floats(0, 400), st.integers(1, 5)), max_size=40))
    def test_the_present_pace_is_that_of_a_window(self, steps):
        """Whatever the rhythm: images of the last five minutes over those minutes."""
        clock = FakeClock()
        tally, made = RunStats("r", "out", clock=clock), []
        for pause, images in steps:
            clock.advance(pause)
            count(tally, succeeded=images)
            made += [clock.now] * images

        elapsed = clock.now - 1_000.0
        window = min(elapsed, RATE_WINDOW)
        recent = [at for at in made if int(at) >= clock.now - RATE_WINDOW]
        rate = summary(tally).images_per_minute
        assert rate == (pytest.approx(len(recent) * 60 / window) if window else 0.0)


class TestLostService:
    def test_no_answer_for_too_long(self, tally, clock):
        """A service that has answered nothing but refusals for `patience` seconds is lost."""
        clock.advance(59)
        assert not tally.has_lost_service()
        clock.advance(1)
        assert tally.has_lost_service()

    @pytest.mark.parametrize("status", [s for s in Status if s != Status.SKIPPED])
    def test_any_record_is_an_answer(self, tally, clock, status):
        """A task that failed for its own sake says that the service is there."""
        clock.advance(59)
        count(tally, **{status: 1})
        clock.advance(59)

        assert not tally.has_lost_service()


class TestMoney:
    async def test_the_budgets_figures_are_shown(self, tally):
        """Billed, maybe billed and left come from where they are reserved and settled."""
        budget = Budget(Decimal(1), spent=Decimal("0.20"))
        await budget.reserve(Decimal("0.04"))
        await budget.settle(Decimal("0.04"), billed=Decimal("0.04"), maybe=Decimal(0))
        await budget.reserve(Decimal("0.04"))
        await budget.settle(Decimal("0.04"), billed=Decimal(0), maybe=Decimal("0.04"))
        tally.saved_usd = Decimal("0.80")

        fields = summary(tally, budget=budget).to_json()

        assert (fields["billed_usd"], fields["maybe_billed_usd"]) == (0.04, 0.04)
        assert (fields["saved_usd"], fields["budget_left_usd"]) == (0.8, 0.72)


class TestExitCode:
    def test_all_made(self, tally):
        """Now or in an earlier run: 0."""
        tally.earlier = Earlier(succeeded=40)
        count(tally, succeeded=60)

        assert summary(tally).exit_code == 0

    @pytest.mark.parametrize("status", ["failed", "filtered"])
    def test_something_failed(self, tally, status):
        """Finished, but not everything is there: 1."""
        count(tally, succeeded=99, **{status: 1})

        assert summary(tally).exit_code == 1

    def test_something_was_filtered_earlier(self, tally):
        """It is still not there: 1, though this run made all that it was to make."""
        tally.earlier = Earlier(succeeded=99, filtered=1)

        assert summary(tally).exit_code == 1

    @pytest.mark.parametrize("cause", StopCause)
    def test_a_run_that_stopped_early_tells_why(self, tally, cause):
        """By the contract: 3 to be resumed, 4 for a service that cannot be used, 130 and 143."""
        count(tally, succeeded=99)
        stopping = StopReason(cause=cause, text="so")

        code = summary(tally, stopping=stopping).exit_code

        assert code == RULES[cause].exit_code
        assert code in (3, 4, 130, 143)

    def test_a_stop_after_the_last_task_changes_nothing(self, tally):
        """Everything is there: 0."""
        count(tally, succeeded=100)

        assert summary(tally, stopping=INTERRUPTED).exit_code == 0

    def test_a_model_that_was_denied_to_the_last_task(self, tally):
        """Every task failed for one reason, which a person must mend: 4, not 1."""
        count(tally, failed=100)

        assert summary(tally, stopping=DENIED).exit_code == 4

    def test_it_is_part_of_the_json(self, tally):
        """The object can be stored, and has no surprises for a parser."""
        count(tally, succeeded=1)
        now = replace(summary(tally, stopping=INTERRUPTED), elapsed_s=1.23456)

        fields = json.loads(json.dumps(now.to_json(), allow_nan=False))

        assert fields["exit_code"] == 130
        assert fields["stopped"] == {"cause": "interrupted", "text": "Stopped by SIGINT."}
        assert fields["elapsed_s"] == 1.235
        assert fields["left"] == 99


def test_a_rate_that_nobody_asks_for_keeps_no_more_than_it_needs():
    """A quiet run of a night asks once, at its end."""
    rate = RollingRate(0.0)
    for second in range(36_000):
        rate.add(second)
    assert len(rate._seconds) <= RATE_WINDOW + 1
    assert rate.per_minute(36_000) == pytest.approx(60, rel=0.01)
