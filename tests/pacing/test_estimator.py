"""The estimator: what it lets start, what it learns from refusals, and the figures it reaches."""

import itertools
import math
from collections import deque
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.pacing.estimator import Estimator
from batchgen.pacing.rate import Phase, Rate
from batchgen.pacing.window import MARGIN_S
from benchmarks.pacing import goals
from benchmarks.pacing.ours import Ours
from benchmarks.pacing.scenarios import ALGORITHMS, CAP, HOUR_S, METERS, plain, run
from benchmarks.pacing.servers import Bucket, InFlightCap, SlidingMinute, steady
from benchmarks.pacing.weather import Outages, Strays
from benchmarks.pacing.world import Network, World

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
    estimator.unsent(estimator.start(0.0), 0.1)
    assert estimator.in_flight == 0
    assert estimator.reached_per_minute(1.0) == 0


def test_a_search_doubles_and_refusals_end_it():
    """The quota is unknown until calls were refused in a row; then it is what the minute held."""
    estimator = Estimator(None, 1000)
    now, calls = 0.0, []
    while now < 60:
        now = max(now, estimator.next_start(now))
        calls.append(estimator.start(now))
    assert estimator.phase is Phase.SEARCHING
    assert estimator.allowed_per_minute() is None
    in_last_minute = sum(call.started_at > now - 60 for call in calls)
    for call in calls:
        estimator.admitted(call, now)
    for _ in range(3):
        now = max(now, estimator.next_start(now))
        estimator.throttled(estimator.start(now), now)
    assert estimator.phase is Phase.BACKING_OFF
    assert estimator.allowed_per_minute() == pytest.approx(in_last_minute, abs=2)


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


ROWS = {row.name: row for row in goals.ROWS}


def weather(name, seed=0):
    """One hour of one row of the goals."""
    return goals.measure(ROWS[name], goals.CLIENTS["ours"], seed)


def behind(meter, quota, wrapped, seed=0):
    """One hour with a quota that nobody told of, of a server behind something else."""
    row = goals.Row(
        name="behind",
        server=goals.metered(meter, steady(quota), lambda server, _: wrapped(server)),
        quota=quota,
    )
    return goals.measure(row, goals.CLIENTS["ours"], seed)


@pytest.mark.parametrize("meter", goals.SHORT.values())
def test_an_unknown_quota_is_found(meter):
    """From minute 5 on 97 % of the quota is used; the search and the tries cost little."""
    found = weather(f"plain {meter} 90 unknown", seed=1)
    assert found.used >= 0.97
    assert found.rejected <= 0.02


@pytest.mark.parametrize("quota", [3, 6, 10])
def test_a_very_small_quota_is_used_too(quota):
    """Tries are rare where each costs a percent of the hour."""
    found = weather(f"small sliding {quota} unknown")
    assert found.used >= 0.93
    assert found.rejected <= 0.02


@pytest.mark.parametrize("minute", [0, 20])
@pytest.mark.parametrize("known", ["told", "unknown"])
def test_an_outage_is_survived(minute, known):
    """After five minutes of nothing but 429 the quota is in use again within two minutes."""
    assert weather(f"outage at {minute} fixed {known}").used >= 0.93


@pytest.mark.parametrize("known", ["told", "unknown"])
def test_what_others_leave_is_used(known):
    """Others take all for 2 of every 10 minutes: most of the other 8 is ours, at few refusals."""
    found = weather(f"taken sliding {known}")
    assert found.used >= 0.8
    assert found.rejected <= 0.08


@pytest.mark.parametrize(("share", "used"), [("1%", 0.95), ("5%", 0.85)])
def test_strays_do_not_lower_a_told_quota(share, used):
    """A 429 that has nothing to do with the rate costs that call and little more."""
    found = weather(f"strays {share} sliding 90 told")
    assert found.used >= used
    assert found.rejected <= int(share[0]) / 100 + 0.01


def test_strays_that_ended_a_search_too_low_do_not_keep_it_there():
    """Once they show as noise the next try is free, whatever the search cost."""
    found = [weather("strays 5% fixed 90 unknown", seed) for seed in (0, 2)]
    assert min(each.used for each in found) >= 0.8


