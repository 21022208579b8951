"""The bill never exceeds the budget: at any concurrency, with any fault, in one run or in many."""

import json
from decimal import Decimal

import pytest
from bench import CORE, PRICE, bench, in_time_of_sockets

from batchgen.commands.dry_run import dry_run
from batchgen.doctor.job import survey
from batchgen.errors import JobError
from batchgen.plan import JobPlan
from batchgen.runner import Selection

TROUBLE = {
    "throttle_rate": 0.1,
    "error_rate": 0.15,
    "filter_rate": 0.1,
    "damage_rate": 0.1,
    "drop_rate": 0.15,
}


def budget_of(images, **limits):
    return {"limits": {"budget_usd": PRICE * images, **limits}}


@pytest.mark.parametrize("concurrency", [1, 8, 64])
@in_time_of_sockets
async def test_a_budget_is_used_up_and_never_exceeded(tmp_path, concurrency):
    """Without faults it buys exactly what it pays for, whatever is in flight."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(100, **budget_of(20, concurrency=concurrency)))

        assert ran.exit_code == 3
        assert len(it.calls()) == len(ran.records()) == 20
        assert it.charged() == 20 * PRICE
        ran.check_images()


@pytest.mark.parametrize("concurrency", [1, 8, 64])
@in_time_of_sockets
async def test_trouble_is_paid_out_of_the_budget(tmp_path, concurrency):
    """Lost answers, broken replies and withheld pictures are paid for within the budget, too."""
    async with bench(tmp_path, **TROUBLE, seed=concurrency) as it:
        it.script({"action": "InternalServerException", "charged": True, "skip": 5, "times": 5})
        job = it.job(100, **budget_of(30, concurrency=concurrency))

        ran = await it.run(job)

        assert ran.exit_code == 3
        assert it.charged() <= 30 * PRICE
        assert ran.summary.billed_usd + ran.summary.maybe_billed_usd == 30 * PRICE
        calls = len(it.calls())
        again = await it.run(job)
        assert again.exit_code == 3
        assert len(it.calls()) == calls, "a used-up budget pays for nothing more"


@in_time_of_sockets
async def test_a_budget_that_ends_with_the_last_task(tmp_path):
    """It was enough: the run is complete, not stopped."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(20, **budget_of(20)))

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE
        assert ran.summary.budget_left_usd == 0


@in_time_of_sockets
async def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path):
    """What earlier runs of an unfinished job spent counts; the same job makes what is missing."""
    async with bench(tmp_path) as it:
        for images, made in ((5, 5), (5, 5), (8, 8), (7, 8)):
            ran = await it.run(it.job(20, **budget_of(images)))
            assert ran.exit_code == 3
            assert it.charged() == made * PRICE
        ran = await it.run(it.job(20, **budget_of(20)))
        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE


@in_time_of_sockets
async def test_the_last_cent(tmp_path):
    """A rest that is less than the price of an image is kept."""
    async with bench(tmp_path) as it:
        job = it.job(5, limits={"budget_usd": Decimal("0.1199"), "concurrency": 3})

        ran = await it.run(job)

        assert ran.exit_code == 3
        assert it.charged() == 2 * PRICE


@in_time_of_sockets
async def test_a_budget_waits_for_what_is_in_flight(tmp_path):
    """Money that a refused call gives back buys the next image."""
    async with bench(tmp_path) as it:
        it.script({"action": "throttle", "times": 30})

        ran = await it.run(it.job(10, **budget_of(10, concurrency=10)))

        assert ran.exit_code == 0
        assert it.charged() == 10 * PRICE


@in_time_of_sockets
async def test_a_price_that_nobody_knows(tmp_path):
    """Under a budget it is refused before anything is called or written; given, it counts."""
    arn = "arn:aws:bedrock:us-west-2:111122223333:provisioned-model/abc"
    async with bench(tmp_path, arn=((arn, CORE),)) as it:
        job = {"model": arn, "family": "stable-image", **budget_of(2)}
        with pytest.raises(JobError, match="nobody knows the price"):
            await it.run(it.job(5, **job))
        assert not it.folder.exists()
        assert it.calls() == []

        ran = await it.run(it.job(5, **job, prices={arn: PRICE}))

        assert ran.exit_code == 3
        assert it.charged() == 2 * PRICE


@in_time_of_sockets
async def test_two_models_share_one_budget(tmp_path):
    """Each at its own price: no cent above, and less than one image below."""
    async with bench(tmp_path) as it:
        ultra = "stability.stable-image-ultra-v1:1"
        items = [
            {"id": f"item-{n}", "prompt": f"mug {n}", **({"model": ultra} if n % 2 else {})}
            for n in range(20)
        ]
        ran = await it.run(it.job(items=items, limits={"budget_usd": Decimal("1.00")}))

        assert ran.exit_code == 3
        assert Decimal("0.86") < it.charged() <= Decimal("1.00")


