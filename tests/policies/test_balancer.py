"""Which route a call takes, and that nobody waits while one of them is free."""

import asyncio
from decimal import Decimal
from itertools import chain, pairwise, repeat

import pytest
from fake_routes import AWAY, DENIED, EXPIRED, FakeRoute, Routed, always, between, now, run
from fakes import CORE, ERRORS, PRICE, ULTRA, make_attempt, make_task, settle
from virtual_time import virtual_time

from batchgen.attempt import Generation
from batchgen.errors import NeverSent, NotStarted, RouteDenied, Throttled
from batchgen.policies.stop import StopCause


def made(outcomes):
    return sum(isinstance(outcome, Generation) for outcome in outcomes)


class TestShares:
    @virtual_time
    async def test_each_route_gets_what_its_rate_allows(self, tmp_path):
        """60 and 20 calls a minute make 80, and all of it is used until the last call."""
        fast, slow = FakeRoute("fast", 60), FakeRoute("slow", 20)
        routed = Routed(tmp_path, fast, slow)

        assert made(await routed.make(240)) == 240

        assert len(fast.posts) == pytest.approx(180, abs=3)
        assert len(slow.posts) == pytest.approx(60, abs=3)
        assert now() == pytest.approx(180, rel=0.03)
        assert max(fast.most_within(), 3 * slow.most_within()) <= 60

    @virtual_time
    async def test_first_come_first_served(self, tmp_path):
        """By whatever route, calls start in the order in which they came."""
        routes = FakeRoute("a", 60), FakeRoute("b", 45), FakeRoute("c", 20, latency=9)
        routed = Routed(tmp_path, *routes)

        await routed.make(50)

        posts = sorted((post.at, post.seed) for route in routes for post in route.posts)
        assert [seed for _, seed in posts] == sorted(seed for _, seed in posts)

    @virtual_time
    async def test_a_slow_route_holds_up_nobody(self, tmp_path):
        """Its places are taken for long: the others go on at their own rate."""
        stuck, good = FakeRoute("stuck", 600, latency=5_000, concurrency=2), FakeRoute("good", 60)
        routed = Routed(tmp_path, stuck, good)

        await routed.make(42)

        assert len(stuck.posts) == 2
        assert good.starts[-1] == pytest.approx(40, rel=0.05)

    @virtual_time
    async def test_long_calls_do_not_slow_down_the_starts(self, tmp_path):
        """The next attempt is sent when the one before it has begun, not when it has ended."""
        a, b = (FakeRoute(name, 60, latency=40, concurrency=50) for name in "ab")

        await Routed(tmp_path, a, b).make(60)

        assert max(a.starts + b.starts) == pytest.approx(30, abs=1)

    @virtual_time
    async def test_a_place_that_becomes_free_is_taken_at_once(self, tmp_path):
        """Who waits because all places are taken hears of the first one."""
        a, b = (FakeRoute(name, latency=10, concurrency=2) for name in "ab")
        routed = Routed(tmp_path, a, b)

        await routed.make(40)

        assert now() == pytest.approx(100, abs=0.5)

    @virtual_time
    async def test_who_comes_later_finds_a_free_route(self, tmp_path):
        """A call that comes when nobody waits starts at once, where a route is ready."""
        a, b = FakeRoute("a", 6, latency=30), FakeRoute("b", 6, latency=30)
        routed = Routed(tmp_path, a, b)
        for at in (0, 1, 11, 12):
            asyncio.get_running_loop().call_at(at, routed.send)

        await asyncio.sleep(60)

        assert sorted(a.starts + b.starts) == pytest.approx([0, 1, 11, 12], abs=0.1)

    @virtual_time
    async def test_throttled_calls_go_elsewhere(self, tmp_path):
        """A quota that turns out to be half of what was said costs the other route nothing."""
        meter = Meter(20)
        short, good = FakeRoute("short", 40, behave=meter), FakeRoute("good", 20)

        ran = await run(tmp_path / "out", [short, good], 200)

        assert ran.exit_code == 0
        assert ran.took == pytest.approx(200 / 40 * 60, rel=0.07)
        assert short.outcomes["Throttled"] < 12
        assert good.outcomes == {"made": len(good.posts)}
        assert ran.by_route() == {"short": short.outcomes["made"], "good": len(good.posts)}

    @virtual_time
    async def test_unknown_quotas_are_found_side_by_side(self, tmp_path):
        """Each pacer finds its own, as if its route were the only one."""
        quotas = (30, 10)
        routes = [
            FakeRoute(f"of-{quota}", None, latency=5, behave=Meter(quota)) for quota in quotas
        ]
        routed = Routed(tmp_path, *routes)

        async def work():
            while True:
                task, number = make_task(), 1
                while isinstance(await ended(routed.send(task, number)), Throttled):
                    await asyncio.sleep(min(60, 2**number))
                    number += 1

        workers = [asyncio.ensure_future(work()) for _ in range(20)]
        await asyncio.sleep(900)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

        for route, quota in zip(routes, quotas, strict=True):
            late = [at for at in route.behave.admitted if at >= 300]
            assert len(late) >= 0.95 * quota * 10
            assert route.outcomes["Throttled"] <= 12


