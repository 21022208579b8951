"""Pictures of the simulator never count for the service, and real ones are safe from simulations.

A run with `endpoint: aws` is one whose calls go to the bench all the same: what it is for batchgen
is decided by the job.
"""

import json
from decimal import Decimal

import pytest
from bench import PRICE, bench, in_time_of_sockets

from batchgen.bedrock import open_endpoint
from batchgen.commands.dry_run import dry_run
from batchgen.doctor.job import survey
from batchgen.errors import ManifestError
from batchgen.plan import JobPlan
from batchgen.runner import Selection


def real(it, **order):
    """How a run calls the bench in the service's name."""

    def open_service(job, calls):
        return open_endpoint(job.model_copy(update={"endpoint": it.url}), calls)

    return {"open_service": open_service, **order}


def kill(folder, keep=("run", "attempt")):
    """As if the run had been killed: its images are there, and no record or end."""
    manifest = folder / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if json.loads(line)["kind"] in keep))


@in_time_of_sockets
async def test_a_catalogue_that_was_tried_on_the_simulator(tmp_path):
    """The service makes each picture anew, and says so; the old files move aside."""
    async with bench(tmp_path) as it:
        await it.run(5)

        ran = await it.run(it.job(6, endpoint="aws"), order=real(it))

        assert ran.exit_code == 0
        assert it.charged() == 11 * PRICE
        assert any("5 pictures of the simulator are replaced" in text for text in ran.notices)
        assert {record["endpoint"] for record in ran.records()} == {"aws"}
        assert len(list((it.folder / "superseded").iterdir())) == 5
        ran.check_images()
        assert (await it.run(it.job(6, endpoint="aws"), order=real(it))).exit_code == 0
        assert it.charged() == 11 * PRICE


@in_time_of_sockets
async def test_one_simulator_and_another(tmp_path):
    """A simulator's pictures count for any: none of them is paid for."""
    async with bench(tmp_path) as it:
        await it.run(3)

        ran = await it.run(it.job(3, endpoint=it.url.replace("127.0.0.1", "localhost")))

        assert ran.exit_code == 0
        assert it.charged() == 3 * PRICE


@in_time_of_sockets
async def test_a_simulation_into_real_pictures_is_refused(tmp_path, capsys):
    """By run, dry run and doctor alike; with an output of its own it runs."""
    async with bench(tmp_path) as it:
        await it.run(it.job(2, endpoint="aws"), order=real(it))
        job, calls = it.job(4), len(it.calls())

        with pytest.raises(ManifestError, match="--output"):
            await it.run(job)
        with pytest.raises(ManifestError, match="--output"):
            dry_run(JobPlan(job), Selection(), as_json=False)
        findings = survey(job).findings
        assert [each.trouble for each in findings if each.check == "manifest"] == [2]
        assert len(it.calls()) == calls

        own = job.model_copy(update={"output": str(tmp_path / "tried")})
        assert (await it.run(own)).exit_code == 0


@in_time_of_sockets
async def test_a_killed_run_of_the_service_is_refused_too(tmp_path):
    """What it paid for may lie there without a record, and must not be taken or overwritten."""
    async with bench(tmp_path) as it:
        await it.run(it.job(2, endpoint="aws"), order=real(it))
        kill(it.folder)

        with pytest.raises(ManifestError, match="--output"):
            await it.run(3)

        ran = await it.run(it.job(2, endpoint="aws"), order=real(it))
        assert ran.exit_code == 0
        assert it.charged() == 2 * PRICE


@in_time_of_sockets
async def test_a_killed_simulation_leaves_nothing_to_adopt(tmp_path):
    """Its images are no pictures of the service."""
    async with bench(tmp_path) as it:
        await it.run(2)
        kill(it.folder)

        ran = await it.run(it.job(2, endpoint="aws"), order=real(it))

        assert ran.exit_code == 0
        assert ran.summary.adopted == 0
        assert it.charged() == 4 * PRICE
        ran.check_images()


@in_time_of_sockets
async def test_the_simulators_money_is_not_the_budgets(tmp_path):
    """What a simulation spent leaves the budget of the service whole."""
    async with bench(tmp_path) as it:
        limits = {"budget_usd": 0.12}
        stopped = await it.run(it.job(5, limits=limits))
        assert stopped.exit_code == 3

        ran = await it.run(it.job(3, endpoint="aws", limits=limits), order=real(it))

        assert ran.exit_code == 0
        assert ran.summary.billed_usd == Decimal("0.12")
        assert not ran.summary.is_simulated
        assert stopped.summary.to_json()["simulated"] is True


@in_time_of_sockets
async def test_the_dry_run_counts_what_is_replaced(tmp_path, capsys):
    """The same choice as the run's, with its price."""
    async with bench(tmp_path) as it:
        await it.run(3)

        dry_run(JobPlan(it.job(3, endpoint="aws")), Selection(), as_json=True)
        told = capsys.readouterr()

        assert json.loads(told.out)["to_make"] == 3
        assert json.loads(told.out)["simulated"] is False
        assert "3 pictures of the simulator are replaced" in told.err
