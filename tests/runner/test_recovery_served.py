"""The image of a substitute that a killed run left is adopted as what it is, at its own price."""

from dataclasses import replace
from decimal import Decimal

import pytest
from fakes import ULTRA, make_image, make_record, picture
from test_recovery import Shop, attempt, run_line

from batchgen.output import read_history as history
from batchgen.output.manifest import MANIFEST_NAME
from batchgen.record import Served, Status

SERVED = Served(reason="denied", model_id=ULTRA, seed=7, request={"prompt": "one", "seed": 7})
BY_ULTRA = {
    "served": SERVED,
    "price_usd": 0.14,
    "maybe_billed": 1,
    "maybe_billed_usd": 0.04,
    "route": "night",
    "region": "us-east-1",
}


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "out")


def spent(shop):
    return history.load_history(shop.path / MANIFEST_NAME).spent


def by_ultra(task, **changes):
    return attempt(task, 2).model_copy(update={**BY_ULTRA, **changes})


async def test_an_image_of_a_substitute(shop):
    """Its record says who made it, by which route, what was asked and what it cost."""
    task = shop.task("a")
    shop.put(shop.part(task, "webp"), picture("webp"))

    adopted = await shop.adopt(run_line(), attempt(task), by_ultra(task))

    (record,) = adopted.records
    assert shop.records()[task.id].served == record.served
    assert (record.served, record.cost_usd) == (SERVED, 0.14)
    assert (record.model_id, record.seed, record.request) == (
        task.model_id,
        task.seed,
        task.request,
    )
    assert (record.route, record.region) == ("night", "us-east-1")
    assert record.images[0].path == "images/a-1.webp"
    assert adopted.uncounted_usd == 0


async def test_the_last_attempt_tells(shop):
    """A later one for what was asked: nothing was served in its place, whatever came before."""
    task = shop.task("a")
    shop.put(shop.part(task), picture())

    adopted = await shop.adopt(run_line(), by_ultra(task), attempt(task, 3))

    (record,) = adopted.records
    assert (record.served, record.route, record.cost_usd) == (None, None, 0.04)


async def test_the_money_of_a_killed_run(shop):
    """The attempt at its own price, and what came before it at its own; the adoption adds none."""
    task = shop.task("a")
    shop.put(shop.part(task), picture())
    async with shop.opened(run_line(), attempt(task), by_ultra(task)):
        pass
    assert spent(shop) == Decimal("0.18")

    await shop.adopt(run_line())

    assert spent(shop) == Decimal("0.18")


@pytest.mark.parametrize("told", [0.04, None])
async def test_records_of_a_killed_run_count_at_their_own_prices(shop, told):
    """What may have been billed as told; where nothing is told, at the price of the attempt."""
    task, other = shop.task("a"), shop.task("b")
    fields = {"cost_usd": 0.14, "maybe_billed": 2, "maybe_billed_usd": told, "served": SERVED}
    record = make_record(task, images=(make_image(),), **fields)
    untold = {"maybe_billed": 1, "maybe_billed_usd": None}
    refused = make_record(other, status=Status.FILTERED, images=(), cost_usd=0.0, **untold)
    lines = (run_line(), by_ultra(task), record, attempt(other), refused)
    async with shop.opened(*lines):
        pass

    maybe = Decimal("0.28") if told is None else Decimal("0.04")
    assert spent(shop) == Decimal("0.14") + maybe + Decimal("0.04")


async def test_a_price_that_nobody_knows_stays_unknown(shop):
    """The substitute's, though that of the task is known."""
    task = shop.task("a")
    shop.put(shop.part(task), picture())

    (record,) = (await shop.adopt(run_line(), by_ultra(task, price_usd=None))).records

    assert record.cost_usd is None


async def test_a_job_that_has_no_fallback_any_more_adopts_it_all_the_same(shop):
    """It was paid for, and the task is the same."""
    task = shop.task("a")
    job = shop.job.model_copy(update={"items": (replace(shop.job.items[0], fallback=()),)})
    shop.put(shop.part(task), picture())

    (record,) = (await shop.adopt(run_line(), by_ultra(task), job=job)).records

    assert record.served == SERVED
