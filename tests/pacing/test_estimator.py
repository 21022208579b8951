"""The estimator: what it lets start, what it learns from refusals, and the figures it reaches."""

import itertools
import math
from collections import deque
from pathlib import Path
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.pacing.estimator import Estimator
from batchgen.pacing.rate import Phase
from batchgen.pacing.window import MARGIN_S
from benchmarks.pacing import tables
from benchmarks.pacing.__main__ import DOCUMENT, PLOT, PLOT_SEED, QUOTAS, SEEDS, figures
from benchmarks.pacing.ours import Ours
from benchmarks.pacing.plot import step_plot
from benchmarks.pacing.scenarios import (
    ALGORITHMS,
    CAP,
    FELL_S,
    HOUR_S,
    METERS,
    ROSE_S,
    plain,
    run,
    shared,
    stepping,
)
from benchmarks.pacing.servers import SlidingMinute, steady
from benchmarks.pacing.world import World

ROOT = Path(__file__).parents[2]
UNKNOWN = ALGORITHMS["ours, quota unknown"]


def starts(estimator, until, lateness=lambda: 0.0, call_s=5.0):
    """The instants when calls start for a caller that wakes up late and always has work."""
    now, in_flight, instants = 0.0, deque(), []
    while True:
        now = max(now, estimator.next_start(now)) + lateness()
        while in_flight and in_flight[0].started_at + call_s <= now:
            call = in_flight.popleft()
            estimator.admitted(call, call.started_at + call_s)
        if now >= until:
            return instants
        if estimator.next_start(now) <= now:
            in_flight.append(estimator.start(now))
            instants.append(now)


@given(
    quota=st.sampled_from([1, 6, 10, 15, 60, 90]),
    late=st.lists(st.sampled_from([0.0, 0.001, 0.05, 0.7, 5.0, 40.0]), min_size=1),
    delays=st.lists(st.floats(0, MARGIN_S), min_size=1),
)
@settings(max_examples=60)
def test_no_minute_of_the_meter_holds_more_than_a_known_quota(quota, late, delays):
    """However late a caller wakes up and messages are (within the margin), nothing is rejected."""
    lateness = itertools.cycle(late)
    delay = itertools.cycle(delays)
    instants = starts(Estimator(quota, 1000), 600, lambda: next(lateness))
    meter = SlidingMinute(steady(quota))
    arrivals = sorted(instant + next(delay) for instant in instants)
    assert all(meter.admits(arrival) for arrival in arrivals)


@pytest.mark.parametrize("quota", [10, 90, 600])
def test_late_wake_ups_do_not_add_up(quota):
    """A caller that wakes up 10 ms late each time still uses 99 % of the quota."""
    instants = starts(Estimator(quota, 1000), HOUR_S, lambda: 0.01)
    assert len(instants) >= 0.99 * quota * 60


def test_after_a_pause_of_the_caller_calls_keep_their_distance():
    """Nobody asked for a while: no burst makes up for it."""
    estimator = Estimator(60, 1000)
    estimator.admitted(estimator.start(0.0), 1.0)
    first = estimator.start(600.0)
    assert estimator.next_start(600.0) - first.started_at > 0.5


def test_one_cut_per_episode():
    """A 429 of a call that started before the last correction says nothing new."""
    estimator = Estimator(None, 1000)
    calls = []
    now = 0.0
    while len(calls) < 40:
        now = max(now, estimator.next_start(now))
        calls.append(estimator.start(now))
    estimator.throttled(calls[-3], now + 0.1)
    corrected = estimator.allowed_per_minute()
    estimator.throttled(calls[-2], now + 0.2)
    estimator.throttled(calls[-1], now + 0.3)
    assert estimator.allowed_per_minute() == corrected


def test_a_call_that_never_reached_the_service_is_not_counted():
    """Neither the place nor the quota of an unsent call is lost."""
    estimator = Estimator(1, 1)
    estimator.unsent(estimator.start(0.0))
    assert estimator.in_flight == 0
    assert estimator.reached_per_minute(1.0) == 0


def test_a_search_doubles_and_a_refusal_ends_it():
    """The quota is unknown until calls were refused; then it is what the last minute held."""
    estimator = Estimator(None, 1000)
    now, calls = 0.0, []
    while now < 60:
        now = max(now, estimator.next_start(now))
        calls.append(estimator.start(now))
    assert estimator.phase(now) is Phase.SEARCHING
    assert estimator.allowed_per_minute() is None
    in_last_minute = sum(call.started_at > now - 60 for call in calls[:-1])
    estimator.throttled(calls[-1], now + 0.1)
    assert estimator.phase(now + 0.1) is Phase.BLOCKED
    assert estimator.allowed_per_minute() == pytest.approx(in_last_minute, abs=1)


@pytest.mark.parametrize("allowed", [0.5, 2, 90])
def test_a_known_quota_is_never_exceeded_by_the_estimate(allowed):
    """Refusals lower the rate of a known quota, and nothing raises it above."""
    estimator = Estimator(allowed, 1000)
    now = 0.0
    for turn in range(200):
        now = max(now, estimator.next_start(now))
        call = estimator.start(now)
        (estimator.throttled if turn % 7 == 0 else estimator.admitted)(call, now + 0.1)
        assert estimator.allowed_per_minute() <= allowed