def test_a_level_that_was_not_used_is_not_the_one_before_it():
    """A step of a try that nobody made use of begins anew: what went through is the step before."""
    rate = Rate(None)
    rate.set(9.0, 0.0)
    rate.set(12.0, 60.0)
    assert not rate.kept(15.0, 120.0)
    assert (rate.previous, rate.level) == (9.0, 12.0)


def test_strays_at_a_small_told_quota_are_taken_for_noise_before_sharing():
    """Told 15, 5 % strays: every hour is used, though each cut there lasts long."""
    found = [weather("strays 5% sliding 15 told", seed) for seed in range(5)]
    assert min(each.used for each in found) >= 0.85
    assert fmean(each.rejected for each in found) <= 0.06


def test_a_one_token_bucket_of_three_a_minute_is_used():
    """A count of two or three calls is too coarse to lower a level by: it is trimmed."""
    assert weather("one token 3 unknown").used >= 0.85


@pytest.mark.parametrize("quota", [6, 10, 15])
def test_a_small_bucket_of_one_token_is_used_though_nobody_told_of_it(quota):
    """What a minute held when it refused is no bound where the distance between calls counts."""
    found = [weather(f"one token {quota} unknown", seed) for seed in range(3)]
    assert fmean(each.used for each in found) >= 0.85
    assert fmean(each.rejected for each in found) <= 0.03


@pytest.mark.parametrize("meter", METERS)
def test_a_small_minute_that_begins_with_two_strays_is_not_taken_for_one_token(meter):
    """Two refusals of nearly empty minutes look like it; a minute that is full again does not."""
    found = behind(meter, 15.0, lambda server: Strays(server, 0.0, Random(1), first=2))
    assert found.used >= 0.95
    assert found.rejected <= 0.03


@pytest.mark.parametrize(("at", "seconds"), [(25, 300), (45, 6), (45, 60), (60, 6)])
def test_an_outage_while_the_quota_is_searched_for_is_not_taken_for_it(at, seconds):
    """What the minute held when everything was refused is tried again, and soon."""
    span = (float(at), float(at + seconds))
    found = behind("sliding minute", 90.0, lambda server: Outages(server, [span]))
    assert found.used >= 0.75


@pytest.mark.parametrize("meter", METERS)
@pytest.mark.parametrize("quota", [1, 2])
def test_a_quota_of_one_or_two_a_minute_ends_a_search(meter, quota):
    """Calls that go through between blocks show that it is no outage."""
    found = behind(meter, float(quota), lambda server: server)
    assert found.used >= 0.95
    assert found.rejected <= 0.25


def test_two_strays_at_the_start_cost_no_time():
    """Told 200: five images whose first two calls are refused start within four seconds."""
    estimator = Estimator(200, 8)
    now, started = 0.0, []
    for number in range(7):
        now = max(now, estimator.next_start(now))
        call = estimator.start(now)
        started.append(now)
        if number < 2:
            estimator.throttled(call, now + 0.1)
    assert started[-1] <= 4
    assert estimator.allowed_per_minute() == 200


@pytest.mark.parametrize("cap", [3, 8, 64])
@pytest.mark.parametrize("known", ["unknown", "told 60000"])
def test_a_cap_on_calls_in_flight_is_told_apart_from_a_rate(cap, known):
    """Whatever rate was told, the places are kept full, and few calls are refused."""
    found = [weather(f"cap {cap} {known}", seed) for seed in range(2)]
    assert min(each.used for each in found) >= 0.93
    assert fmean(each.rejected for each in found) <= 0.03


@pytest.mark.parametrize(
    ("server", "rate", "least"),
    [(Bucket(steady(1200)), 1200, 0.9), (InFlightCap(8), 60_000, 0.65)],
)
def test_calls_of_less_than_a_second_use_what_there_is(server, rate, least):
    """As many are in flight as are served; a cap on them costs some refusals and no more."""
    near = Network(low_s=0.005, high_s=0.03, late_s=0.1)
    world = World(server, [(0.0, Ours(rate, 64))], seed=1, network=near, latency=(0.1, 0.9))
    world.run(300.0)
    ledger, measured = world.ledgers[0], (100.0, 300.0)
    used = sum(server.used(*call, *measured) for call in ledger.admitted)
    assert used >= least * server.capacity(*measured)
    assert len(ledger.rejected) <= 10


