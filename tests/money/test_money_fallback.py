"""What substitutes cost, by the simulator's ledger: to the cent what the run says."""

from collections import Counter
from decimal import Decimal

import pytest
from bench import CORE, PRICE, ULTRA, bench, in_time_of_sockets

SDXL = "stability.stable-diffusion-xl-v1"
SD3_5 = "stability.sd3-5-large-v1:0"
ULTRAS = Decimal("0.14")


def check_money(it, ran):
    """The bill is what the run says; each delivered image is on the disk, and no other.

    What open tasks may have cost is in the summary only.
    """
    summary, records = ran.summary, ran.records()
    billed = sum((Decimal(str(record["cost_usd"])) for record in records), Decimal(0))
    maybe = sum(map(maybe_of, records), Decimal(0))
    assert billed == summary.billed_usd
    assert maybe == summary.maybe_billed_usd or (summary.left and maybe < summary.maybe_billed_usd)
    assert billed <= it.charged() <= billed + summary.maybe_billed_usd
    ran.check_images()
    images = Counter(image["sha256"] for record in records for image in record["images"])
    assert len(list(ran.folder.glob("images/*.*"))) == images.total()


def maybe_of(record):
    """USD that a record says may have been billed besides."""
    return Decimal(str(record["maybe_billed_usd"]))


def calls_to(it, model_id):
    return [call for call in it.calls() if call["model"] == model_id]


@pytest.mark.parametrize("action", ["filter-prompt", "filter-400", "filter-output"])
@in_time_of_sockets
async def test_moderation(tmp_path, action):
    """Each refusal is a POST with another body; a picture that was withheld costs each time."""
    costs = action == "filter-output"
    async with bench(tmp_path) as it:
        for n in range(5):
            it.script({"action": action, "times": n, "when": {"contains": f"<{n}>"}})
        on_filtered = {"retry_with_new_seed": 2, "fallback_prompt": "a plain mug <{item}>"}
        items = [
            {"id": f"{n}", "prompt": f"a mug <{n}>", "vars": {"item": f"{n}"}} for n in range(5)
        ]
        ran = await it.run(it.job(items=items, on_filtered=on_filtered))

        assert ran.statuses() == {"succeeded": 4, "filtered": 1}
        assert len(it.calls()) == 1 + 2 + 3 + 4 + 4
        assert it.posts() == [1] * 14
        assert it.charged() == PRICE * (4 + 10 * costs)
        assert it.charged() == ran.summary.billed_usd + ran.summary.maybe_billed_usd
        check_money(it, ran)
        again = await it.run(it.job(items=items, on_filtered=on_filtered))
        assert (again.exit_code, len(it.calls())) == (1, 14)


@in_time_of_sockets
async def test_a_model_without_access(tmp_path):
    """The fallback makes all of it; a job that says nothing of one ends with exit 4."""
    async with bench(tmp_path, deny=(CORE,)) as it:
        ran = await it.run(it.job(40, limits={"concurrency": 2}))
        assert (ran.exit_code, it.charged()) == (4, 0)
        denied = len(calls_to(it, CORE))

        ran = await it.run(it.job(40, fallback=[SD3_5], limits={"concurrency": 2}))

        assert ran.exit_code == 0
        assert len(calls_to(it, CORE)) - denied < 20
        assert it.charged() == Decimal("0.08") * 40
        check_money(it, ran)


@pytest.mark.parametrize("action", ["end-of-life", "legacy", "marketplace"])
@in_time_of_sockets
async def test_a_model_that_is_no_longer_served(tmp_path, action):
    """In whichever words the service says so."""
    async with bench(tmp_path) as it:
        it.script({"action": action, "when": {"model": CORE}})

        ran = await it.run(it.job(3, fallback=[ULTRA]))

        assert ran.exit_code == 0
        assert it.charged() == ran.summary.billed_usd == 3 * ULTRAS
        assert {record["served"]["reason"] for record in ran.records()} == {"denied"}
        check_money(it, ran)


@in_time_of_sockets
async def test_past_its_end_of_life(tmp_path):
    """A model of another family takes the request over, in its own words."""
    async with bench(tmp_path, end_of_life=True) as it:
        job = it.job(3, model=SDXL, parameters={"width": 1024, "height": 1024}, fallback=[CORE])
        ran = await it.run(job)

        assert ran.exit_code == 0
        assert it.charged() == 3 * PRICE
        served = [record["served"] for record in ran.records()]
        assert {each["request"]["aspect_ratio"] for each in served} == {"1:1"}
        check_money(it, ran)


@in_time_of_sockets
async def test_a_model_that_is_throttled_out(tmp_path):
    """Its tasks wait half of what the run bears, and are made by the other one."""
    async with bench(tmp_path) as it:
        it.script({"action": "throttle", "when": {"model": CORE}})

        ran = await it.run(it.job(12, fallback=[ULTRA]))

        assert ran.exit_code == 0
        assert min(call["elapsed"] for call in calls_to(it, ULTRA)) >= 900
        assert it.charged() == ran.summary.billed_usd == 12 * ULTRAS
        assert {record["maybe_billed"] for record in ran.records()} == {0}
        check_money(it, ran)


@pytest.mark.parametrize("faults", [{"deny": (CORE, ULTRA)}, {"deny": (ULTRA,)}, {}])
@in_time_of_sockets
async def test_a_chain_that_is_gone(tmp_path, faults):
    """Nothing is paid; the run ends with exit 3 or 4 and can be gone on with."""
    async with bench(tmp_path, **faults) as it:
        it.script({"action": "throttle"})
        ran = await it.run(it.job(30, fallback=[ULTRA]))

        assert ran.exit_code == (4 if CORE in faults.get("deny", ()) else 3)
        assert it.charged() == ran.summary.billed_usd + ran.summary.maybe_billed_usd == 0
        assert all(record["error"]["type"] == "ModelDenied" for record in ran.records())
        check_money(it, ran)


@in_time_of_sockets
async def test_bad_luck_of_all_kinds(tmp_path):
    """Everything fails now and then, one model is denied: the bill is covered, and the budget."""
    trouble = {
        "throttle_rate": 0.1,
        "error_rate": 0.1,
        "filter_rate": 0.2,
        "damage_rate": 0.05,
        "drop_rate": 0.1,
    }
    allowed = {
        "fallback": [ULTRA, SD3_5],
        "on_filtered": {"retry_with_new_seed": 1, "fallback_prompt": "a plain mug {id}"},
    }
    async with bench(tmp_path, **trouble, deny=(ULTRA,)) as it:
        it.script({"action": "end-of-life", "when": {"model": CORE, "call": [60, None]}})
        limits = {"concurrency": 16, "budget_usd": Decimal("3.00")}

        ran = await it.run(it.job(60, limits=limits, **allowed))

        assert it.charged() <= Decimal("3.00")
        assert calls_to(it, SD3_5)
        assert Counter(call["outcome"] for call in it.calls())["filtered"] > 3
        check_money(it, ran)
        limits["budget_usd"] = Decimal("12.00")
        before = it.charged()
        again = await it.run(it.job(60, limits=limits, **allowed))
        spent = again.summary.billed_usd + again.summary.maybe_billed_usd
        assert it.charged() - before <= spent
        assert it.charged() <= Decimal("12.00")
        again.check_images()
