"""Several accounts and Regions over HTTP: whose quota each call used, by the simulator's ledger."""

import asyncio
from collections import Counter

import pytest
from bench import CORE, PRICE, ULTRA, bench, in_time_of_sockets

from batchgen.errors import JobError, ServiceUnusable
from batchgen.simulator.credentials import account_of
from batchgen.simulator.options import span

ROLE = "arn:aws:iam::444455556666:role/night"
ACCOUNTS = {
    "day": account_of("AKIASIMULATED-day"),
    "eve": account_of("AKIASIMULATED-eve"),
    "night": "444455556666",
}
THREE = [
    {"name": "day", "profile": "day"},
    {"name": "eve", "profile": "eve"},
    {"name": "night", "role": ROLE},
]


def by_account(it):
    """Account -> its calls that were served."""
    return Counter(call["account"] for call in it.calls() if call["status"] == 200)


def job(it, tasks, routes, **changes):
    """A job by these routes, at the documented quotas unless it says something else."""
    fields = it.fields(tasks, routes=routes, **changes)
    del fields["limits"]["requests_per_minute"]
    fields["limits"].update(changes.get("limits", {}))
    return type(it.job(1)).model_validate(fields)


@in_time_of_sockets
async def test_three_accounts_three_quotas(tmp_path):
    """Each is used to the full and none is ever exceeded: three times as fast as one."""
    async with bench(tmp_path, meter="sliding", latency=span("3-5"), any_region=True) as it:
        ran = await it.run(job(it, 90, THREE, model=ULTRA))

        assert ran.exit_code == 0
        assert {call["status"] for call in it.calls()} == {200}
        accounts = by_account(it)
        assert accounts.keys() == set(ACCOUNTS.values())
        assert min(accounts.values()) >= 28
        assert asyncio.get_running_loop().time() < 90 / 30 * 60 * 1.04 + 6
        told = Counter(ACCOUNTS[record["route"]] for record in ran.records())
        assert told == accounts
        ran.check_images()


@in_time_of_sockets
async def test_two_regions_of_one_account(tmp_path):
    """Each Region has a quota of its own, and the records say which it was."""
    async with bench(tmp_path, meter="sliding", any_region=True) as it:
        routes = [{"region": "us-west-2"}, {"region": "us-east-1"}]
        ran = await it.run(job(it, 40, routes, model=ULTRA))

        assert ran.exit_code == 0
        assert {call["status"] for call in it.calls()} == {200}
        regions = Counter(call["region"] for call in it.calls())
        assert regions == {"us-west-2": 20, "us-east-1": 20}
        assert Counter(record["region"] for record in ran.records()) == regions
        assert {(record["route"], record["region"]) for record in ran.records()} == {
            (f"default@{region}", region) for region in regions
        }


@in_time_of_sockets
async def test_a_model_by_another_name(tmp_path):
    """What is called is the profile; what is recorded is the model that the job asked for."""
    profile = "arn:aws:bedrock:us-west-2:111122223333:application-inference-profile/abc123"
    async with bench(tmp_path, arn=((profile, CORE),)) as it:
        routes = [
            {"name": "own", "profile": "day"},
            {"name": "across", "profile": "eve", "models": {CORE: profile}},
        ]
        ran = await it.run(it.job(12, routes=routes))

        assert ran.exit_code == 0
        called = {(call["account"], call["model_id"]) for call in it.calls()}
        assert called == {(ACCOUNTS["day"], CORE), (ACCOUNTS["eve"], profile)}
        assert {record["model_id"] for record in ran.records()} == {CORE}
        assert {record["route"] for record in ran.records()} == {"own", "across"}


@in_time_of_sockets
async def test_a_role_that_cannot_be_assumed(tmp_path):
    """A message names it and why, and the others make everything."""
    async with bench(tmp_path, deny=("sts",)) as it:
        ran = await it.run(it.job(6, routes=THREE))

        assert ran.exit_code == 0
        assert by_account(it).keys() == {ACCOUNTS["day"], ACCOUNTS["eve"]}
        (text,) = (text for text in ran.notices if "night" in text)
        assert text.startswith("Route night cannot be used: ")
        assert ROLE in text


