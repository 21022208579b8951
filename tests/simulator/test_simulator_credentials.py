"""Who may call: key ids, tokens, accounts, and the age of signatures."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from clocks import ManualClock
from wire import CORE, PROMPT, authorization, wired

from batchgen.simulator.credentials import account_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def signed(minutes=0.0, key="AKID", **more):
    """Headers of a request that was signed so long after noon."""
    when = NOON + timedelta(minutes=minutes)
    stamp = when.strftime("%Y%m%dT%H%M%SZ")
    return {"Authorization": authorization(key), "X-Amz-Date": stamp, **more}


async def test_credentials_expire_after_a_number_of_calls():
    """And new ones are as good as ever."""
    async with wired(expire=["AKID=2"], picture="plain") as wire:
        statuses = [await wire.post(PROMPT) for _ in range(3)]
        fresh = await wire.post(PROMPT, headers={"Authorization": authorization("NEW")})

    assert [heard.status for heard in statuses] == [200, 200, 403]
    assert statuses[2].message == "The security token included in the request is expired"
    assert statuses[2].headers["x-amzn-errortype"].startswith("ExpiredTokenException:")
    assert fresh.status == 200


async def test_session_tokens_expire_one_by_one():
    """`*` gives each its own number of calls, also under one key id."""
    async with wired(expire=["*=1"], picture="plain") as wire:
        statuses = [
            (await wire.post(PROMPT, headers={"X-Amz-Security-Token": token})).status
            for token in ("one", "one", "two", "two")
        ]

    assert statuses == [200, 403, 200, 403]


async def test_a_rejected_key_is_unknown():
    """As a wrong one is to the service."""
    async with wired(reject=["AKID"]) as wire:
        heard = await wire.post(PROMPT)

    assert heard.headers["x-amzn-errortype"].startswith("UnrecognizedClientException:")


async def test_access_is_denied_model_by_model():
    """With the service's sentence, and nothing charged."""
    async with wired(deny=[CORE], picture="plain") as wire:
        denied = await wire.post(PROMPT)
        other = await wire.post(PROMPT, model="stability.stable-image-ultra-v1:1")
        charged = [entry["charged_usd"] for entry in wire.service.ledger.lines()]

    assert (denied.status, other.status) == (403, 200)
    assert denied.message == "You don't have access to the model with the specified model ID."
    assert charged == ["0", "0.14"]


@pytest.mark.parametrize(
    ("minutes", "message"),
    [
        (0, None),
        (-5, None),
        (5, None),
        (
            -5.5,
            "expired: 20261121T115430Z is now earlier than 20261121T115500Z (20261121T120000Z - ",
        ),
        (
            7,
            "current: 20261121T120700Z is still later than 20261121T120500Z (20261121T120000Z + ",
        ),
    ],
)
async def test_a_signature_is_good_for_five_minutes(minutes, message):
    """So a request that waited for long after it was signed is refused."""
    clock = ManualClock(NOON.timestamp())
    async with wired(clock=clock, picture="plain") as wire:
        heard = await wire.post(PROMPT, headers=signed(minutes))

    assert heard.status == (200 if message is None else 403)
    if message:
        assert message in heard.message
        assert heard.headers["x-amzn-errortype"].startswith("InvalidSignatureException:")


async def test_a_fast_clock_refuses_and_shows_itself_in_the_date():
    """From which a client can tell the skew, correct itself and pass."""
    clock = ManualClock(NOON.timestamp())
    async with wired(clock=clock, clock_skew="420", picture="plain") as wire:
        refused = await wire.post(PROMPT, headers=signed())
        skew = parsedate_to_datetime(refused.headers["date"]) - NOON
        passed = await wire.post(PROMPT, headers=signed(skew.total_seconds() / 60))

    assert (refused.status, skew, passed.status) == (403, timedelta(minutes=7), 200)


async def test_dates_can_be_ignored():
    """For clients with a clock of their own making."""
    clock = ManualClock(NOON.timestamp())
    async with wired(clock=clock, ignore_dates=True, picture="plain") as wire:
        assert (await wire.post(PROMPT, headers=signed(-600))).status == 200


async def test_a_date_that_is_none_is_refused():
    """As a broken signature."""
    async with wired() as wire:
        heard = await wire.post(PROMPT, headers={**signed(), "X-Amz-Date": "yesterday"})

    assert heard.headers["x-amzn-errortype"].startswith("IncompleteSignatureException:")


def test_each_key_id_has_an_account_of_its_own():
    """Twelve digits, always the same."""
    assert account_of("A") == account_of("A") != account_of("B")
    assert len(account_of("A")) == 12
    assert account_of("A").isdecimal()
