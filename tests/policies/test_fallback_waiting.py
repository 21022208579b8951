"""Who waits for a model that is lost goes on with the next one, and was never there."""

import asyncio
import itertools
from decimal import Decimal

import pytest
from fake_models import BUSY, DENIED, SD3_5, Models, job_of, run_of
from fakes import CORE, ERRORS, ULTRA
from virtual_time import virtual_time

from batchgen.errors import AnswerLost, Throttled, Unavailable


def of(models, model_id):
    return [call for call in models.calls if call.model_id == model_id]


@pytest.mark.parametrize("error", [Throttled, Unavailable])
@pytest.mark.parametrize("concurrency", [8, 64])
@virtual_time
async def test_nobody_waits_for_a_model_that_is_lost(tmp_path, error, concurrency):
    """However many wait: the next model is called within a minute, the lost one no more."""
    models = Models({CORE: ERRORS[error]})
    limits = {"concurrency": concurrency}
    ran = await run_of(job_of(tmp_path, 70, fallback=[SD3_5], limits=limits), models)

    assert ran.summary.exit_code == 0
    assert 900 <= of(models, SD3_5)[0].at < 960
    later = [call.at for call in of(models, CORE) if call.at > 960]
    assert len(later) <= 2
    assert all(after - before > 590 for before, after in itertools.pairwise(later))
    assert ran.summary.maybe_billed_usd == 0
    assert ran.summary.billed_usd == Decimal("0.08") * 70
    assert len(ran.lines("attempt")) == len(models.calls)
    for record in ran.lines("record"):
        mine = [line for line in ran.lines("attempt") if line["task_id"] == record["task_id"]]
        assert [line["attempt"] for line in mine] == list(range(1, record["attempts"] + 1))


@virtual_time
async def test_nobody_waits_for_a_model_that_is_denied(tmp_path):
    """Its quota is small, and three calls tell: the others do not wait to hear the same."""
    models = Models({CORE: DENIED})
    limits = {"requests_per_minute": 4, "concurrency": 1}
    ran = await run_of(job_of(tmp_path, 20, fallback=[SD3_5], limits=limits), models)

    assert ran.summary.exit_code == 0
    assert len(of(models, CORE)) == 3
    assert {record["served"]["reason"] for record in ran.lines("record")} == {"denied"}


@virtual_time
async def test_tasks_of_a_denied_model_stay_open_where_others_go_on(tmp_path):
    """Those that waited for it have no other model, and were not sent."""
    items = [{"id": f"a-{n}", "prompt": f"a {n}"} for n in range(10)]
    items += [{"id": f"b-{n}", "prompt": f"b {n}", "model": SD3_5} for n in range(10)]
    models = Models({CORE: DENIED})
    ran = await run_of(job_of(tmp_path, items=items, limits={"requests_per_minute": 60}), models)

    assert len(of(models, CORE)) == 3
    assert len(of(models, SD3_5)) == 10
    assert len(ran.lines("record")) == 13


@virtual_time
async def test_a_call_that_was_sent_is_not_called_back(tmp_path):
    """It was paid for: its image is kept, however late it comes."""
    slow = iter([1_000.0])
    models = Models({CORE: lambda at: next(slow, BUSY) if at < 900 else BUSY})
    ran = await run_of(job_of(tmp_path, 6, fallback=[SD3_5]), models)

    assert ran.summary.exit_code == 0
    by_core = [record for record in ran.lines("record") if "served" not in record]
    assert len(by_core) == 1
    assert ran.summary.billed_usd == Decimal("0.04") + 5 * Decimal("0.08")


@virtual_time
async def test_the_budget_is_given_back(tmp_path):
    """Who waited for a turn had money reserved; the next model's calls find it."""
    models = Models({CORE: BUSY})
    limits = {"budget_usd": Decimal("0.80"), "concurrency": 8}
    ran = await run_of(job_of(tmp_path, 10, fallback=[SD3_5], limits=limits), models)

    assert ran.summary.exit_code == 0
    assert ran.summary.budget_left_usd == 0
    assert models.may_cost() == Decimal("0.80")


@virtual_time
async def test_money_of_two_prices_at_the_tasks_own_model(tmp_path):
    """What a substitute may have cost is told although the task's own model made it at last."""
    models = Models(
        {CORE: lambda at: BUSY if at < 1_200 else None, ULTRA: [ERRORS[AnswerLost], DENIED]}
    )
    ran = await run_of(job_of(tmp_path, fallback=[ULTRA]), models)

    (record,) = ran.lines("record")
    assert "served" not in record
    assert (record["cost_usd"], record["maybe_billed_usd"]) == (0.04, 0.14)
    assert ran.lines("attempt")[-1]["maybe_billed_usd"] == 0.14
    assert ran.summary.maybe_billed_usd == Decimal("0.14")


@virtual_time
async def test_a_run_that_is_cancelled_is_cancelled(tmp_path):
    """Whoever waits for a lost model or a next one: an order from outside wins."""
    models = Models({CORE: BUSY, SD3_5: BUSY})
    running = asyncio.create_task(run_of(job_of(tmp_path, 20, fallback=[SD3_5]), models))
    await asyncio.sleep(901)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