@in_time_of_sockets
async def test_a_profile_that_does_not_exist(tmp_path, monkeypatch):
    """A message names it and says where profiles are listed; the others make everything."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    async with bench(tmp_path, host="127.0.0.2") as it:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", it.url)
        routes = [{"profile": "nihgt"}, {"name": "own"}]
        ran = await it.run(it.job(4, routes=routes))

        assert (ran.exit_code, it.charged()) == (0, 4 * PRICE)
        (text,) = ran.notices
        assert text.startswith("Route nihgt@us-west-2 cannot be used: There is no profile")
        assert "aws configure list-profiles" in text


@in_time_of_sockets
async def test_no_route_at_all(tmp_path):
    """Nothing is written or called; every route says why."""
    async with bench(tmp_path, deny=("sts",)) as it:
        routes = [{"name": "a", "role": ROLE}, {"name": "b", "role": ROLE.replace("44", "55")}]
        with pytest.raises(ServiceUnusable) as caught:
            await it.run(it.job(6, routes=routes))

        assert str(caught.value).startswith("No route can be used. Route a cannot be used: ")
        assert "Route b cannot be used: " in str(caught.value)
        assert it.calls() == []
        assert not it.folder.exists()


@pytest.mark.parametrize(
    ("settings", "routes"),
    [
        (
            {"account": (("AKIASIMULATED-eve", ACCOUNTS["day"]),)},
            [{"name": "one", "profile": "day"}, {"name": "other", "profile": "eve"}],
        ),
        (
            {"account": (("AKIASIMULATED-eve", "444455556666"),)},
            [{"name": "one", "role": ROLE}, {"name": "other", "profile": "eve"}],
        ),
    ],
    ids=["two profiles", "a role and a profile"],
)
@in_time_of_sockets
async def test_two_routes_that_are_one_account(tmp_path, settings, routes):
    """They would take the quota from each other: refused before any call, and both are named."""
    async with bench(tmp_path, **settings) as it:
        with pytest.raises(JobError) as caught:
            await it.run(it.job(6, routes=routes))

        (complaint,) = caught.value.complaints
        assert complaint.path == ("routes", 1)
        assert complaint.text.startswith("other is the same account and Region as one (account ")
        assert it.calls() == []
        assert not it.folder.exists()


@in_time_of_sockets
async def test_one_account_in_two_regions_is_no_twin(tmp_path):
    """Nor is one with different profiles for the same model."""
    eve, profile = ("AKIASIMULATED-eve", ACCOUNTS["day"]), f"us.{CORE}"
    async with bench(tmp_path, account=(eve,), arn=((profile, CORE),), any_region=True) as it:
        routes = [
            {"name": "one", "profile": "day"},
            {"name": "two", "profile": "eve", "region": "us-east-1"},
            {"name": "three", "profile": "eve", "models": {CORE: profile}},
        ]
        ran = await it.run(it.job(6, routes=routes))

        assert (ran.exit_code, it.charged()) == (0, 6 * PRICE)
        assert ran.notices == []


@in_time_of_sockets
async def test_an_account_that_loses_access(tmp_path):
    """In the middle of the run: its share goes to the others, and nothing has failed."""
    async with bench(tmp_path) as it:
        it.script({"action": "AccessDeniedException", "when": {"key_id": "AKIASIMULATED-day"}})

        ran = await it.run(it.job(15, routes=THREE))

        assert (ran.exit_code, it.charged()) == (0, 15 * PRICE)
        assert ACCOUNTS["day"] not in by_account(it)
        assert len([text for text in ran.notices if text.startswith("Route day: ")]) == 1


@in_time_of_sockets
async def test_a_token_of_a_role_that_expires(tmp_path):
    """The role is assumed anew; no call fails and the other routes do not wait."""
    async with bench(tmp_path, expire=(("*", 4), ("AKIASIMULATED", 1_000))) as it:
        routes = [{"name": "night", "role": ROLE}, {"name": "day", "role": ROLE.replace("4", "5")}]
        ran = await it.run(it.job(12, routes=routes, limits={"concurrency": 2}))

        assert (ran.exit_code, it.charged()) == (0, 12 * PRICE)
        assert ran.summary.failed == 0


@in_time_of_sockets
async def test_auto_asks_each_account(tmp_path):
    """A route's own quota counts, wherever it comes from."""
    async with bench(tmp_path, meter="sliding", quota=((ULTRA, 20),)) as it:
        routes = [{**route, "requests_per_minute": "auto"} for route in THREE[:2]]
        ran = await it.run(job(it, 40, routes, model=ULTRA))

        assert ran.exit_code == 0
        assert {call["status"] for call in it.calls()} == {200}
        assert asyncio.get_running_loop().time() == pytest.approx(60, abs=5)
