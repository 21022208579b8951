"""Whose calls share a quota, how it changes with time, and how many may be in flight."""

from contextlib import ExitStack

import pytest
from clocks import ManualClock
from wire import CORE, PROMPT, authorization, made, wired

from batchgen.simulator.errors import Refused
from batchgen.simulator.models import MODELS
from batchgen.simulator.quota import Quotas

MODEL = MODELS[CORE]
ULTRA = MODELS["stability.stable-image-ultra-v1:1"]


def quotas(clock=None, **settings):
    """The quotas of a simulator with these options."""
    return Quotas(made(**settings), clock or ManualClock())


def passes(quota, account="1", region="us-west-2", model=MODEL):
    """Whether a call gets a slot."""
    try:
        with quota.slot(account, region, model):
            return True
    except Refused as refused:
        return refused.name != "ThrottlingException"


def test_accounts_regions_and_models_have_quotas_of_their_own():
    """One used-up quota is nobody else's."""
    quota = quotas(requests_per_minute="1")

    assert passes(quota)
    assert not passes(quota)
    assert passes(quota, account="2")
    assert passes(quota, region="us-east-1")
    assert passes(quota, model=ULTRA)


def test_the_default_quota_is_the_documented_one_of_each_model():
    """90 a minute for Core, 10 for Ultra."""
    quota = quotas()

    assert sum(passes(quota) for _ in range(120)) == 90
    assert sum(passes(quota, model=ULTRA) for _ in range(20)) == 10


def test_one_models_quota_can_be_set_apart():
    """It wins over the common one."""
    quota = quotas(requests_per_minute="5", quota=[f"{CORE}=2"])

    assert sum(passes(quota) for _ in range(9)) == 2
    assert sum(passes(quota, model=ULTRA) for _ in range(9)) == 5


@pytest.mark.parametrize("meter", ["bucket", "fixed", "sliding"])
def test_a_quota_steps_at_its_time_and_back(meter):
    """For all models or for one, also while nobody calls."""
    clock = ManualClock()
    steps = ["60:3", f"180:{CORE}=6"]
    quota = quotas(clock, meter=meter, requests_per_minute="10", quota_step=steps)
    counts = []
    for _ in range(3):
        counts.append(sum(passes(quota) for _ in range(20)))
        clock.advance(120)

    assert counts == [10, 3, 6]
    assert quota.rpm(ULTRA) == 3


def test_no_more_calls_are_in_flight_than_allowed():
    """A call that ends makes room, and rejected ones take none."""
    quota = quotas(meter="none", max_concurrent="2")
    with ExitStack() as stack:
        stack.enter_context(quota.slot("1", "us-west-2", MODEL))
        with quota.slot("1", "us-west-2", MODEL):
            assert not passes(quota)
            assert passes(quota, account="2")
        assert passes(quota)


async def test_throttling_over_the_wire_ends_when_the_bucket_has_filled():
    """By the injected clock: nobody waits."""
    clock = ManualClock()
    async with wired(clock=clock, meter="bucket", requests_per_minute="2", picture="plain") as wire:
        first = [(await wire.post(PROMPT)).status for _ in range(3)]
        clock.advance(30)
        second = [(await wire.post(PROMPT)).status for _ in range(2)]

    assert (first, second) == ([200, 200, 429], [200, 429])


async def test_key_ids_share_the_quota_of_their_account():
    """Two programs of one account compete; another account does not."""
    accounts = ["A=111122223333", "B=111122223333"]
    async with wired(
        meter="sliding", requests_per_minute="1", account=accounts, picture="plain"
    ) as wire:
        statuses = [
            (await wire.post(PROMPT, headers={"Authorization": authorization(key)})).status
            for key in ("A", "B", "C")
        ]

    assert statuses == [200, 429, 200]


async def test_invalid_requests_use_up_no_quota():
    """They are refused before the meter is asked."""
    async with wired(meter="fixed", requests_per_minute="1", picture="plain") as wire:
        statuses = [(await wire.post(body)).status for body in ({}, {"prompt": 1}, PROMPT, PROMPT)]

    assert statuses == [400, 400, 200, 429]


async def test_latency_is_each_models_own_unless_it_is_set():
    """Within the range, by the injected clock, and the same for the same request."""
    clock = ManualClock()
    async with wired(clock=clock, latency=None, picture="plain") as wire:
        reader, writer = await wire.send(PROMPT)
        await clock.sleeping(1)
        clock.advance(4.6)
        await reader.readline()
        writer.close()
        assert wire.service.stats.snapshot()["calls"] == 1
