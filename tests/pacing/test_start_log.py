"""What is known of the last minute takes a bounded memory, however many calls start in it."""

import math
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.pacing import window
from batchgen.pacing.window import WINDOW_S, Call, StartLog


def call(number, at):
    return Call(number=number, started_at=at, in_flight=1)


def started(rate, minutes):
    """When calls started that each took the earliest instant."""
    log, now, starts = StartLog(), 0.0, []
    while now < 60 * minutes:
        now = max(now, log.next_start(rate))
        starts.append(now)
        log.add(call(len(starts), now), rate)
    return log, starts


def test_thirty_thousand_a_minute_take_no_more_memory_than_thousands():
    """One entry a call would be 45,000 of them."""
    log = StartLog()
    for number in range(1, 60_001):
        log.add(call(number, number / 500), 30_000)
    assert len(log._entries) <= window._EXACT + 1_024
    assert log.reached(120.0) == pytest.approx(30_000, rel=0.01)
    assert log.next_start(30_000) == pytest.approx(120.5, abs=0.6)


@pytest.mark.parametrize("rate", [90, 600.5, 1_000])
def test_no_minute_holds_more_than_the_rate(monkeypatch, rate):
    """Entries that several calls share let none start early; they cost a little of the rate."""
    monkeypatch.setattr(window, "_EXACT", 50)
    monkeypatch.setattr(window, "_CLOSE_S", 90 / 100)
    log, starts = started(rate, 4)
    assert len(log._entries) <= 50 + 102
    for index, at in enumerate(starts):
        within = bisect_right(starts, at + WINDOW_S - 1e-6) - index
        assert within <= math.ceil(rate)
    assert len(starts) >= 0.96 * 4 * rate


@given(steps=st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.integers(0, 30)), max_size=200))
def test_a_call_that_was_refused_is_not_counted(steps):
    """Whichever of the last ones it was, and whether it shares an entry or not."""
    log, now, kept = StartLog(), 0.0, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "_EXACT", 5)
        patch.setattr(window, "_CLOSE_S", 2.0)
        for number, (after, refused, back) in enumerate(steps, 1):
            now += after
            log.add(call(number, now), 60)
            kept[number] = now
            if refused and (number - back) in kept:
                log.drop(call(number - back, kept.pop(number - back)))
    oldest = now - window._KEPT_S
    counted = log.between(-math.inf, math.inf)
    assert sum(at > oldest + 2 for at in kept.values()) <= counted
    assert counted <= sum(at >= oldest - 2 for at in kept.values())
    assert counted == log._calls
