"""Keys and figures that do what they say: places in flight, repeats, patience, quotas."""

import asyncio
from decimal import Decimal

import pytest
from fake_models import BUSY, DENIED, SD3_5, Models, job_of, run_of
from fake_routes import FakeRoute, Routed, run
from fakes import CORE, ERRORS, PRICE, ULTRA, settle
from virtual_time import virtual_time

from batchgen.errors import (
    AnswerLost,
    NotStarted,
    QuotaExhausted,
    ServiceFault,
    Throttled,
    Unavailable,
)

USED_UP = QuotaExhausted("You have reached your daily quota.", code="ServiceQuotaExceededException")


def now():
    return asyncio.get_running_loop().time()


def two_models(each):
    items = [{"id": f"a-{n}", "prompt": f"a {n}"} for n in range(each)]
    return items + [{"id": f"b-{n}", "prompt": f"b {n}", "model": ULTRA} for n in range(each)]


def most_at_once(starts, lasted):
    return max(sum(start <= at < start + lasted for start in starts) for at in starts)


class TestConcurrency:
    @virtual_time
    async def test_it_is_of_the_whole_run(self, tmp_path):
        """Two models share the places; none of these stays empty while a task waits."""
        models = Models({CORE: 10.0, ULTRA: 10.0})
        job = job_of(tmp_path, items=two_models(10), limits={"concurrency": 2})
        ran = await run_of(job, models)

        assert ran.summary.exit_code == 0
        assert most_at_once([call.at for call in models.calls], 10) == 2
        assert now() == pytest.approx(100, abs=2)
        assert {call.model_id for call in models.calls[:6]} == {CORE, ULTRA}

    @virtual_time
    async def test_routes_without_one_of_their_own_share_it(self, tmp_path):
        """Those that have one keep to it, beside the others."""
        a, b = (FakeRoute(name, latency=10, concurrency=None) for name in "ab")
        own = FakeRoute("own", latency=10, concurrency=1)
        ran = await run(tmp_path / "out", [a, b, own], 30, limits={"concurrency": 2})

        assert ran.exit_code == 0
        assert most_at_once(a.starts + b.starts, 10) == 2
        assert own.most == 1
        assert ran.took == pytest.approx(100, abs=2)


class TestRetry:
    @pytest.mark.parametrize("attempts", [1, 2, 3, 6, 20])
    @virtual_time
    async def test_attempts_is_how_often_a_failing_call_is_made(self, tmp_path, attempts):
        """Any number that the key takes, and each call is on record."""
        models = Models({CORE: ERRORS[ServiceFault]})
        ran = await run_of(job_of(tmp_path, retry={"attempts": attempts}), models)

        assert len(models.calls) == attempts
        assert (ran.record()["attempts"], ran.record()["maybe_billed"]) == (attempts, attempts)

    @virtual_time
    async def test_a_lost_answer_is_paid_for_once_more_at_most(self, tmp_path):
        """It is likely that an image was made each time."""
        models = Models({CORE: ERRORS[AnswerLost]})
        await run_of(job_of(tmp_path, retry={"attempts": 20}), models)
        assert len(models.calls) == 2

    @pytest.mark.parametrize("error", [Throttled, Unavailable])
    @virtual_time
    async def test_max_elapsed_is_how_long_a_task_is_tried(self, tmp_path, error):
        """It stays open, for only the state of the service was in its way."""
        models = Models({CORE: ERRORS[error]})
        ran = await run_of(job_of(tmp_path, retry={"max_elapsed": "30s"}), models)

        assert 30 <= now() <= 30 + 60
        assert (ran.summary.exit_code, ran.summary.left, ran.lines("record")) == (3, 1, [])

    @virtual_time
    async def test_without_it_a_task_waits_as_long_as_the_run(self, tmp_path):
        """An outage that `give_up_after` allows for costs no task its turn."""
        models = Models({CORE: lambda at: BUSY if at < 7_000 else None})
        ran = await run_of(job_of(tmp_path, 3, limits={"give_up_after": "2h"}), models)
        assert ran.summary.exit_code == 0


