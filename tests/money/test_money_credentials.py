"""Credentials that expire, are refused, or were never there: nothing is lost."""

import asyncio
from datetime import UTC, datetime

import botocore.auth
import pytest
from bench import CORE, PRICE, ULTRA, bench, in_time_of_sockets

from batchgen.errors import ServiceUnusable
from batchgen.simulator.options import span

STRANGE = "127.0.0.2"
"""An address that is not known as this machine's own: it is shown true credentials."""


@pytest.fixture
def wallet(tmp_path, monkeypatch):
    """A shared credentials file, as `aws sso login` and its kin rewrite it."""
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))

    def put(number):
        path.write_text(
            "[default]\n"
            f"aws_access_key_id = AKIAKEY{number}\n"
            f"aws_secret_access_key = secret-{number}\n"
            f"aws_session_token = token-{number}\n"
        )

    put(1)
    return put


@in_time_of_sockets
async def test_a_token_that_expires_and_is_renewed(tmp_path, wallet):
    """Somebody logs in again: the run goes on with the new credentials, and no task has failed."""
    async with bench(tmp_path, host=STRANGE, expire=(("token-1", 5),)) as it:
        asyncio.get_running_loop().call_at(100, wallet, 2)

        ran = await it.run(it.job(20, limits={"concurrency": 4}))

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE
        assert {record["maybe_billed"] for record in ran.records()} == {0}
        keys = [call["key_id"] for call in it.calls() if call["status"] == 200]
        assert keys == ["AKIAKEY1"] * 5 + ["AKIAKEY2"] * 15
        refused = [call for call in it.calls() if call["outcome"] == "ExpiredTokenException"]
        lines = ran.lines("attempt")
        assert len(lines) == len(it.calls()), "each call has a line of its own"
        for record in ran.records():
            numbers = [line["attempt"] for line in lines if line["task_id"] == record["task_id"]]
            assert numbers == list(range(1, record["attempts"] + 1))
        assert len(refused) < 20, "credentials that are refused are not tried at once by everybody"
        ran.check_images()


@in_time_of_sockets
async def test_a_token_that_expires_twice(tmp_path, wallet):
    """A night outlives more than one token."""
    async with bench(tmp_path, host=STRANGE, expire=(("token-1", 5), ("token-2", 5))) as it:
        for number, at in ((2, 100), (3, 500)):
            asyncio.get_running_loop().call_at(at, wallet, number)

        ran = await it.run(it.job(20, limits={"concurrency": 4}))

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE


@in_time_of_sockets
async def test_a_token_that_nobody_renews(tmp_path, wallet):
    """After ten minutes the run ends with 4; what was made is there, a login goes on."""
    async with bench(tmp_path, host=STRANGE, expire=(("token-1", 5),)) as it:
        ran = await it.run(it.job(12, limits={"concurrency": 4}))

        assert ran.exit_code == 4
        assert it.charged() == 5 * PRICE
        assert ran.statuses() == {"succeeded": 5}
        assert 600 <= asyncio.get_running_loop().time() < 800
        ran.check_images()

        wallet(2)
        ran = await it.run(it.job(12))
        assert ran.exit_code == 0
        assert it.charged() == 12 * PRICE


