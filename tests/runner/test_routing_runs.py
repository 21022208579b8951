"""Routes that are denied, expired, broken or gone, in whole runs: the others go on."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from fake_routes import (
    AWAY,
    DENIED,
    EXPIRED,
    FakeRoute,
    always,
    between,
    job_of,
    run,
)
from fakes import CORE, ERRORS, PRICE, ULTRA
from virtual_time import virtual_time

from batchgen.errors import NeverSent

HOUR = 3600


def two_models(tasks):
    return [{"id": f"item-{n}", "model": ULTRA if n % 2 else CORE} for n in range(tasks)]


def said_of(ran, route):
    return [text for text in ran.notices if f"Route {route}" in text]


class TestDenied:
    @virtual_time
    async def test_a_route_that_denies_the_model_is_taken_out(self, tmp_path):
        """One message names it, no task fails, and the records name the route that served."""
        bad, good = FakeRoute("bad", 60, behave=always(DENIED)), FakeRoute("good", 60)

        ran = await run(tmp_path / "out", [bad, good], 30)

        assert (ran.exit_code, ran.by_route()) == (0, {"good": 30})
        assert len(bad.posts) == 3
        assert ran.took == pytest.approx(30, abs=5)
        assert [text for text in ran.notices if "cannot be used" in text] == said_of(ran, "bad")
        (text,) = said_of(ran, "bad")
        assert CORE in text
        assert DENIED.message in text

    @virtual_time
    async def test_denied_to_many_at_once(self, tmp_path):
        """Calls that are under way when the route is taken out are made by the other one."""
        bad, good = FakeRoute("bad", behave=always(DENIED)), FakeRoute("good", 60)

        ran = await run(tmp_path / "out", [bad, good], 20)

        assert (ran.exit_code, ran.by_route()) == (0, {"good": 20})
        assert len(said_of(ran, "bad")) == 1
        assert len(bad.posts) <= 12

    @pytest.mark.parametrize("rate", [60.0, 60_000.0], ids=["one by one", "at once"])
    @virtual_time
    async def test_all_routes_deny(self, tmp_path, rate):
        """The run ends with 4; a handful of tasks has failed and the others are open."""
        routes = [FakeRoute(name, rate, behave=always(DENIED)) for name in "abc"]

        ran = await run(tmp_path / "out", routes, 60)

        assert ran.exit_code == 4
        assert 1 <= ran.summary.failed <= 3
        assert ran.summary.left == 60 - ran.summary.failed
        assert DENIED.message in ran.summary.stopping.text
        assert sum(len(route.posts) for route in routes) <= 35
        for route in routes:
            route.behave = lambda *_: None
        ran = await run(tmp_path / "out", routes, 60)
        assert ran.exit_code == 0

    @virtual_time
    async def test_a_route_that_denies_one_of_two_models(self, tmp_path):
        """It goes on with the other one."""
        a, b = FakeRoute("a", 60, behave=always(DENIED, ULTRA)), FakeRoute("b", 60)

        ran = await run(tmp_path / "out", [a, b], 0, items=two_models(60))

        assert ran.exit_code == 0
        assert {post.model_id for post in a.posts[10:]} == {CORE}
        assert len(ran.records(route="a", model_id=CORE)) == pytest.approx(15, abs=4)
        assert len(ran.records(route="b", model_id=ULTRA)) == 30

    @virtual_time
    async def test_a_model_that_its_only_route_denies(self, tmp_path):
        """Its tasks stay open but for a handful; the other model is made."""
        a = FakeRoute("a", 60, models={CORE: CORE})
        b = FakeRoute("b", 60, behave=always(DENIED, ULTRA))

        ran = await run(tmp_path / "out", [a, b], 0, items=two_models(60))

        assert ran.exit_code == 4
        assert (ran.summary.succeeded, ran.summary.failed, ran.summary.left) == (30, 3, 27)
        assert any(ULTRA in text and DENIED.message in text for text in ran.notices)

    @virtual_time
    async def test_a_denial_that_passes(self, tmp_path):
        """Access that is refused now and then takes no route out that has worked."""
        a = FakeRoute("a", 60, behave=lambda at, _: DENIED if int(at) % 10 == 5 else None)
        b = FakeRoute("b", 60)

        ran = await run(tmp_path / "out", [a, b], 120)

        assert (ran.exit_code, said_of(ran, "a")) == (0, [])
        assert ran.by_route()["a"] == pytest.approx(54, abs=8)


class TestModels:
    @virtual_time
    async def test_a_route_that_serves_one_model(self, tmp_path):
        """It gets calls of this model alone, and both models are made at full pace."""
        a, b = FakeRoute("a", 60, models={CORE: "us." + CORE}), FakeRoute("b", 60)

        ran = await run(tmp_path / "out", [a, b], 0, items=two_models(60))

        assert ran.exit_code == 0
        assert {post.model_id for post in a.posts} == {CORE}
        assert ran.took == pytest.approx(30, abs=3)
        assert {record["model_id"] for record in ran.records(route="a")} == {CORE}

    @virtual_time
    async def test_the_only_route_of_a_model_goes_away(self, tmp_path):
        """The tasks of this model stay open, those of the other one are made; later all are."""
        a = FakeRoute("a", 60, models={CORE: CORE})
        b = FakeRoute("b", 60, models={ULTRA: ULTRA}, renewable=False)
        b.behave = between(10, HOUR, EXPIRED)

        ran = await run(tmp_path / "out", [a, b], 0, items=two_models(60))

        assert (ran.exit_code, ran.summary.failed) == (4, 0)
        assert ran.by_route() == {"a": 30, "b": 10}
        assert ran.summary.left == 20
        assert any(f"No route is left that serves {ULTRA}" in text for text in ran.notices)
        b.behave = lambda *_: None
        ran = await run(tmp_path / "out", [a, b], 0, items=two_models(60))
        assert ran.exit_code == 0
        assert ran.by_route() == {"a": 30, "b": 30}


class TestExpired:
    @virtual_time
    async def test_the_others_go_on_at_once(self, tmp_path):
        """At their full rate from the first refusal on; the route is back after its renewal."""
        bad = FakeRoute("bad", 20, behave=between(60, 400, EXPIRED))
        good = FakeRoute("good", 20)

        ran = await run(tmp_path / "out", [bad, good], 200)

        assert (ran.exit_code, ran.summary.failed) == (0, 0)
        gaps = [later - earlier for earlier, later in pairwise(good.starts)]
        assert max(gaps) < 3.2
        assert 400 < min(at for at in bad.starts if at >= 400) < 470
        assert len([at for at in bad.starts if at >= 400]) == pytest.approx(20, abs=8)
        assert bad.outcomes["CredentialsRefused"] < 20
        assert min(bad.renewals) < 65

    @virtual_time
    async def test_they_never_come_back(self, tmp_path):
        """After ten minutes the route is taken out, once and with a message; the run ends 0."""
        bad = FakeRoute("bad", 12, behave=between(60, 10 * HOUR, EXPIRED))
        good = FakeRoute("good", 12)

        ran = await run(tmp_path / "out", [bad, good], 170)

        assert (ran.exit_code, ran.summary.failed) == (0, 0)
        assert 660 < max(bad.starts) < 760
        assert len([text for text in said_of(ran, "bad") if "is taken out" in text]) == 1
        assert ran.took == pytest.approx((170 - 12) * 5, rel=0.03)

    @virtual_time
    async def test_fixed_credentials_are_given_up_at_once(self, tmp_path):
        """Keys of the environment cannot be renewed: the other routes have everything."""
        bad = FakeRoute("bad", 20, behave=between(10, HOUR, EXPIRED), renewable=False)

        ran = await run(tmp_path / "out", [bad, FakeRoute("good", 20)], 40)

        assert ran.exit_code == 0
        assert bad.outcomes["CredentialsRefused"] <= 2
        assert EXPIRED.message in said_of(ran, "bad")[-1]

    @virtual_time
    async def test_on_all_routes(self, tmp_path):
        """Exit 4 after ten minutes; nothing has failed."""
        routes = [
            FakeRoute(name, 20, behave=between(30 * number, 10 * HOUR, EXPIRED))
            for number, name in enumerate("abc", 1)
        ]

        ran = await run(tmp_path / "out", routes, 100)

        assert (ran.exit_code, ran.summary.failed) == (4, 0)
        assert 600 < ran.took < 800
        assert len([text for text in ran.notices if "is taken out" in text]) == 2
        assert "No route is left" in ran.summary.stopping.text

    @virtual_time
    async def test_all_expired_and_one_renewed(self, tmp_path):
        """A login after five minutes is enough for the run to go on."""
        a = FakeRoute("a", 60, behave=between(10, 300, EXPIRED))
        b = FakeRoute("b", 60, behave=between(10, 10 * HOUR, EXPIRED))

        ran = await run(tmp_path / "out", [a, b], 60)

        assert (ran.exit_code, ran.summary.failed) == (0, 0)
        assert ran.took < 300 + 60 + 60 + 10


class TestBroken:
    @pytest.mark.parametrize("error", [AWAY, ERRORS[NeverSent]], ids=["503", "unreachable"])
    @virtual_time
    async def test_a_route_that_is_away_for_an_hour(self, tmp_path, error):
        """Its breaker opens and says so, one probe at a time goes there, and it comes back."""
        bad = FakeRoute("bad", 6, behave=between(120, 120 + HOUR, error))
        good = FakeRoute("good", 3)

        ran = await run(tmp_path / "out", [bad, good], 230)

        assert (ran.exit_code, ran.summary.failed) == (0, 0)
        opened, closed = said_of(ran, "bad")
        assert opened.startswith("Route bad: No call has got through")
        assert closed == "Route bad: The service is back; calls go on at full pace."
        assert said_of(ran, "good") == []
        away = [at for at in bad.starts if 400 < at < 120 + HOUR]
        assert min(later - earlier for earlier, later in pairwise(away)) > 25
        assert max(later - earlier for earlier, later in pairwise(good.starts)) < 21
        later = [at for at in bad.starts if 130 + HOUR < at < ran.took - 10]
        assert len(later) == pytest.approx((max(later) - min(later)) / 10, abs=3)

    @virtual_time
    async def test_a_route_that_was_never_there(self, tmp_path):
        """A route that nothing answers at does not end a run whose other route is only slow."""
        bad = FakeRoute("bad", 90, behave=always(ERRORS[NeverSent]))
        good = FakeRoute("good", 10, latency=60)

        ran = await run(tmp_path / "out", [bad, good], 12)

        assert (ran.exit_code, ran.by_route()) == (0, {"good": 12})

    @virtual_time
    async def test_one_sound_route_among_broken_ones(self, tmp_path):
        """Its few calls a minute are enough: no task is refused until its time is over."""
        bad = [FakeRoute(f"bad-{n}", 600, behave=always(ERRORS[NeverSent])) for n in range(3)]
        good = FakeRoute("good", 6, latency=30)

        ran = await run(tmp_path / "out", [*bad, good], 10)

        assert (ran.exit_code, ran.by_route()) == (0, {"good": 10})
        assert ran.took < 400


class TestMoney:
    @virtual_time
    async def test_the_budget_is_one_for_all_routes(self, tmp_path):
        """Never a cent above, whoever spends it; and all of it is used."""
        routes = [FakeRoute(name, latency=5 + n) for n, name in enumerate("abc")]

        ran = await run(tmp_path / "out", routes, 60, limits={"budget_usd": 1})

        assert ran.exit_code == 3
        assert sum(route.outcomes["made"] for route in routes) * PRICE == Decimal(1)
        assert ran.summary.billed_usd == Decimal(1)
        assert len(ran.lines("attempt")) == 25

    @virtual_time
    async def test_who_waits_for_money_keeps_no_route(self, tmp_path):
        """Reservations of calls that cost nothing in the end are used by others."""
        bad = FakeRoute("bad", behave=always(AWAY), refusal_latency=20, concurrency=4)
        good = FakeRoute("good", latency=5, concurrency=2)

        ran = await run(tmp_path / "out", [bad, good], 25, limits={"budget_usd": 1})

        assert ran.exit_code == 0
        assert ran.summary.billed_usd == Decimal(1)


class TestManifest:
    @virtual_time
    async def test_lines_name_route_and_region(self, tmp_path):
        """Attempt lines and records, of failures too."""
        a = FakeRoute("a", region="us-east-1")
        b = FakeRoute("b", region="eu-west-1", behave=always(ERRORS[NeverSent]))

        ran = await run(
            tmp_path / "out", [a, b], 20, retry={"max_elapsed": 1}, limits={"give_up_after": 5}
        )

        regions = {"a": "us-east-1", "b": "eu-west-1"}
        for line in ran.lines("attempt") + ran.lines("record"):
            assert line["region"] == regions[line["route"]]
        assert {line["route"] for line in ran.lines("attempt")} == set(regions)

    @virtual_time
    async def test_a_killed_run_goes_on(self, tmp_path):
        """What is adopted has the route and the Region of the call that made it."""
        routes = [FakeRoute(name, region=f"{name}-west-1", latency=2) for name in ("us", "eu")]
        job = job_of(tmp_path / "out", routes, 20)
        ran = await run(tmp_path / "out", routes, job)
        made_by = {record["task_id"]: record["route"] for record in ran.records()}
        forget_records(ran.folder / "manifest.jsonl")

        ran = await run(tmp_path / "out", routes, job)

        assert (ran.exit_code, ran.summary.adopted) == (0, 20)
        assert {r["task_id"]: r["route"] for r in ran.records()} == made_by
        assert all(r["region"] == f"{r['route']}-west-1" for r in ran.records())
        assert sum(len(route.posts) for route in routes) == 20


def forget_records(manifest):
    """A manifest as a kill leaves it just before the records."""
    lines = manifest.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["kind"] in {"run", "attempt"}]
    assert len(kept) < len(lines)
    manifest.write_bytes(b"".join(kept))