class Meter:
    """Admits so many calls within any minute."""

    def __init__(self, quota):
        self.quota = quota
        self.admitted = []

    def __call__(self, at, _):
        if sum(each > at - 60 for each in self.admitted) >= self.quota:
            return ERRORS[Throttled]
        self.admitted.append(at)
        return None


class TestWaiting:
    @virtual_time
    async def test_who_waits_holds_nothing(self, tmp_path):
        """No money, no place, no turn of a pacer, and no line in the manifest."""
        a, b = FakeRoute("a", 1, latency=10), FakeRoute("b", 1, latency=10)
        routed = Routed(tmp_path, a, b, budget=Decimal(1))
        sent = [routed.send() for _ in range(12)]
        await asyncio.sleep(5)

        states = [quotas.state()[CORE] for quotas in routed.quotas]
        assert [(state.in_flight, state.waiting) for state in states] == [(1, 0), (1, 0)]
        assert routed.budget.left == 1 - 2 * PRICE
        assert len(routed.manifest.written) == 2
        await asyncio.gather(*sent)

    @virtual_time
    async def test_each_attempt_pays_one_pacer(self, tmp_path):
        """Calls that were made, turns that were given and lines that were written are as many."""
        a, b = FakeRoute("a", 50, behave=Meter(30)), FakeRoute("b", 20)
        routed = Routed(tmp_path, a, b)

        outcomes = await routed.make(90)

        posts = [len(route.posts) for route in routed.routes]
        assert [quotas.state()[CORE].started for quotas in routed.quotas] == posts
        assert sum(posts) == len(outcomes) == len(routed.manifest.written) == 90
        assert [line.route for line in routed.manifest.written].count("a") == posts[0]

    @virtual_time
    async def test_nothing_polls(self, tmp_path):
        """While nothing can start nobody wakes up: time moves in as many steps as there is news."""
        a, b = FakeRoute("a", 1), FakeRoute("b", 1 / 2)
        routed = Routed(tmp_path, a, b)
        loop, steps = asyncio.get_running_loop(), []
        pass_time = loop.pass_time
        loop.pass_time = lambda seconds: (steps.append(seconds), pass_time(seconds))

        await routed.make(90)

        assert now() > 3_000
        assert len([step for step in steps if step > 0]) <= 3 * 90

    @virtual_time
    async def test_a_cancelled_waiter_blocks_nobody(self, tmp_path):
        """Wherever it stood in the queue; its turn goes to the next."""
        routed = Routed(tmp_path, FakeRoute("a", 60), FakeRoute("b", 60))
        sent = [routed.send() for _ in range(12)]
        await asyncio.sleep(0.5)
        for index in (2, 5, 11):
            sent[index].cancel()

        outcomes = await asyncio.gather(*sent, return_exceptions=True)

        assert [type(outcomes[index]) for index in (2, 5, 11)] == [asyncio.CancelledError] * 3
        assert made(outcomes) == 9
        assert now() == pytest.approx(5.1, abs=0.2)

    @pytest.mark.parametrize("turns", range(12))
    @virtual_time
    async def test_cancelled_at_any_moment_of_its_start(self, tmp_path, turns):
        """On its way to a route, too: the next one has the turn, and the books are right."""
        routed = Routed(tmp_path, FakeRoute("a", 60), FakeRoute("b", 60), budget=Decimal(1))
        victim = routed.send()
        await settle(turns)
        victim.cancel()

        outcomes = await asyncio.gather(
            victim, *(routed.send() for _ in range(3)), return_exceptions=True
        )

        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert made(outcomes) == 3
        calls = sum(len(route.posts) for route in routed.routes)
        assert sum(q.state()[CORE].in_flight for q in routed.quotas) == 0
        assert routed.budget.left == 1 - routed.budget.billed - routed.budget.maybe_billed
        assert calls in {3, 4}

    @virtual_time
    async def test_cancelled_in_the_instant_of_its_turn(self, tmp_path):
        """Handed out and not begun yet: the next one starts in its place, and the route is free."""
        a, b = FakeRoute("a", 6, latency=90), FakeRoute("b", 0.1, latency=90)
        routed = Routed(tmp_path, a, b)
        sent = [routed.send() for _ in range(6)]
        await asyncio.sleep(1)
        due = now() + routed.quotas[0].ready_in(CORE)
        asyncio.get_running_loop().call_at(due + 1e-10, sent[2].cancel)

        await asyncio.sleep(45)

        assert sent[2].cancelled()
        assert a.starts == pytest.approx([0, 10.1, 20.2, 30.3], abs=0.2)
        assert len(b.starts) == 1

    @virtual_time
    async def test_many_cancelled_at_once(self, tmp_path):
        """While a route is ready: each of them leaves as cancelled, and the next one is served."""
        routed = Routed(tmp_path, FakeRoute("a", 60), FakeRoute("b", 60))
        sent = [routed.send() for _ in range(6)]
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().pass_time(5)
        for each in sent[2:5]:
            each.cancel()

        outcomes = await asyncio.gather(*sent, return_exceptions=True)

        assert [type(each) for each in outcomes[2:5]] == [asyncio.CancelledError] * 3
        assert made(outcomes) == 3

    @virtual_time
    async def test_cancelled_and_sent_home_at_once(self, tmp_path):
        """A run that is cancelled and stopped in one instant meets no fault."""
        routed = Routed(tmp_path, FakeRoute("a", 6), FakeRoute("b", 6))
        sent = [routed.send() for _ in range(5)]
        await asyncio.sleep(5)
        sent[2].cancel()
        routed.stop.request(StopCause.INTERRUPTED, "test")

        outcomes = await asyncio.gather(*sent, return_exceptions=True)

        kinds = [type(each) for each in outcomes[2:]]
        assert kinds == [asyncio.CancelledError, NotStarted, NotStarted]

    @virtual_time
    async def test_a_stop_sends_home_who_waits(self, tmp_path):
        """At once, all of them, and whoever comes after; calls in flight go on."""
        routed = Routed(tmp_path, FakeRoute("a", 1, latency=30), FakeRoute("b", 1, latency=30))
        sent = [routed.send() for _ in range(20)]
        await asyncio.sleep(10)
        routed.stop.request(StopCause.INTERRUPTED, "test")
        await settle()
        late = routed.send()
        await settle()

        assert [each.done() for each in sent] == [False] * 2 + [True] * 18
        assert {type(each.exception()) for each in [*sent[2:], late]} == {NotStarted}
        assert made(await asyncio.gather(*sent[:2])) == 2
        assert now() == 30