def without(folder, kinds, task_ids):
    """Take lines out of a manifest, as a loss of power may."""
    path = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [
        line
        for line in lines
        if line["kind"] not in kinds or (line.get("task_id") or line["run_id"]) not in task_ids
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))


@in_time_of_sockets
async def test_adopted_images_are_paid_out_of_the_budget(tmp_path):
    """An image whose attempt line went with the power was paid for all the same."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(5))
        run_id = ran.lines("run")[0]["run_id"]
        lost = ran.records()[3:]
        for record in lost:
            image = it.folder / record["images"][0]["path"]
            image.rename(image.with_name(f".{image.name}.{record['task_id']}.part"))
        ids = {record["task_id"] for record in lost}
        without(it.folder, {"attempt", "record", "end"}, {*ids, run_id})

        for _ in range(2):
            ran = await it.run(it.job(7, **budget_of(5)))

            assert ran.exit_code == 3
            assert len(ran.records()) == 5
            assert it.charged() == 5 * PRICE


@in_time_of_sockets
async def test_a_run_that_finished_closes_the_account(tmp_path):
    """The budget of tomorrow's run is tomorrow's."""
    async with bench(tmp_path) as it:
        assert (await it.run(it.job(5, **budget_of(5)))).exit_code == 0
        assert (await it.run(it.job(10, **budget_of(5)))).exit_code == 0
        assert it.charged() == 10 * PRICE


def part(limit):
    """Options of a run of so many tasks at most."""
    return {"selection": Selection(limit=limit)}


@in_time_of_sockets
async def test_runs_of_a_part_do_not_open_the_account_anew(tmp_path):
    """With 0.10 for the job, two at a time, two are made, however often it is tried."""
    async with bench(tmp_path) as it:
        job = it.job(20, limits={"budget_usd": 0.10})
        codes = [(await it.run(job, order=part(2))).exit_code for _ in range(6)]

        assert it.charged() == 2 * PRICE
        assert codes == [0, 3, 3, 3, 3, 3]


@in_time_of_sockets
async def test_the_part_that_is_the_rest_closes_it(tmp_path):
    """Nothing of the job is left open then, whatever the options were."""
    async with bench(tmp_path) as it:
        limits = {"budget_usd": 0.16}
        await it.run(it.job(4, limits=limits), order=part(2))
        assert (await it.run(it.job(4, limits=limits), order=part(2))).exit_code == 0

        ran = await it.run(it.job(["a", "b", "c", "d"], limits=limits))

        assert ran.exit_code == 0
        assert it.charged() == 8 * PRICE


@in_time_of_sockets
async def test_an_allowance_for_each_run(tmp_path):
    """`limits.run_budget_usd` counts one run; the next has as much, within the job's budget."""
    async with bench(tmp_path) as it:
        job = it.job(9, limits={"run_budget_usd": 0.09, "budget_usd": 0.20})
        runs = [await it.run(job) for _ in range(4)]

        assert [each.exit_code for each in runs] == [3, 3, 3, 3]
        assert [each.summary.succeeded for each in runs] == [2, 2, 1, 0]
        assert it.charged() == 5 * PRICE
        assert runs[0].summary.next_step is not None
        assert runs[3].summary.next_step is None


@in_time_of_sockets
async def test_what_is_said_when_not_one_more_image_fits(tmp_path, capsys):
    """What is needed, what is left, of what, and the sum that would do; run, dry run and doctor."""
    async with bench(tmp_path) as it:
        job = it.job(5, limits={"budget_usd": 0.06})
        await it.run(job)
        ran = await it.run(job)

        text = (
            "0.04 needed, 0.02 left of 0.06, counted over all runs until the job is finished: "
            "raise it to 0.20 to finish"
        )
        assert ran.exit_code == 3
        assert it.charged() == PRICE
        assert text in ran.summary.stopping.text
        assert ran.summary.next_step is None
        dry_run(JobPlan(job), Selection(), as_json=False)
        assert text in capsys.readouterr().err
        assert any(text in finding.text for finding in survey(job).findings)

        raised = it.job(5, limits={"budget_usd": 0.20})
        assert (await it.run(raised)).exit_code == 0
        assert it.charged() == 5 * PRICE


@in_time_of_sockets
async def test_an_allowance_that_no_image_fits_in(tmp_path):
    """Running again would change nothing, so nobody is told to."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(2, limits={"run_budget_usd": 0.01}))

        assert ran.exit_code == 3
        assert it.calls() == []
        assert "raise it" in ran.summary.stopping.text
        assert ran.summary.next_step is None
