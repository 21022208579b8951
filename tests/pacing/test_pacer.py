"""The asyncio pacer: turns, places, outcomes, stopping; in virtual time."""

import asyncio
import itertools
import math
from random import Random

import pytest
from virtual_time import virtual_time

from batchgen import errors
from batchgen.pacing import Pace, Pacer, SharedLimit, paced
from batchgen.pacing.pacer import RETRY_AFTER_MOST
from benchmarks.pacing.servers import FixedMinute, SlidingMinute, steady
from benchmarks.pacing.world import Network

THROTTLED = errors.Throttled("Too many requests", code="ThrottlingException")
UNAVAILABLE = errors.Unavailable("Busy", code="ServiceUnavailableException")
NEVER_SENT = errors.NeverSent("Connection refused", code="ConnectionRefusedError")


def make_pacer(per_minute=60.0, concurrency=1000):
    pace = Pace(requests_per_minute=per_minute, concurrency=concurrency)
    return Pacer(pace, clock=asyncio.get_running_loop().time)


class Calls:
    """A `generate` that takes `seconds` and ends as the script says; None is a success."""

    def __init__(self, seconds=10.0, script=()):
        self.seconds = seconds
        self.script = list(script)
        self.started = []
        self.ended = []

    async def __call__(self, attempt):
        loop = asyncio.get_running_loop()
        self.started.append((attempt, loop.time()))
        await asyncio.sleep(self.seconds)
        self.ended.append(attempt)
        outcome = self.script.pop(0) if self.script else None
        if outcome is not None:
            raise outcome
        return f"image of {attempt}"

    @property
    def instants(self):
        return [at for _, at in self.started]


async def outcome_of(generate, attempt):
    try:
        return await generate(attempt)
    except errors.BatchgenError as error:
        return error


async def settle():
    """Let everybody run who can without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


@virtual_time
async def test_calls_are_spread_evenly_from_the_start():
    """No burst at the start of a minute: each call starts an interval after the one before."""
    generate = Calls()
    pacer = make_pacer(90)
    await asyncio.gather(*map(paced(generate, pacer), range(270)))
    gaps = [late - early for early, late in itertools.pairwise(generate.instants)]
    assert generate.instants[0] == 0
    assert all(60 / 90 * 0.75 < gap < 60 / 90 * 1.02 for gap in gaps)


@virtual_time
async def test_turns_are_given_in_the_order_of_asking():
    """First come, first served."""
    generate = Calls()
    attempt_when_due = paced(generate, make_pacer())
    await asyncio.gather(*map(attempt_when_due, range(20)))
    assert [attempt for attempt, _ in generate.started] == list(range(20))


@virtual_time
async def test_the_value_and_the_error_of_an_attempt_come_through():
    """`paced` changes when an attempt starts, not what it gives."""
    generate = paced(Calls(script=[None, THROTTLED]), make_pacer())
    assert await generate("mug") == "image of mug"
    with pytest.raises(errors.Throttled):
        await generate("lamp")


@virtual_time
async def test_no_more_calls_are_in_flight_than_the_user_allows():
    """The concurrency is a hard cap, and a place that becomes free is taken at once."""
    generate = Calls(seconds=30)
    pacer = make_pacer(6000, concurrency=8)
    most = 0

    async def watched(attempt):
        nonlocal most
        most = max(most, pacer.state().in_flight)
        return await generate(attempt)

    await asyncio.gather(*map(paced(watched, pacer), range(80)))
    assert most == 8
    assert asyncio.get_running_loop().time() < 10 * 30 + 1.5


@virtual_time
async def test_stopping_sends_home_who_waits_at_once_and_lets_calls_go_on():
    """After `stop` nobody starts, nobody waits, and what is in flight ends as ever."""
    generate = Calls(seconds=20)
    pacer = make_pacer(60)
    attempts = [asyncio.create_task(outcome_of(paced(generate, pacer), n)) for n in range(10)]
    await asyncio.sleep(2.5)
    in_flight = pacer.state().in_flight
    pacer.stop()
    await settle()
    waiting = [task.result() for task in attempts if task.done()]
    assert len(waiting) == 10 - in_flight
    assert all(isinstance(result, errors.NotStarted) for result in waiting)
    assert pacer.state().waiting == 0
    assert pacer.state().phase == "stopped"
    with pytest.raises(errors.NotStarted):
        await paced(generate, pacer)("late")
    await asyncio.gather(*attempts)
    assert generate.ended == list(range(in_flight))
    assert pacer.ready_in() == math.inf


@virtual_time
async def test_a_cancelled_waiter_gives_its_turn_to_the_next():
    """Nobody behind a cancelled attempt waits longer for it."""
    generate = Calls()
    tasks = [asyncio.create_task(outcome_of(paced(generate, make), n)) for make, n in numbered(6)]
    await settle()
    for task in tasks[1:4]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [attempt for attempt, _ in generate.started] == [0, 4, 5]
    assert generate.instants[-1] < 2.1


def numbered(count):
    pacer = make_pacer(60)
    return [(pacer, number) for number in range(count)]


@virtual_time
async def test_a_turn_that_was_given_to_a_cancelled_attempt_is_not_lost():
    """Cancelled between its turn and its start, an attempt leaves no place taken behind."""
    pacer = make_pacer(60, concurrency=2)
    await paced(Calls(seconds=5), pacer)("first")
    second, third = Calls(), Calls()
    cancelled = asyncio.create_task(outcome_of(paced(second, pacer), "second"))
    last = asyncio.create_task(outcome_of(paced(third, pacer), "third"))
    pacer._estimator.start(asyncio.get_running_loop().time())
    await settle()
    assert pacer.state().waiting == 2
    asyncio.get_running_loop().pass_time(2)
    pacer._hand_out()
    cancelled.cancel()
    await asyncio.gather(cancelled, last, return_exceptions=True)
    assert cancelled.cancelled()
    assert second.started == []
    assert [attempt for attempt, _ in third.started] == ["third"]
    assert pacer.state().in_flight == 1
    assert pacer.state().started == 2


@virtual_time
async def test_outcomes_are_told_apart():
    """A 429 is the quota's, a 503 is capacity's, a call that was never sent is nobody's."""
    pacer = make_pacer(600, concurrency=64)
    filtered = errors.Filtered("No", code="CONTENT_FILTERED")
    script = [THROTTLED, UNAVAILABLE, NEVER_SENT, filtered, None]
    generate = paced(Calls(seconds=1, script=script), pacer)
    await asyncio.gather(*(outcome_of(generate, n) for n in range(5)))
    state = pacer.state()
    assert (state.throttled, state.unavailable, state.started) == (1, 1, 5)
    assert state.reached_per_minute == 3


