"""The figures of the pacing benchmark over HTTP, from ledgers that were made up."""

from dataclasses import replace

import pytest

from benchmarks.pacing_http import Course, Scenario, figures

COURSE = Course(quota=60, settled_s=70, fell_s=120, rose_s=360, end_s=600)


def entry(at, outcome="generated", program="program-0"):
    """What a simulator's ledger says of a call, as far as it counts."""
    return {"elapsed": at, "outcome": outcome, "model_id": program}


def every(seconds, start, end, program="program-0"):
    """Calls that are admitted at equal distances."""
    count = round((end - start) / seconds)
    return [entry(start + number * seconds, program=program) for number in range(count)]


def throttled(*instants):
    return [entry(at, "ThrottlingException") for at in instants]


def test_the_use_of_the_quota_counts_from_the_settled_minute_to_the_end():
    """What was used while the quota was searched for does not count, nor what comes after."""
    ledger = [*every(0.1, 5, 119), *every(1.25, 120, 700)]

    found = figures(Scenario(meter="sliding"), COURSE, ledger)

    assert found.used == pytest.approx(0.8)
    assert found.admitted_by_minute[2:] == (48,) * 8


def test_rejected_calls_are_shares_of_all_and_of_those_once_settled():
    """The calls that found the quota count in the one and not in the other."""
    ledger = [*every(1, 0, 599), *throttled(50.5, 51.5, 300.5, 650)]

    found = figures(Scenario(meter="fixed"), COURSE, ledger)

    assert found.rejected == 3 / 602
    assert found.rejected_settled == 1 / (1 + 479)
    assert found.rejected_at_s == (50.5, 51.5, 300.5)


def test_a_quota_that_halves_is_a_smaller_capacity():
    """All that is allowed is used: 100 %, however much that is."""
    ledger = [*every(1, 0, 120), *every(2, 120, 360), *every(1, 360, 600)]

    found = figures(Scenario(meter="bucket", steps=True), COURSE, ledger)

    assert found.used == 1
    assert found.back_min == (0, 0)
    assert found.judged()[1]


@pytest.mark.parametrize(("slow_s", "met"), [(150, True), (200, False)])
def test_a_step_is_over_when_the_quota_is_used_again(slow_s, met):
    """The next minute and all the rest count; in three minutes it is in time."""
    course, back = replace(COURSE, end_s=720), 360 + slow_s
    ledger = [*every(2, 0, back), *every(1, back, 720)]

    found = figures(Scenario(meter="bucket", steps=True), course, ledger)

    # 95 % of a minute are 57 calls: six of its seconds may have been slow.
    assert found.back_min == (0, pytest.approx((slow_s - 6) / 60, abs=1 / 60))
    assert found.judged()[1] is met


def test_a_quota_that_is_never_used_again_is_not_back():
    """A minute that happens to be full is not enough."""
    ledger = [*every(2, 0, 420), *every(1, 420, 480), *every(2, 480, 600)]

    found = figures(Scenario(meter="bucket", steps=True), COURSE, ledger)

    assert found.back_min[1] is None
    assert not found.judged()[1]


def test_two_programs_are_told_apart_and_settle_after_the_later_one():
    """The parts are of what was admitted once both had begun and settled."""
    ledger = [*every(1, 0, 180), *every(1.5, 180, 600), *every(3, 90, 600, "program-1")]

    found = figures(Scenario(meter="bucket", programs=2), COURSE, ledger)

    assert found.parts == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.used == pytest.approx(1)
    assert found.judged()[1]


def test_a_program_that_starves_misses_the_target():
    """The whole quota used is not enough if one has nearly all of it."""
    ledger = [*every(1, 0, 600), *every(10, 0, 600, "program-1")]

    found = figures(Scenario(meter="bucket", programs=2), COURSE, ledger)

    assert found.used > 0.95
    assert not found.judged()[1]


@pytest.mark.parametrize(
    ("scenario", "seconds", "rejected", "met"),
    [
        (Scenario(meter="bucket", known=True), 1.005, 0, True),
        (Scenario(meter="bucket", known=True), 1.005, 1, False),
        (Scenario(meter="bucket", known=True), 1.02, 0, False),
        (Scenario(meter="bucket"), 1.02, 3, True),
        (Scenario(meter="bucket"), 1.04, 3, False),
        (Scenario(meter="sliding"), 1.04, 3, True),
        (Scenario(meter="sliding"), 1.04, 9, False),
    ],
)
def test_targets(scenario, seconds, rejected, met):
    """A known quota: 99 %, none rejected; an unknown one: 97 % of a bucket, else 95 %, and 1 %."""
    ledger = [*every(seconds, 0, 600), *throttled(*range(100, 100 + rejected))]

    assert figures(scenario, COURSE, ledger).judged()[1] is met


def test_a_call_that_failed_otherwise_spoils_the_figures():
    """Where calls fail for another reason than the quota, its use says nothing of the pacer."""
    ledger = [*every(1, 0, 600), entry(3.5, "AccessDeniedException")]

    with pytest.raises(ValueError, match="another reason"):
        figures(Scenario(meter="bucket"), COURSE, ledger)
