"""Tasks that fail: they stand alone, until there are more of them than the job bears."""

import tracemalloc

import pytest
from bench import PRICE, bench, in_time_of_sockets
from fakes import FakeService, good
from virtual_time import virtual_time

from batchgen.bedrock.routes import Endpoint, OpenRoute
from batchgen.errors import Rejected
from batchgen.job import Job
from batchgen.models import FAMILIES
from batchgen.runner.batch import Batch
from batchgen.runner.options import Observer, RunOptions

FAMILY = FAMILIES["stable-image"]


def limits(max_failures, concurrency=4):
    return {"limits": {"max_failures": max_failures, "concurrency": concurrency}}


@in_time_of_sockets
async def test_a_count_of_failures(tmp_path):
    """Three failed tasks end the run; only what was already on its way failed after them."""
    async with bench(tmp_path) as it:
        it.script({"action": "ValidationException"})

        ran = await it.run(it.job(100, **limits(3)))

        assert ran.exit_code == 3
        assert 3 <= len(it.calls()) <= 3 + 4
        assert len(ran.records()) == len(it.calls())
        assert it.charged() == 0
        assert "max_failures" in ran.summary.stopping.text


def every(nth, count):
    """Prompts of which each nth is a bad one."""
    return [f"mug {n} {'<bad>' if n % nth == 0 else ''}" for n in range(count)]


@in_time_of_sockets
async def test_a_share_of_failures(tmp_path):
    """Fewer are borne; more than that end the run, as soon as there is enough to judge by."""
    async with bench(tmp_path) as it:
        it.script({"action": "ValidationException", "when": {"contains": "<bad>"}})

        borne = await it.run(it.job(every(20, 60), **limits("10%")))
        assert borne.exit_code == 1
        assert borne.statuses() == {"succeeded": 57, "failed": 3}

        ran = await it.run(it.job(every(4, 200), **limits("10%")))
        assert ran.exit_code == 3
        assert 5 <= ran.summary.failed <= 20
        assert it.charged() == PRICE * (57 + ran.summary.succeeded)


@in_time_of_sockets
async def test_failures_that_a_later_run_mends(tmp_path):
    """A failed task is made by the next run; those that were made are not made again."""
    async with bench(tmp_path) as it:
        it.script({"action": "ValidationException", "when": {"contains": "mug 3"}})
        assert (await it.run(8)).exit_code == 1
        it.service.script.clear()

        ran = await it.run(8)

        assert ran.exit_code == 0
        assert it.charged() == 8 * PRICE
        assert it.posts() == [2] + [1] * 7


class Broken:
    """A family with a bug that some replies bring out."""

    def __init__(self, number):
        self._number = number
        self._replies = 0

    def parse(self, body):
        self._replies += 1
        if self._replies == self._number:
            raise KeyError("a bug in batchgen")
        return FAMILY.parse(body)

    def __getattr__(self, name):
        return getattr(FAMILY, name)


@in_time_of_sockets
async def test_a_bug_that_one_reply_brings_out(tmp_path, monkeypatch, caplog):
    """That task fails, on record, and its reply is kept; the calls of all others are finished."""
    monkeypatch.setitem(FAMILIES, "stable-image", Broken(4))
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(12, limits={"concurrency": 4}))

        assert ran.exit_code == 1
        assert ran.statuses() == {"succeeded": 11, "failed": 1}
        assert it.charged() == 12 * PRICE
        failed = next(record for record in ran.records() if record["status"] == "failed")
        assert failed["error"]["type"] == "BatchgenFault"
        assert failed["maybe_billed"] == 1
        assert "a bug in batchgen" in caplog.text
        (kept,) = (it.folder / "unusable").iterdir()
        assert FAMILY.parse(kept.read_bytes()).images
        assert ran.summary.billed_usd + ran.summary.maybe_billed_usd == 12 * PRICE


class Faulty(Observer):
    """A caller's own code, with a bug."""

    def record(self, record):
        raise RuntimeError(f"a bug of the caller's, at {record.label}")

    def retry(self, retry):
        raise RuntimeError(f"and another, at {retry.task.label}")


@in_time_of_sockets
async def test_a_bug_in_the_callers_own_code(tmp_path, caplog):
    """What is in flight is paid for: it is finished and recorded all the same."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(12), order={"observer": Faulty()})

        assert ran.statuses() == {"succeeded": 12}
        assert it.charged() == 12 * PRICE
        assert "a bug of the caller's" in caplog.text
        ran.check_images()
        assert (await it.run(12)).exit_code == 0
        assert it.charged() == 12 * PRICE


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
@virtual_time
async def test_thousands_of_equal_failures(tmp_path, count):
    """They cost neither memory nor money."""

    def answer(request):
        return good(request) if request["seed"] % 100 == 0 else Rejected("no", code="Validation")

    service = FakeService(script=iter(lambda: answer, None))
    job = Job.model_validate(
        {
            "name": "failures",
            "model": "stability.stable-image-core-v1:1",
            "output": str(tmp_path / "out"),
            "seed": 1,
            "items": [{"id": "item", "prompt": "a mug", "variants": count}],
            "limits": {"requests_per_minute": 1_000_000, "concurrency": 50},
        }
    )
    service.calls = Forgetful()
    tracemalloc.start()
    try:
        summary = await Batch(in_order(job, service)).run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (summary.succeeded, summary.failed) == (count // 100, count - count // 100)
    assert service.calls.count == count
    assert peak < 30_000_000


class Forgetful(list):
    """Counts what it is given."""

    count = 0

    def append(self, _):
        self.count += 1


def in_order(job, service):
    from asyncio import get_running_loop  # noqa: PLC0415  # only here
    from contextlib import asynccontextmanager  # noqa: PLC0415  # only here

    @asynccontextmanager
    async def opened(*_):
        yield Endpoint(routes=(OpenRoute(service=service, renew=service.renew),))

    return RunOptions(job=job, open_service=opened, clock=get_running_loop().time)
