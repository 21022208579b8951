import asyncio
import time
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from batchgen.policies.stop import Stop, StopCause
from batchgen.runner.deadline import Deadline, deadline_of, next_time, watch_deadline

FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
LAST_DAY = datetime(2037, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Hypothesis wants bounds without a zone."""
SIX = time_of_day(6)
HALF_PAST_TWO = time_of_day(2, 30)


@pytest.fixture
def zone(monkeypatch):
    """Puts this process into a time zone."""

    def enter(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield enter
    monkeypatch.undo()
    time.tzset()


def utc(*parts):
    """An instant."""
    return datetime(*parts, tzinfo=UTC)


class TestNextTime:
    def test_a_time_still_to_come_is_today(self, zone):
        """06:00 asked for at 02:00 is in four hours."""
        zone("UTC")

        assert utc(2026, 11, 21, 6) == next_time(SIX, utc(2026, 11, 21, 2))

    def test_a_time_that_is_over_is_tomorrow(self, zone):
        """06:00 asked for at 22:00 is in the morning."""
        zone("UTC")

        assert utc(2026, 11, 22, 6) == next_time(SIX, utc(2026, 11, 21, 22))

    def test_the_very_moment_is_over(self, zone):
        """A run that is started at 06:00 with --until 06:00 has a day."""
        zone("UTC")

        assert utc(2026, 11, 22, 6) == next_time(SIX, utc(2026, 11, 21, 6))

    def test_it_is_local_time(self, zone):
        """The user's clock on the wall counts, not UTC."""
        zone("Asia/Tokyo")

        assert utc(2026, 11, 21, 21) == next_time(SIX, utc(2026, 11, 21, 2))

    @pytest.mark.parametrize(
        ("evening", "morning"),
        [
            (utc(2026, 3, 28, 21), utc(2026, 3, 29, 4)),  # clocks go forward: seven hours
            (utc(2026, 10, 24, 20), utc(2026, 10, 25, 5)),  # and back: nine
        ],
    )
    def test_six_is_six_after_the_clocks_changed(self, zone, evening, morning):
        """The deadline is what clocks show that morning, however long the night was."""
        zone("Europe/Berlin")

        assert morning == next_time(SIX, evening)

    def test_a_time_that_comes_twice_counts_twice(self, zone):
        """Between the two 02:30 of an autumn night, the second is the next one."""
        zone("Europe/Berlin")
        first, second = utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)

        assert first == next_time(HALF_PAST_TWO, first - timedelta(minutes=1))
        assert second == next_time(HALF_PAST_TWO, first + timedelta(minutes=1))

    def test_a_time_that_is_skipped_is_as_long_after_midnight_as_ever(self, zone):
        """Where clocks jump from 02:00 to 03:00, 02:30 is two and a half hours after midnight."""
        zone("Europe/Berlin")
        midnight = utc(2026, 3, 28, 23)

        assert midnight + timedelta(hours=2.5) == next_time(HALF_PAST_TWO, midnight)

    @given(
        st.datetimes(FIRST_DAY, LAST_DAY, timezones=st.just(UTC)),
        st.times(),
    )
    def test_it_is_always_ahead_and_near(self, now, until):
        """The next such time is later than now and at most 26 hours away."""
        assert timedelta(0) < next_time(until, now) - now <= timedelta(hours=26)


class TestDeadlineOf:
    def test_none_without_a_limit(self):
        """A run without `until` and without a longest duration has no deadline."""
        assert deadline_of(None, None, utc(2026, 11, 21)) is None

    def test_the_earlier_one_counts(self, zone):
        """Of a time of day and a duration the first to come ends the run."""
        zone("UTC")
        now = utc(2026, 11, 21, 5)

        assert deadline_of(SIX, 7_200.0, now).text == "06:00"
        assert now.timestamp() + 60.0 == deadline_of(SIX, 60.0, now).at


class TestWatchDeadline:
    async def test_the_stop_comes_before_the_deadline(self):
        """Handing out stops early by what a call in flight still needs."""
        clock, stop = FakeClock(), Stop()

        await watch_deadline(
            Deadline(at=1_500.0, text="06:00"),
            stop,
            margin=lambda: 20.0,
            now=clock,
            sleep=clock.sleep,
        )

        assert clock.now == 1_480.0
        assert StopCause.DEADLINE is stop.stopping.cause
        assert "06:00" in stop.stopping.text

    async def test_the_margin_may_grow(self):
        """A call that takes longer than all before it moves the stop forward."""
        clock, stop = FakeClock(), Stop()

        await watch_deadline(
            Deadline(at=1_500.0, text="06:00"),
            stop,
            margin=lambda: 20.0 if clock.now < 1_200.0 else 300.0,
            now=clock,
            sleep=clock.sleep,
        )

        assert 1_200.0 <= clock.now <= 1_230.0

    async def test_a_clock_that_is_set_counts_at_once(self):
        """An hour set forward in mid-run is seen within 30 s, for the deadline is on the wall."""
        clock, stop = FakeClock(), Stop()

        async def sleep(seconds):
            await clock.sleep(seconds)
            if clock.now == 1_030.0:
                clock.advance(3_600.0)

        await watch_deadline(
            Deadline(at=5_000.0, text="06:00"), stop, margin=lambda: 0.0, now=clock, sleep=sleep
        )

        assert clock.now <= 5_030.0
        assert max(clock.slept) <= 30.0

    async def test_a_deadline_too_near_starts_nothing(self):
        """Where not one call would end in time, the sentence says so."""
        stop = Stop()

        async with asyncio.timeout(1):
            await watch_deadline(
                Deadline(at=1_010.0, text="06:00"), stop, margin=lambda: 30.0, now=FakeClock()
            )

        assert (
            stop.stopping.text
        ) == "The deadline 06:00 is too near for another call to end in time."