def test_a_quota_that_halves_and_comes_back_is_in_use_within_three_minutes():
    """Told or not, the level of before is tried again soon."""
    found = weather("halves, back, triples sliding 90 told")
    assert found.used >= 0.95
    assert found.rejected <= 0.02


@pytest.mark.parametrize("when", ["alike", "later"])
def test_two_programs_told_the_same_share_a_bucket(when):
    """Together they use all of it, and the smaller one does not starve."""
    found = weather(f"two {when} bucket told", seed=1)
    assert found.used >= 0.95
    assert found.smallest >= 0.35


@pytest.mark.parametrize("quota", [3, 6, 15])
def test_calls_of_a_small_told_quota_are_sent_further_apart_before_sharing(quota):
    """A bucket of one token refuses what the network brought too close together, and no more."""
    found = [weather(f"one token {quota} told", seed) for seed in range(3)]
    assert fmean(each.used for each in found) >= 0.85
    assert fmean(each.rejected for each in found) <= 0.05


def test_a_quota_that_fell_and_then_triples_is_found_though_tries_were_refused():
    """Tries while a quota is low are paid by their time: no debt of them keeps the next away."""
    found = [weather("halves, back, triples bucket 90 unknown", seed) for seed in range(2)]
    assert min(each.used for each in found) >= 0.9


def test_a_bucket_of_one_token_is_used_as_far_as_jitter_lets():
    """Messages up to 0.3 s late collide in it: less is used, and few calls are refused."""
    found = weather("one token 90 told")
    assert found.used >= 0.62
    assert found.rejected <= 0.1


@given(outcomes=st.lists(st.booleans(), min_size=1, max_size=300), told=st.none() | st.just(30.0))
@settings(max_examples=40, deadline=None)
def test_never_above_what_was_told_and_never_silent(outcomes, told):
    """Whatever is refused: no level above the told one; the next call is minutes off at most."""
    estimator = Estimator(told, 64)
    now, open_calls = 0.0, deque()
    for refused in outcomes:
        due = estimator.next_start(now)
        while due - now > 180 and open_calls:  # all places are taken
            estimator.admitted(open_calls.popleft(), now)
            due = estimator.next_start(now)
        assert due - now <= 180
        now = max(now, due)
        if estimator.next_start(now) > now:
            continue
        call = estimator.start(now)
        now += 0.1
        if refused:
            estimator.throttled(call, now)
        else:
            open_calls.append(call)
        level = estimator.allowed_per_minute()
        assert level is None or 0.5 <= level <= (told or math.inf)


@pytest.mark.parametrize("told", [None, 90.0])
def test_what_an_earlier_run_proved_is_where_a_search_begins(told):
    """A quota that was given is believed all the same."""
    estimator = Estimator(told, 64, proven=45.0)
    estimator.start(0.0)
    assert estimator.next_start(0.0) == pytest.approx(60.5 / (told or 45.0))


def test_a_lowered_pace_has_a_reason():
    """Below the quota that was given, somebody can say why."""
    estimator = Estimator(90, 64)
    assert estimator.reason() is None
    now = 0.0
    for _ in range(4):
        now = max(now, estimator.next_start(now))
        estimator.throttled(estimator.start(now), now + 0.1)
    assert estimator.reason() == "waiting after refusals"


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
    assert len(ours.rejected) <= 60


def test_the_pacer_is_ahead_of_the_others_on_both_counts():
    """More of the quota used, on average, and fewer calls rejected, with equal servers and seed."""
    servers = [plain("sliding minute", 90), plain("fixed minute", 90), CAP]
    ours = [run(scenario, UNKNOWN, seed=7) for scenario in servers]
    for name in ("Netflix AIMD on concurrency", "rclone's pacer", "AWS SDK adaptive mode"):
        theirs = [run(scenario, ALGORITHMS[name], seed=7) for scenario in servers]
        assert fmean(one.used for one in ours) > fmean(one.used for one in theirs)
        assert sum(one.rejected for one in ours) < sum(one.rejected for one in theirs) / 20


def test_the_benchmark_gives_the_same_figures_each_time():
    """Simulated and seeded: a row is the same whenever it is measured."""
    assert weather("plain sliding 15 told", 3) == weather("plain sliding 15 told", 3)
