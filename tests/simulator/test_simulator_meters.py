"""The three meters: what they may never let through, and what they must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.simulator.quota import FixedMinute, SlidingMinute, TokenBucket

GAPS = st.lists(st.floats(0, 90), min_size=1, max_size=80)
RPM = st.integers(1, 20)


def times(gaps):
    """Moments with these gaps between them."""
    now = 1000.0
    for gap in gaps:
        now += gap
        yield now


def admitted(meter, moments):
    """The moments at which a call passes."""
    return [moment for moment in moments if meter.admit(moment)]


@given(RPM, GAPS, st.booleans())
def test_no_sixty_seconds_ever_see_more_than_the_quota_of_a_sliding_minute(rpm, gaps, counted):
    """At every moment, not only at the start of minutes."""
    passed = admitted(SlidingMinute(rpm, count_rejected=counted), times(gaps))

    for start in passed:
        assert sum(start <= moment < start + 60 - 1e-6 for moment in passed) <= rpm


@given(RPM, GAPS, st.booleans())
def test_no_minute_of_the_clock_sees_more_than_the_quota_of_a_fixed_minute(rpm, gaps, counted):
    """But two minutes may meet with twice as many."""
    passed = admitted(FixedMinute(rpm, count_rejected=counted), times(gaps))

    for start in passed:
        assert sum(moment // 60 == start // 60 for moment in passed) <= rpm


@given(RPM, st.integers(1, 30), GAPS, st.booleans())
def test_a_bucket_never_gives_more_than_it_holds_and_what_flows_in(rpm, capacity, gaps, counted):
    """Between any two of its calls."""
    bucket = TokenBucket(rpm, capacity=capacity, count_rejected=counted)
    passed = admitted(bucket, times(gaps))

    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= capacity + rpm / 60 * (end - start) + 1e-6


@pytest.mark.parametrize("meter", [TokenBucket, FixedMinute, SlidingMinute])
@pytest.mark.parametrize("rpm", [1, 10, 90, 600])
def test_calls_spread_evenly_at_the_quota_all_pass(meter, rpm):
    """For an hour, to the last one."""
    limit = meter(rpm)

    assert all(limit.admit(number * 60 / rpm) for number in range(rpm * 60))


@pytest.mark.parametrize("meter", [TokenBucket, FixedMinute, SlidingMinute])
def test_a_burst_of_one_minutes_quota_passes_and_no_more(meter):
    """Whatever meters it, the first minute's calls may all come at once."""
    limit = meter(10)

    assert [limit.admit(1.0) for _ in range(12)] == [True] * 10 + [False] * 2


@pytest.mark.parametrize("meter", [TokenBucket, FixedMinute, SlidingMinute])
def test_a_quota_of_nothing_lets_nothing_through(meter):
    """As new accounts may have it."""
    limit = meter(0)

    assert not any(limit.admit(float(now)) for now in range(0, 600, 7))


@pytest.mark.parametrize("meter", [TokenBucket, FixedMinute, SlidingMinute])
def test_rejected_calls_use_up_quota_only_if_they_count(meter):
    """Hammering then keeps the gate shut."""
    patient, strict = meter(1), meter(1, count_rejected=True)
    hammer = [second / 2 for second in range(239)]

    assert len(admitted(patient, hammer)) == 2
    assert len(admitted(strict, hammer)) == (2 if meter is FixedMinute else 1)


@pytest.mark.parametrize("meter", [TokenBucket, FixedMinute, SlidingMinute])
def test_a_lower_quota_counts_at_once(meter):
    """From the moment of the change."""
    limit = meter(60)
    limit.retune(6, 0.0)

    assert len(admitted(limit, [second / 100 for second in range(100)])) == 6


def test_less_than_one_call_a_minute_still_passes_now_and_then():
    """A bucket fills up to one call, however long that takes."""
    bucket = TokenBucket(0.5)

    assert [bucket.admit(now) for now in (0.0, 60.0, 120.0, 180.0)] == [True, False, True, False]
