"""What each fault of the network and of the service costs, by the simulator's ledger."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import pytest
from bench import PRICE, bench, in_time_of_sockets

RETRY, FAIL = {"ambiguous": "retry"}, {"ambiguous": "fail"}
LOST = [
    {"action": "reset"},
    {"action": "close-before-headers"},
    {"action": "cut-body", "bytes": 0},
    {"action": "cut-body", "bytes": 10},
    {"action": "cut-body", "bytes": 1500},
    {"action": "stall-body", "bytes": 0},
    {"action": "stall-body", "bytes": 1000},
    {"action": "no-answer"},
    {"action": "late", "seconds": 400},
]
"""The service made the image and was paid for it; the answer did not arrive."""
UNUSABLE = [
    {"action": "cut-json"},
    {"action": "cut-json", "bytes": 1},
    {"action": "broken-base64"},
    {"action": "torn-image"},
    {"action": "corrupt-image"},
    {"action": "not-an-image"},
    {"action": "empty-images"},
    {"action": "empty-body"},
    {"action": "html"},
]
"""An answer came, and nothing in it can be kept."""
FAULTS = [
    {"action": "InternalServerException", "charged": True},
    {"action": "InternalFailure", "charged": True},
    {"action": "ModelTimeoutException", "charged": True},
    {"action": "ModelErrorException", "charged": True},
    {"action": "error", "type": "BadGateway", "status": 502, "charged": True},
    {"action": "error", "type": "GatewayTimeout", "status": 504, "charged": True},
    {"action": "html-502"},
    {"action": "inference-error", "charged": True},
]
"""The service says that it failed, and charges all the same: nobody knows that it does not."""


def named(fault):
    return "-".join(map(str, fault.values()))


def check_money(it, ran):
    """The bill is never above what the run says, and the records say the same as the summary."""
    summary, records = ran.summary, ran.records()
    billed = sum((Decimal(str(record["cost_usd"])) for record in records), Decimal(0))
    maybe = sum(record["maybe_billed"] for record in records) * PRICE
    assert (billed, maybe) == (summary.billed_usd, summary.maybe_billed_usd)
    assert billed == PRICE * ran.statuses()["succeeded"]
    assert billed <= it.charged() <= billed + maybe
    ran.check_images()


async def run_with(it, *faults, retry=RETRY, tasks=2):
    """Run a job whose first task meets the faults."""
    it.script(*({**fault, "when": {"contains": "mug 0"}} for fault in faults))
    return await it.run(it.job(tasks, retry=retry))


def first(ran):
    """The record of the task that met the faults."""
    return next(record for record in ran.records() if record["item_id"] == "item-0")


@dataclass
class Met:
    """What became of the task that met a fault."""

    fault: str
    posts: int
    charged: Decimal
    record: dict


async def meet(it, faults, retry=RETRY, **more):
    """One run in which each task meets a fault of its own, and one none; how each came off."""
    it.script(
        *({**fault, **more, "when": {"contains": f"<{n}>"}} for n, fault in enumerate(faults))
    )
    prompts = [f"a mug <{n}>" for n in range(len(faults) + 1)]
    ran = await it.run(it.job(prompts, retry=retry, limits={"concurrency": 32}))
    names = [*map(named, faults), "none"]
    records = sorted(ran.records(), key=lambda record: int(record["item_id"][5:]))
    *met, healthy = (_met(it, name, record) for name, record in zip(names, records, strict=True))
    assert (healthy.posts, healthy.charged, healthy.record["maybe_billed"]) == (1, PRICE, 0)
    if len(ran.lines("run")) == 1:
        check_money(it, ran)
    return ran, met


def _met(it, name, record):
    body = hashlib.sha256(json.dumps(record["request"]).encode()).hexdigest()
    mine = [call for call in it.calls() if call["body_sha256"] == body]
    charged = sum((Decimal(call["charged_usd"]) for call in mine), Decimal(0))
    return Met(name, len(mine), charged, record)


@in_time_of_sockets
async def test_one_call_for_each_image(tmp_path):
    """On a good day each task is sent once and charged once."""
    async with bench(tmp_path) as it:
        ran = await it.run(3)

        assert ran.exit_code == 0
        assert it.posts() == [1, 1, 1]
        assert it.charged() == ran.summary.billed_usd == 3 * PRICE
        ran.check_images()


@in_time_of_sockets
async def test_an_answer_that_is_lost_once(tmp_path):
    """One POST more, one charge more, both on record."""
    async with bench(tmp_path) as it:
        ran, met = await meet(it, LOST + UNUSABLE, times=1)

        assert ran.exit_code == 0
        for each in met:
            assert (each.posts, each.charged) == (2, 2 * PRICE), each.fault
            assert (each.record["attempts"], each.record["maybe_billed"]) == (2, 1), each.fault


@in_time_of_sockets
async def test_an_answer_that_is_always_lost(tmp_path):
    """It is paid for twice and no more; the task fails, and others are made."""
    async with bench(tmp_path) as it:
        ran, met = await meet(it, LOST + UNUSABLE)

        assert ran.exit_code == 1
        for each in met:
            assert (each.posts, each.charged) == (2, 2 * PRICE), each.fault
            assert each.record["status"] == "failed", each.fault
            assert (each.record["attempts"], each.record["maybe_billed"]) == (2, 2), each.fault
            assert each.record["error"]["retryable"], each.fault


@in_time_of_sockets
async def test_a_job_that_never_pays_twice(tmp_path):
    """With `ambiguous: fail` a call that may have been billed is not made again."""
    async with bench(tmp_path) as it:
        ran, met = await meet(it, LOST + UNUSABLE + FAULTS, retry=FAIL, times=1)

        assert ran.exit_code == 1
        for each in met:
            assert (each.posts, each.charged) == (1, PRICE), each.fault
            assert (each.record["attempts"], each.record["maybe_billed"]) == (1, 1), each.fault


@in_time_of_sockets
async def test_a_service_that_fails(tmp_path):
    """A fault that the service itself reports is tried three times in all."""
    async with bench(tmp_path) as it:
        _, met = await meet(it, FAULTS)

        for each in met:
            assert (each.posts, each.charged) == (3, 3 * PRICE), each.fault
            assert each.record["status"] == "failed", each.fault
            assert (each.record["attempts"], each.record["maybe_billed"]) == (3, 3), each.fault


@in_time_of_sockets
async def test_unusable_replies_are_kept(tmp_path):
    """What was paid for is there for a person to look at, in this run and after the next one."""
    async with bench(tmp_path) as it:
        await meet(it, UNUSABLE)
        kept = {path.name: path.read_bytes() for path in (it.folder / "unusable").iterdir()}
        assert len(kept) == 2 * len(UNUSABLE)

        await meet(it, UNUSABLE)

        later = {path.name: path.read_bytes() for path in (it.folder / "unusable").iterdir()}
        assert kept.items() <= later.items()
        assert len(later) == 4 * len(UNUSABLE)


@in_time_of_sockets
async def test_a_late_answer(tmp_path):
    """An answer within five minutes is waited for: it costs nothing more."""
    async with bench(tmp_path) as it:
        ran = await run_with(it, {"action": "late", "seconds": 290})

        assert ran.exit_code == 0
        assert it.posts() == [1, 1]
        check_money(it, ran)


WAITED_OUT = [
    {"action": "ServiceUnavailableException", "when": {"until": 600}},
    {"action": "throttle", "when": {"until": 300}},
    {"action": "ModelNotReadyException", "times": 20},
]


@pytest.mark.parametrize("fault", WAITED_OUT, ids=lambda fault: fault["action"])
@in_time_of_sockets
async def test_a_service_that_is_away_for_a_while(tmp_path, fault):
    """It costs time: no task fails, and none is paid for twice."""
    async with bench(tmp_path) as it:
        it.script(fault)

        ran = await it.run(it.job(12, limits={"concurrency": 4}))

        assert ran.exit_code == 0
        assert it.charged() == 12 * PRICE
        assert {record["maybe_billed"] for record in ran.records()} == {0}
        check_money(it, ran)


@pytest.mark.parametrize(
    "action", ["throttle", pytest.param("ServiceUnavailableException", marks=pytest.mark.long)]
)
@in_time_of_sockets
async def test_a_service_that_stays_away(tmp_path, action):
    """The run gives up, all tasks stay open, nothing was paid; later it goes on as if new."""
    async with bench(tmp_path) as it:
        it.script({"action": action})

        ran = await it.run(it.job(20))

        assert ran.exit_code == 3
        assert (it.charged(), ran.records()) == (0, [])
        assert 20 < len(it.calls()) < 400, "a service that is away was stormed"
        it.service.script.clear()
        ran = await it.run(it.job(20))
        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE


@in_time_of_sockets
async def test_throttling_does_not_count_against_a_task(tmp_path):
    """A task that was throttled more often than it has attempts is still made."""
    async with bench(tmp_path) as it:
        ran = await run_with(it, {"action": "throttle", "times": 12}, retry={"attempts": 2})

        assert ran.exit_code == 0
        assert first(ran)["attempts"] == 13
        check_money(it, ran)


FILTERS = [
    ("filter-prompt", 0),
    ("filter-input", 0),
    ("filter-400", 0),
    ("filter-400-words", 0),
    ("filter-output", 1),
    ("filter-with-image", 1),
]


@in_time_of_sockets
async def test_moderation(tmp_path):
    """What moderation refuses is never sent again by itself; a picture withheld may cost."""
    async with bench(tmp_path) as it:
        faults = [{"action": action, "charged": bool(charges)} for action, charges in FILTERS]
        ran, met = await meet(it, faults)

        assert ran.exit_code == 1
        for each, (_, charges) in zip(met, FILTERS, strict=True):
            assert (each.posts, each.charged) == (1, charges * PRICE), each.fault
            assert each.record["status"] == "filtered", each.fault
            assert each.record["maybe_billed"] == charges, each.fault
        posts = it.posts()
        again = await it.run(it.job([f"a mug <{n}>" for n in range(len(faults) + 1)]))
        assert again.exit_code == 1
        assert it.posts() == posts


@in_time_of_sockets
async def test_a_partly_filtered_reply(tmp_path):
    """The image that came is kept, although the reply speaks of another one that was refused."""
    async with bench(tmp_path) as it:
        ran = await run_with(it, {"action": "partly-filtered"})

        assert ran.exit_code == 0
        assert it.posts() == [1, 1]
        assert len(first(ran)["finish_reasons"]) == 2
        check_money(it, ran)


@in_time_of_sockets
async def test_bad_luck_of_all_kinds(tmp_path):
    """With a third of the calls failing somehow, the bill is what the run says, to the cent."""
    async with bench(
        tmp_path,
        throttle_rate=0.1,
        error_rate=0.1,
        filter_rate=0.05,
        damage_rate=0.05,
        drop_rate=0.1,
        bill_filtered="output",
    ) as it:
        ran = await it.run(it.job(60, limits={"concurrency": 16}))

        assert len(ran.records()) == 60
        counts = Counter(call["outcome"] for call in it.calls())
        assert min(counts[name] for name in ("generated", "filtered", "ThrottlingException")) > 0
        check_money(it, ran)
        assert max(it.posts()) <= 30