@in_time_of_sockets
async def test_credentials_of_the_environment_cannot_be_renewed(tmp_path, monkeypatch):
    """They are the same however often they are read: the run does not wait for what cannot come."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", f"of-the-environment-{name}")
    key = "of-the-environment-SESSION_TOKEN"
    async with bench(tmp_path, host=STRANGE, expire=((key, 3),)) as it:
        ran = await it.run(it.job(10, limits={"concurrency": 2}))

        assert ran.exit_code == 4
        assert it.charged() == 3 * PRICE
        assert ran.statuses() == {"succeeded": 3}
        assert asyncio.get_running_loop().time() < 60


@pytest.mark.parametrize("action", ["UnrecognizedClientException", "InvalidSignatureException"])
@in_time_of_sockets
async def test_refusals_that_pass(tmp_path, wallet, action):
    """A clock that is set, a key that is activated: within ten minutes the run just goes on."""
    async with bench(tmp_path, host=STRANGE) as it:
        it.script({"action": action, "when": {"since": 0, "until": 300}})

        ran = await it.run(it.job(6, limits={"concurrency": 3}))

        assert ran.exit_code == 0
        assert it.charged() == 6 * PRICE


@pytest.mark.parametrize(("ahead", "side"), [(420.0, "behind"), (-420.0, "ahead of")])
@in_time_of_sockets
async def test_a_clock_that_is_wrong(tmp_path, ahead, side):
    """It is named as what it is, with how far it is off; nothing was paid."""
    async with bench(tmp_path, clock_skew=ahead, ignore_dates=False) as it:
        ran = await it.run(3)

        assert ran.exit_code == 4
        assert it.charged() == 0
        assert f"clock is 7 min {side} the service's" in ran.summary.stopping.text


@in_time_of_sockets
async def test_no_credentials_at_all(tmp_path):
    """One sentence, no call, and nothing written."""
    async with bench(tmp_path, host=STRANGE) as it:
        with pytest.raises(ServiceUnusable, match="No AWS credentials were found"):
            await it.run(3)

        assert it.calls() == []
        assert not it.folder.exists()


@in_time_of_sockets
async def test_a_profile_that_nobody_knows(tmp_path, monkeypatch):
    """The same."""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    async with bench(tmp_path, host=STRANGE) as it:
        with pytest.raises(ServiceUnusable, match="no-such-profile"):
            await it.run(3)

        assert it.calls() == []
        assert not it.folder.exists()


def two_models(it, count, **changes):
    """A job that asks for Core and Ultra in turn."""
    models = (CORE, ULTRA)
    items = [
        {"id": f"item-{n}", "prompt": f"mug {n}", "model": models[n % 2]} for n in range(count)
    ]
    return it.job(items=items, **changes)


@in_time_of_sockets
async def test_a_model_without_access_ends_for_itself(tmp_path):
    """Three equal denials stop that model; the other one is made, and no task is held to blame."""
    async with bench(tmp_path, deny=(ULTRA,)) as it:
        ran = await it.run(two_models(it, 200, limits={"concurrency": 2}))

        denied = [call for call in it.calls() if call["model"] == ULTRA]
        assert 3 <= len(denied) <= 20
        assert ran.statuses() == {"succeeded": 100, "failed": len(denied)}
        assert it.charged() == 100 * PRICE
        assert ran.exit_code == 4
        assert any(ULTRA in text and "stay open" in text for text in ran.notices)


@pytest.mark.parametrize(
    "action", ["AccessDeniedException", "end-of-life", "invalid-identifier", "on-demand"]
)
@in_time_of_sockets
async def test_a_model_that_cannot_be_used_ends_the_run(tmp_path, action):
    """A wrong model id does not fail ten thousand tasks one by one."""
    async with bench(tmp_path) as it:
        it.script({"action": action})

        ran = await it.run(it.job(300, limits={"concurrency": 2}))

        assert ran.exit_code == 4
        assert len(it.calls()) <= 20
        assert it.charged() == 0


@in_time_of_sockets
async def test_denials_of_a_model_that_works_are_those_of_a_task(tmp_path):
    """Once the model has answered, a denial says nothing about it."""
    async with bench(tmp_path) as it:
        it.script({"action": "AccessDeniedException", "skip": 5, "times": 6})

        ran = await it.run(it.job(30, limits={"concurrency": 1}))

        assert ran.statuses() == {"succeeded": 24, "failed": 6}
        assert it.charged() == 24 * PRICE


@in_time_of_sockets
async def test_tasks_wait_longer_than_a_signature_lives(tmp_path, monkeypatch):
    """A request is signed when it is sent, not when it joins a queue of an hour."""
    loop = asyncio.get_running_loop()
    started = datetime.now(UTC).timestamp() - loop.time()

    def now(*_, **__):
        return datetime.fromtimestamp(started + loop.time(), UTC).replace(tzinfo=None)

    monkeypatch.setattr(botocore.auth, "get_current_datetime", now)
    async with bench(tmp_path, ignore_dates=False) as it:
        ran = await it.run(it.job(40, limits={"requests_per_minute": 2, "concurrency": 40}))

        assert ran.exit_code == 0
        assert {call["outcome"] for call in it.calls()} == {"generated"}
        assert loop.time() > 1000


@in_time_of_sockets
async def test_all_that_met_the_old_token_go_on_at_once(tmp_path, wallet):
    """One attempt finds out that the new token works; the others do not queue behind each other."""
    async with bench(tmp_path, host=STRANGE, latency=span("10")) as it:
        it.script({"action": "ExpiredTokenException", "seconds": 5, "when": {"key_id": "AKIAKEY1"}})
        loop = asyncio.get_running_loop()
        loop.call_at(20, wallet, 2)

        ran = await it.run(it.job(64, limits={"concurrency": 64}))

        assert ran.exit_code == 0
        assert it.charged() == 64 * PRICE
        assert loop.time() < 120