def test_nothing_but_refusals_slows_down_and_never_ends():
    """Five minutes of 429s cost few calls; the estimator keeps asking."""
    estimator = Estimator(90, 1000)
    now, calls = 0.0, 0
    while now < 300:
        due = estimator.next_start(now)
        assert due < math.inf
        now = max(now, due)
        estimator.throttled(estimator.start(now), now + 0.1)
        calls += 1
    assert calls < 30


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("quota", [10.0, 90.0])
def test_a_known_quota_is_used_without_a_rejected_call(meter, quota):
    """At least 99 % from the start, 0 rejected, for every meter."""
    one = run(plain(meter, quota), Ours, seed=7)
    assert one.rejected == 0
    assert one.used >= 0.99


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("quota", [15.0, 60.0, 90.0])
def test_an_unknown_quota_is_found(meter, quota):
    """After five minutes 97 % of a bucket and 95 % of a minute is used; at most 1 % is rejected."""
    runs = [run(plain(meter, quota), UNKNOWN, seed) for seed in (7, 8)]
    assert min(one.used for one in runs) >= (0.97 if meter == "bucket" else 0.95)
    if quota >= 60:
        assert max(one.rejected_share for one in runs) <= 0.01


@pytest.mark.parametrize("quota", [6.0, 10.0])
def test_a_very_small_quota_is_used_too(quota):
    """A quota of a call every ten seconds, too, is used to 95 %; its first search costs more."""
    runs = [run(plain(meter, quota), UNKNOWN, seed=9) for meter in METERS]
    assert min(one.used for one in runs) >= 0.95
    assert max(one.rejected for one in runs) <= 12


def test_a_large_quota_is_found_in_five_minutes():
    """600 calls a minute, from 6."""
    one = run(plain("fixed minute", 600), UNKNOWN, seed=7)
    assert one.used >= 0.95
    assert one.rejected_share <= 0.01


@pytest.mark.parametrize("meter", METERS)
def test_a_quota_that_halves_and_comes_back_is_followed_within_three_minutes(meter):
    """From the third minute after each change the new quota is used."""
    one = run(stepping(meter, 90), UNKNOWN, seed=7)
    ledger = one.ledgers[0]
    assert ledger.calls(FELL_S + 180, FELL_S + 480) >= 0.95 * 45 * 5
    assert ledger.refused(FELL_S + 180, FELL_S + 480) <= 10
    assert ledger.calls(ROSE_S + 180, ROSE_S + 480) >= 0.95 * 90 * 5
    assert one.rejected_share <= 0.012


@pytest.mark.parametrize("meter", METERS)
def test_a_quota_that_halves_soon_after_it_was_found_is_followed_as_well(meter):
    """What was used for a minute is what the quota usually is: it is tried for again."""
    for seed in (1, 22):
        one = run(stepping(meter, 90, 360.0, 660.0), UNKNOWN, seed)
        assert one.ledgers[0].calls(660 + 180, 660 + 480) >= 0.95 * 90 * 5


@pytest.mark.parametrize("meter", METERS)
def test_two_programs_share_a_quota(meter):
    """Together they use 95 % of it, and neither starves."""
    runs = [run(shared(meter, 90), UNKNOWN, seed) for seed in (7, 8)]
    assert fmean(one.used for one in runs) >= 0.95
    assert min(one.smallest for one in runs) >= 0.3


class OtherProgram:
    """Calls every two seconds between two instants, whatever happens: 30 a minute."""

    def __init__(self, start, end):
        self._next = start
        self._end = end

    def next_start(self, now):
        del now
        return self._next if self._next < self._end else math.inf

    def started(self, now):
        self._next = max(self._next, now) + 2

    def served(self, call, now):
        pass

    def throttled(self, call, now):
        pass


@pytest.mark.parametrize("meter", METERS)
def test_a_known_quota_makes_room_for_another_program_and_takes_it_back(meter):
    """Downward while somebody else uses the quota, and back when he is gone."""
    server = plain(meter, 90).server(Random(3))
    world = World(server, [(0.0, Ours(90)), (0.0, OtherProgram(1200, 2400))], seed=3)
    world.run(HOUR_S)
    ours, other = world.ledgers
    assert other.calls(1500, 2400) >= 0.9 * 30 * 15
    assert ours.calls(1500, 2400) >= 0.85 * 60 * 15
    assert ours.calls(2700, 3600) >= 0.95 * 90 * 15
    assert len(ours.rejected) <= 40


def test_a_cap_on_calls_in_flight_is_recognised():
    """Eight places: they are kept full, and the rate is not blamed."""
    one = run(CAP, UNKNOWN, seed=7)
    assert one.used >= 0.95
    assert one.rejected_share <= 0.01


def test_the_pacer_is_ahead_of_the_others_on_both_counts():
    """More of the quota used, on average, and fewer calls rejected, with equal servers and seed."""
    servers = [plain("sliding minute", 90), plain("fixed minute", 90), CAP]
    ours = [run(scenario, UNKNOWN, seed=7) for scenario in servers]
    for name in ("Netflix AIMD on concurrency", "rclone's pacer", "AWS SDK adaptive mode"):
        theirs = [run(scenario, ALGORITHMS[name], seed=7) for scenario in servers]
        assert fmean(one.used for one in ours) > fmean(one.used for one in theirs)
        assert sum(one.rejected for one in ours) < sum(one.rejected for one in theirs) / 20


def test_the_benchmark_gives_the_same_figures_each_time():
    """Simulated and seeded: a table is the same whenever it is made."""
    assert tables.by_quota([1], [10.0]) == tables.by_quota([1], [10.0])


def test_the_plot_in_the_documents_is_what_the_benchmark_draws():
    """docs/pacing-step.svg shows the pacer as it is."""
    assert (ROOT / PLOT).read_text(encoding="utf-8") == step_plot(PLOT_SEED)


@pytest.mark.long
def test_the_tables_in_the_documents_are_what_the_benchmark_prints():
    """docs/pacing.md shows the figures of the pacer as it is."""
    document = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    for name, table in figures(SEEDS, QUOTAS):
        assert f"<!-- {name} -->\n{table}\n<!-- end of {name} -->" in document