@virtual_time
async def test_lack_of_capacity_shrinks_concurrency_and_not_the_rate():
    """503s halve the places, the allowed rate stays, and served calls bring the places back."""
    pacer = make_pacer(600, concurrency=16)
    await asyncio.gather(*(outcome_of(paced(Calls(seconds=5), pacer), n) for n in range(16)))
    busy = paced(Calls(seconds=5, script=[UNAVAILABLE] * 16), pacer)
    await asyncio.gather(*(outcome_of(busy, n) for n in range(16)))
    assert pacer.state().concurrency == 8
    assert pacer.state().allowed_per_minute == 600
    await asyncio.gather(*(outcome_of(paced(Calls(seconds=5), pacer), n) for n in range(150)))
    assert pacer.state().concurrency == 16


@virtual_time
async def test_capacity_that_is_gone_is_asked_for_ever_more_rarely():
    """Ten minutes of nothing but 503 cost few calls, and the first success ends it."""
    pacer = make_pacer(600, concurrency=16)
    calls = Calls(seconds=0.2, script=[UNAVAILABLE] * 10_000)
    generate = paced(calls, pacer)
    while asyncio.get_running_loop().time() < 600:
        await outcome_of(generate, "mug")
    assert len(calls.started) < 40
    calls.script.clear()
    await outcome_of(generate, "mug")
    begin = asyncio.get_running_loop().time()
    await outcome_of(generate, "mug")
    assert asyncio.get_running_loop().time() - begin < 1


@virtual_time
async def test_a_blocked_loop_makes_no_burst():
    """After 20 s without a wake-up the calls go on at their distance: none are made up for."""
    generate = Calls()
    pacer = make_pacer(60)
    tasks = [asyncio.create_task(paced(generate, pacer)(n)) for n in range(90)]
    await asyncio.sleep(10)
    asyncio.get_running_loop().pass_time(20)
    await asyncio.gather(*tasks)
    gaps = [late - early for early, late in itertools.pairwise(generate.instants)]
    assert min(gaps) > 0.5
    for first, more in zip(generate.instants, generate.instants[60:], strict=False):
        assert more - first > 60


