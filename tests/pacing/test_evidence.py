"""The sequential test of refusals, the share refused, and the budget for tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.pacing.evidence import MANY, ONE, SEVERAL, TWO, Evidence, Levels, Share, TryBudget


def told_of(refusals, calls, noise=0.0):
    """The odds after so many refusals, spread evenly among so many admitted calls."""
    evidence = Evidence()
    evidence.noise = noise
    for number in range(refusals):
        evidence.refused()
        if number < refusals - 1:
            for _ in range(calls // (refusals - 1)):
                evidence.call()
    return evidence.odds


@pytest.mark.parametrize(
    ("refusals", "close", "apart", "odds"),
    [(2, 8, 9, TWO), (3, 12, 14, SEVERAL), (4, 15, 18, MANY)],
)
def test_refusals_close_together_are_about_the_rate(refusals, close, apart, odds):
    """Two within eight calls, three within thirteen, four within sixteen; not further apart."""
    assert told_of(refusals, close) >= odds
    assert told_of(refusals, apart) < odds


def test_one_refusal_is_enough_for_some_questions_until_there_is_noise():
    """Once strays are known, a single refusal never blames the rate."""
    assert ONE <= told_of(1, 0) < TWO
    assert told_of(1, 0, noise=0.015) < ONE


@given(outcomes=st.lists(st.booleans(), max_size=200), noise=st.floats(0, 0.08))
def test_odds_rise_with_refusals_and_fall_with_calls_and_never_below_zero(outcomes, noise):
    """However long nothing was refused, a change of the quota is seen as soon as ever."""
    evidence = Evidence()
    evidence.noise = noise
    for refused in outcomes:
        before = evidence.odds
        if refused:
            evidence.refused()
            assert evidence.odds > before
        else:
            evidence.call()
            assert 0 <= evidence.odds <= before
    evidence.clear()
    assert evidence.odds == 0


def test_the_share_refused_follows_a_change_and_starts_at_nothing():
    """One in twenty is 5 %, and after five memories of nothing refused next to nothing is left."""
    share = Share(100)
    assert share.value == 0
    for number in range(1000):
        share.call()
        if number % 20 == 19:
            share.refused()
    assert share.value == pytest.approx(0.05, abs=0.006)
    for _ in range(500):
        share.call()
    assert share.value < 0.001


def calls_until_allowed(budget, level):
    """Calls until a try can be paid."""
    calls = 0
    while not budget.allows:
        budget.call(level)
        calls += 1
    return calls


@pytest.mark.parametrize(("level", "calls"), [(15.0, 526), (30.0, 350), (90.0, 233), (1500.0, 179)])
def test_a_refusal_is_paid_by_the_calls_admitted_since(level, calls):
    """One for about 175 calls, for twice as many at 30 a minute, and for three times at 15."""
    budget = TryBudget()
    assert budget.allows
    budget.refused()
    assert calls_until_allowed(budget, level) == pytest.approx(calls, abs=2)


def test_noise_is_no_price_of_a_try():
    """What strays refuse in the course of tries is given back: only what comes on top is paid."""
    budget = TryBudget()
    for number in range(1, 401):
        budget.call(90.0, noise=0.05)
        if number % 20 == 0:
            budget.refused()
    assert budget.allows


def test_a_bad_hour_is_forgotten_and_no_more_than_one_try_is_saved_up():
    """A hundred refusals cost no more than three tries; a long calm saves one."""
    budget = TryBudget()
    for _ in range(100):
        budget.refused()
    assert calls_until_allowed(budget, 1500.0) <= 540
    for _ in range(10_000):
        budget.call(1500.0)
    budget.refused()
    assert budget.allows
    budget.refused()
    assert not budget.allows


def seen(*held):
    """What is shown by levels held for so many calls, every so many of which is refused."""
    levels = Levels()
    for level, calls, every in held:
        for number in range(1, calls + 1):
            levels.call(level)
            if every and number % every == 0:
                levels.refused()
    return levels.noise()


@pytest.mark.parametrize("every", [14, 20, 30])
def test_refusals_that_do_not_fall_with_the_level_are_noise(every):
    """As frequent at a third less: noise of about that share, and the quota is above that."""
    share, quota = seen((90.0, 100, every), (75.0, 100, every), (60.0, 200, every))
    assert share == pytest.approx(1 / every, abs=0.02)
    assert quota > 80


def test_refusals_that_end_at_a_lower_level_are_no_noise():
    """A tenth refused at 100 and none at 88: the rate was the reason. Nor is a calm hour."""
    assert seen((100.0, 100, 10), (88.0, 300, 0)) is None
    assert seen((90.0, 600, 0)) is None
    assert seen() is None


def test_refusals_at_a_single_level_show_nothing():
    """A level a little too high and noise look the same until another level is tried."""
    assert seen((90.0, 600, 20)) is None


def test_refusals_at_two_levels_side_by_side_show_nothing():
    """A bucket that is left with a few percent too much refuses nearly the same share at both."""
    assert seen((94.0, 300, 20), (90.0, 300, 20)) is None