async def ended(attempt):
    """What became of an attempt."""
    (outcome,) = await asyncio.gather(attempt, return_exceptions=True)
    return outcome


async def timed(routed, task):
    """Seconds until an attempt ended, and how."""
    start = now()
    outcome = await ended(routed.send(task))
    return now() - start, type(outcome).__name__


class TestTrouble:
    """A route in trouble holds one attempt at most, while another route is idle."""

    @pytest.mark.parametrize("error", [EXPIRED, AWAY], ids=["expired", "away"])
    @virtual_time
    async def test_models_do_not_queue_up_at_it(self, tmp_path, error):
        """One attempt asks whether it is back, whatever its model; the others have not to wait."""
        bad = FakeRoute("bad", 60, behave=always(error), refusal_latency=1)
        routed = Routed(tmp_path, bad, FakeRoute("good", 20), models=(CORE, ULTRA))

        async def one_model(model):
            return await asyncio.gather(*(timed(routed, make_task(model)) for _ in range(150)))

        both = await asyncio.gather(one_model(CORE), one_model(ULTRA))

        for times in both:
            ends = [took for took, _ in times]
            late = [took - max(ends[:place], default=0) for place, took in enumerate(ends)]
            assert max(late) <= 6, "an attempt was overtaken by all that came after it"
        starts = [at for at in bad.starts if at > 130]
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert min(gaps) > 1

    @pytest.mark.parametrize(
        "error",
        [ERRORS[NeverSent], ERRORS[Throttled], AWAY, EXPIRED, DENIED],
        ids=lambda error: type(error).__name__,
    )
    @virtual_time
    async def test_a_sound_route_that_is_idle_comes_first(self, tmp_path, error):
        """The last task of a run does not knock at a broken one while the other stands idle."""
        bad = FakeRoute("bad", behave=between(100, 5_000, error))
        routed = Routed(tmp_path, bad, FakeRoute("good"))
        outcomes = []
        for _ in range(60):
            outcomes += await routed.make(1)
            await asyncio.sleep(20)

        assert made(outcomes) == 59
        assert len([at for at in bad.starts if at > 100]) <= 2

    @virtual_time
    async def test_a_denial_by_one_route_says_where_and_when(self, tmp_path):
        """Should it be the last word on a task, its record has the place and what to do."""
        routed = Routed(tmp_path, FakeRoute("bad", behave=always(DENIED)), FakeRoute("good", 1))

        attempt = make_attempt()
        denied = await ended(asyncio.ensure_future(routed.generate(attempt)))

        assert type(denied) is RouteDenied
        assert (denied.message, denied.advice) == (f"Route bad: {DENIED.message}", DENIED.advice)
        assert attempt.state.sent.target.route == "bad"
        assert attempt.state.sent.at is not None

    @virtual_time
    async def test_who_is_refused_late_does_not_wait_there(self, tmp_path):
        """A call that was under way when others were refused leaves as soon as it is refused."""
        latencies = chain((0.1, 4, 4, 4, 9, 9), repeat(0.1))
        bad = FakeRoute("bad", behave=always(EXPIRED), refusal_latencies=latencies)
        routed = Routed(tmp_path, bad, FakeRoute("good", 60, latency=30))
        times = await asyncio.gather(*(timed(routed, make_task()) for _ in range(12)))

        refused = [took for took, outcome in times if outcome == "CredentialsRefused"]
        assert max(refused) < 12
