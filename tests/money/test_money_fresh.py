"""`--fresh`, and what is left of it when the run is stopped or killed."""

import pytest
from bench import PRICE, Notes, bench, in_time_of_sockets

from batchgen.errors import InputError
from batchgen.policies import StopCause
from batchgen.runner import Selection
from batchgen.runner.batch import Batch
from batchgen.runner.options import RunOptions

FRESH = Selection(fresh=True)


async def stopped_after(it, records, job, selection):
    """A run that is stopped when so many records are durable."""

    class Stopping(Notes):
        left = records

        def record(self, record):
            self.left -= record is not None
            if self.left == 0:
                batch.stop.request(StopCause.INTERRUPTED, "Enough.")

    import asyncio  # noqa: PLC0415  # here alone

    notes = Stopping()
    clock = asyncio.get_running_loop().time
    batch = Batch(RunOptions(job=job, selection=selection, observer=notes, clock=clock))
    return await batch.run(), notes


@pytest.mark.parametrize("job", [{}, {"seed": 7}], ids=["derived", "fixed"])
@in_time_of_sockets
async def test_stopped_it_is_continued_without_the_option(tmp_path, job):
    """The same command without --fresh makes the rest again, once, and says so."""
    async with bench(tmp_path) as it:
        job = it.job(12, limits={"concurrency": 2}, **job)
        await it.run(job)

        summary, notes = await stopped_after(it, 5, job, FRESH)
        assert summary.exit_code == 130
        assert "without --fresh" in summary.next_step
        assert any("same pictures" in text for text in notes.notices)

        ran = await it.run(job)
        assert ran.exit_code == 0
        assert it.charged() == 24 * PRICE
        left = summary.left
        assert any(f"--fresh was stopped: {left}" in text for text in ran.notices)

        assert (await it.run(job)).exit_code == 0
        assert it.charged() == 24 * PRICE


@in_time_of_sockets
async def test_it_is_continued_in_parts(tmp_path):
    """A limit takes some of it, and what is left is known to the next run."""
    async with bench(tmp_path) as it:
        job = it.job(10, limits={"concurrency": 2})
        await it.run(job)
        summary, _ = await stopped_after(it, 2, job, FRESH)
        left = summary.left

        ran = await it.run(job, order={"selection": Selection(limit=3)})
        assert ran.summary.succeeded == 3
        ran = await it.run(job)

        assert ran.summary.succeeded == left - 3
        assert it.charged() == 20 * PRICE


@in_time_of_sockets
async def test_of_a_part_only_that_is_continued(tmp_path):
    """What was not chosen is done as before."""
    async with bench(tmp_path) as it:
        job = it.job(10, limits={"concurrency": 1})
        await it.run(job)
        chosen = Selection(fresh=True, only=("item-1", "item-2", "item-3", "item-4"))
        summary, _ = await stopped_after(it, 1, job, chosen)

        ran = await it.run(job)

        assert ran.summary.succeeded == summary.left > 0
        assert it.charged() == 14 * PRICE


@in_time_of_sockets
async def test_finished_it_is_over(tmp_path):
    """Going back to an older prompt costs nothing, also after a --fresh that came to its end."""
    async with bench(tmp_path) as it:
        await it.run(it.job(["one", "two"]))
        await it.run(it.job(["other", "two"]), order={"selection": FRESH})
        assert it.charged() == 4 * PRICE

        ran = await it.run(it.job(["one", "two"]))

        assert ran.exit_code == 0
        assert it.charged() == 4 * PRICE


class TestReseed:
    """`--reseed`: other pictures of what was chosen, and all later runs keep to them."""

    @pytest.mark.parametrize("seed", ["derived", "random", 7])
    @in_time_of_sockets
    async def test_each_chosen_image_gets_a_new_seed(self, tmp_path, seed):
        """The older picture moves aside; a plain run afterwards finds nothing to make."""
        async with bench(tmp_path) as it:
            job = it.job(5, seed=seed)
            before = {each["label"]: each["seed"] for each in (await it.run(job)).records()}

            ran = await it.run(job, order={"selection": Selection(reseed=True, only=("item-1",))})

            assert ran.exit_code == 0
            assert it.charged() == 6 * PRICE
            (new,) = [each for each in ran.records() if each["seed"] not in before.values()]
            assert new["label"] == "item-1/1"
            assert (it.folder / "superseded" / "item-1-1~1.png").exists()
            assert (await it.run(job)).exit_code == 0
            assert it.charged() == 6 * PRICE

    @in_time_of_sockets
    async def test_stopped_it_goes_on_with_the_same_seeds(self, tmp_path):
        """The same command without the option: what was paid for counts."""
        async with bench(tmp_path) as it:
            job = it.job(8, limits={"concurrency": 1})
            await it.run(job)
            summary, _ = await stopped_after(it, 3, job, Selection(reseed=True))
            assert summary.left > 0
            assert "without --reseed" in summary.next_step

            ran = await it.run(job)

            assert ran.exit_code == 0
            assert it.charged() == 16 * PRICE
            assert it.posts() == [1] * 16

    @in_time_of_sockets
    async def test_one_variant_by_its_label(self, tmp_path):
        """The others keep their seeds, in this run and in one that draws again."""
        async with bench(tmp_path) as it:
            job = it.job(1, variants=3)
            await it.run(job)
            for _ in range(2):
                order = {"selection": Selection(reseed=True, only=("item-0/2",))}
                ran = await it.run(job, order=order)

            assert it.charged() == 5 * PRICE
            assert len({each["seed"] for each in ran.records()}) == 5
            assert (await it.run(job)).exit_code == 0
            assert it.charged() == 5 * PRICE

    @in_time_of_sockets
    async def test_not_together_with_a_limit(self, tmp_path):
        """Which images it is about would be another question in each run."""
        async with bench(tmp_path) as it:
            with pytest.raises(InputError, match="--only"):
                await it.run(it.job(3), order={"selection": Selection(reseed=True, limit=1)})

            assert it.calls() == []