@virtual_time
async def test_nobody_polls():
    """An attempt that waits a minute sets one timer, however many wait behind it."""
    loop = asyncio.get_running_loop()
    timers = []
    call_later = loop.call_later
    loop.call_later = lambda *args: (timers.append(args[0]), call_later(*args))[1]
    pacer = make_pacer(1)
    generate = paced(Calls(seconds=1), pacer)
    await generate(0)
    timers.clear()
    tasks = [asyncio.create_task(outcome_of(generate, n)) for n in range(50)]
    await asyncio.sleep(50)
    assert [delay for delay in timers if delay != 50] == [pytest.approx(59.5)]
    pacer.stop()
    await asyncio.gather(*tasks)


@virtual_time
async def test_the_state_says_how_things_stand():
    """Figures for the progress line: rates, share, places, who waits."""
    pacer = make_pacer(60, concurrency=5)
    tasks = [asyncio.create_task(paced(Calls(seconds=100), pacer)(n)) for n in range(12)]
    await asyncio.sleep(30)
    state = pacer.state()
    assert state.phase == "steady"
    assert state.allowed_per_minute == 60
    assert (state.in_flight, state.waiting, state.concurrency, state.started) == (5, 7, 5, 5)
    assert state.reached_per_minute == 5
    assert state.quota_share == pytest.approx(5 / 30)  # of the half minute since the first call
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("calls", [1, 2, 40, 100])
@virtual_time
async def test_the_share_is_of_the_time_in_which_calls_could_start(calls):
    """A short run at full pace used its whole quota; the wait for its last answers is no loss."""
    pacer = make_pacer(60, concurrency=50)
    generate = paced(Calls(seconds=30), pacer)

    await asyncio.gather(*(generate(n) for n in range(calls)))
    await asyncio.sleep(20)

    assert pacer.state().quota_share == pytest.approx(1, abs=0.02)


@virtual_time
async def test_time_in_which_attempts_wait_is_no_idle_time():
    """With one call in flight at a time a quota is used as far as the calls last."""
    pacer = make_pacer(60, concurrency=1)
    tasks = [asyncio.create_task(paced(Calls(seconds=10), pacer)(n)) for n in range(9)]
    await asyncio.sleep(65)
    assert pacer.state().quota_share == pytest.approx(0.1, abs=0.02)
    await asyncio.gather(*tasks)


@virtual_time
async def test_pacers_share_a_limit_of_calls_in_flight():
    """Never more of all together, no place idle while an attempt waits, and each has its turn."""
    limit, running, most, order = SharedLimit(2), 0, 0, []

    async def generate(name):
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(name)
        await asyncio.sleep(10)
        running -= 1

    clock = asyncio.get_running_loop().time
    pace = Pace(requests_per_minute=6_000, concurrency=2)
    both = [paced(generate, Pacer(pace, limit=limit, clock=clock)) for _ in range(2)]
    await asyncio.gather(*(both[n % 2]("ab"[n % 2]) for n in range(20)))

    assert most == 2
    assert asyncio.get_running_loop().time() == pytest.approx(100, abs=0.5)
    assert order.count("a") == order.count("b") == 10
    assert set(order[:6]) == {"a", "b"}


@virtual_time
async def test_a_pacer_that_shares_a_limit_gives_its_places_back_however_calls_end():
    """Errors, cancelled calls and cancelled waits."""
    limit, clock = SharedLimit(1), asyncio.get_running_loop().time
    pacer = Pacer(Pace(requests_per_minute=6_000, concurrency=9), limit=limit, clock=clock)
    await asyncio.gather(
        *(paced(Calls(script=[error]), pacer)(0) for error in (THROTTLED, None)),
        return_exceptions=True,
    )
    calls = [asyncio.create_task(paced(Calls(seconds=50), pacer)(n)) for n in range(3)]
    await asyncio.sleep(30)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert not limit.is_full


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (86_400.0, RETRY_AFTER_MOST)])
@virtual_time
async def test_a_service_that_says_when_to_come_again_is_obeyed(asked, waited):
    """No call of this quota starts before; nobody waits for a day because a proxy says so."""
    pacer = make_pacer(None)
    error = errors.Unavailable("later", code="ServiceUnavailable", retry_after=asked)
    generate = paced(Calls(script=[error]), pacer)
    with pytest.raises(errors.Unavailable):
        await generate(0)
    refused_at = asyncio.get_running_loop().time()

    assert pacer.ready_in() == pytest.approx(waited, abs=0.1)
    await generate(1)
    assert asyncio.get_running_loop().time() - refused_at >= waited