class TestGiveUpAfter:
    @pytest.mark.parametrize("error", [Throttled, Unavailable, ServiceFault])
    @pytest.mark.parametrize("seconds", [5, 20, 300])
    @virtual_time
    async def test_it_is_kept_to(self, tmp_path, error, seconds):
        """Whatever waits then, and however many tasks have failed meanwhile."""
        models = Models({CORE: ERRORS[error]})
        limits = {"give_up_after": seconds, "concurrency": 4, "requests_per_minute": 120}
        job = job_of(tmp_path, 700, limits=limits)
        ran = await run_of(job, models)

        assert now() == pytest.approx(seconds, abs=2)
        assert (ran.summary.exit_code, ran.summary.stopping.cause) == (3, "throttled_out")
        assert ran.summary.left > 0
        assert error is ServiceFault or not ran.lines("record")


class TestQuotaUsedUp:
    @virtual_time
    async def test_its_tasks_stay_open(self, tmp_path):
        """Three refusals tell; nothing failed, and the next day's run makes all."""
        models = Models({CORE: USED_UP})
        job = job_of(tmp_path, 50, limits={"concurrency": 1})
        ran = await run_of(job, models)

        assert len(models.calls) == 3
        assert (ran.summary.exit_code, ran.summary.left, ran.lines("record")) == (3, 50, [])
        assert ran.summary.billed_usd == ran.summary.maybe_billed_usd == 0
        assert "daily quota" in ran.summary.stopping.text

        assert (await run_of(job, Models())).summary.exit_code == 0

    @virtual_time
    async def test_other_models_go_on(self, tmp_path):
        """And the run says that something is left: 3, not 1."""
        models = Models({CORE: USED_UP})
        ran = await run_of(job_of(tmp_path, items=two_models(20)), models)

        assert ran.summary.succeeded == 20
        assert (ran.summary.exit_code, ran.summary.left, ran.summary.failed) == (3, 20, 0)

    @virtual_time
    async def test_fallback_models_take_its_tasks(self, tmp_path):
        """As when it is denied."""
        models = Models({CORE: USED_UP})
        ran = await run_of(job_of(tmp_path, 10, fallback=[SD3_5]), models)
        assert (ran.summary.exit_code, ran.summary.substituted) == (0, 10)

    @virtual_time
    async def test_a_denied_model_beside_it_is_why(self, tmp_path):
        """Somebody has to do something: 4."""
        models = Models({CORE: USED_UP, ULTRA: DENIED})
        items = [*two_models(9), {"id": "c", "prompt": "c", "model": SD3_5}]
        ran = await run_of(job_of(tmp_path, items=items), models)
        assert (ran.summary.exit_code, ran.summary.succeeded) == (4, 1)


class TestShare:
    @pytest.mark.parametrize("tasks", [5, 40, 150])
    @virtual_time
    async def test_a_run_at_full_pace_used_the_whole_quota(self, tmp_path, tasks):
        """In the summary and in the `end` line, however short it was and however late it ended."""
        models = Models({CORE: 25.0})
        limits = {"requests_per_minute": 60, "concurrency": 50}
        ran = await run_of(job_of(tmp_path, tasks, limits=limits), models)

        (end,) = ran.lines("end")
        assert end["summary"]["quotas"][CORE]["share"] == pytest.approx(1, abs=0.02)
        assert ran.summary.pace[CORE].quota_share == pytest.approx(1, abs=0.02)


class TestOrder:
    @virtual_time
    async def test_an_attempt_has_its_money_before_it_waits_for_a_turn(self, tmp_path):
        """No turn of the quota is spent on a call that cannot be paid."""
        route = FakeRoute("only", rate=60, latency=30)
        routed = Routed(tmp_path, route, budget=PRICE)
        first, second = routed.send(), routed.send()
        await asyncio.sleep(10)
        await settle()

        state = routed.quotas[0].state()[CORE]
        assert (state.started, state.waiting, state.in_flight) == (1, 0, 1)
        assert routed.budget.left == 0
        await first
        with pytest.raises(NotStarted):
            await second
        assert routed.quotas[0].state()[CORE].started == len(route.posts) == 1

    @virtual_time
    async def test_an_attempt_that_waits_for_its_turn_holds_its_money(self, tmp_path):
        """Otherwise two would be promised the same cents."""
        routed = Routed(tmp_path, FakeRoute("only", rate=1), budget=Decimal(1))
        sent = [routed.send() for _ in range(3)]
        await asyncio.sleep(30)

        assert routed.budget.left == 1 - 3 * PRICE
        routed.quotas[0].stop()
        await asyncio.gather(*sent, return_exceptions=True)