@virtual_time
async def test_an_unknown_quota_is_not_made_up():
    """Before anything was refused there is neither a rate nor a share to show."""
    pacer = make_pacer(None)
    assert pacer.state().allowed_per_minute is None
    assert pacer.state().quota_share is None
    assert pacer.state().phase == "searching for the quota"


@virtual_time
async def test_it_tells_when_an_attempt_that_came_now_could_start():
    """At once, in so many seconds, or, with others waiting or no place free, nobody knows when."""
    idle, paced_one, busy, full = (
        make_pacer(60),
        make_pacer(60),
        make_pacer(60),
        make_pacer(60, concurrency=1),
    )
    tasks = [asyncio.create_task(paced(Calls(seconds=200), full)("first"))]
    tasks += [asyncio.create_task(paced(Calls(seconds=5), busy)(n)) for n in range(3)]
    await paced(Calls(seconds=0.25), paced_one)("first")
    assert idle.ready_in() == 0
    assert paced_one.ready_in() == pytest.approx(60.5 / 60 - 0.25)
    assert busy.ready_in() == math.inf
    assert full.ready_in() == math.inf
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("per_minute", [0, -1, float("nan"), math.inf])
@pytest.mark.parametrize("name", ["requests_per_minute", "proven_per_minute"])
def test_a_quota_of_nothing_is_refused(name, per_minute):
    """A quota is more than 0, and finite: who knows none says None."""
    with pytest.raises(ValueError, match=f"{name} is .*more than 0"):
        Pace(**{name: per_minute})


def test_a_concurrency_of_nothing_is_refused():
    """At least one call may be in flight."""
    with pytest.raises(ValueError, match="at least 1"):
        Pace(concurrency=0)


class Service:
    """A metered service behind a network, as a `generate`."""

    def __init__(self, server, seed):
        self.server = server
        self.random = Random(seed)
        self.network = Network()
        self.admitted = []
        self.rejected = 0

    async def __call__(self, attempt):
        await asyncio.sleep(self.network.delay(self.random))
        now = asyncio.get_running_loop().time()
        admitted = self.server.admits(now)
        if admitted:
            self.admitted.append(now)
            await asyncio.sleep(self.random.uniform(3, 30))
        else:
            self.rejected += 1
        await asyncio.sleep(self.network.delay(self.random))
        if not admitted:
            raise errors.Throttled(f"Too many requests: {attempt}", code="ThrottlingException")

    def share(self, start, end, quota):
        return sum(start <= at < end for at in self.admitted) / (quota * (end - start) / 60)


async def work_for(seconds, service, pacer, workers=64):
    """Workers that always have something to do, each waiting a moment after a 429."""
    loop = asyncio.get_running_loop()
    generate = paced(service, pacer)

    async def worker(number):
        while loop.time() < seconds:
            result = await outcome_of(generate, number)
            if isinstance(result, errors.Throttled):
                await asyncio.sleep(service.random.uniform(0, 2))

    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(worker(number))
        await asyncio.sleep(seconds)
        pacer.stop()


@pytest.mark.parametrize("meter", [SlidingMinute, FixedMinute])
@virtual_time
async def test_a_known_quota_is_used_and_nothing_is_rejected(meter):
    """At least 99 % from the first minute on, in the pacer that runs, network jitter included."""
    service = Service(meter(steady(90)), seed=3)
    await work_for(1800, service, make_pacer(90))
    assert service.rejected == 0
    assert service.share(60, 1800, 90) >= 0.99


@virtual_time
async def test_an_unknown_quota_is_found_and_used():
    """At least 95 % after five minutes, at most 1 % rejected, in the pacer that runs."""
    service = Service(SlidingMinute(steady(60)), seed=4)
    await work_for(1800, service, make_pacer(None))
    assert service.share(300, 1800, 60) >= 0.95
    assert service.rejected <= 0.01 * len(service.admitted)
