"""What the simulator says it charged: by HTTP, and in a file that survives it."""

import base64
import hashlib
import json
from datetime import datetime

import pytest
from wire import CORE, PROMPT, SDXL, wired

from batchgen.simulator import ledger
from batchgen.simulator import service as service_module
from batchgen.simulator.ledger import read

FIELDS = {
    "sequence",
    "time",
    "elapsed",
    "model",
    "model_id",
    "region",
    "account",
    "key_id",
    "invocation_id",
    "attempt",
    "body_sha256",
    "request_id",
    "seed",
    "status",
    "outcome",
    "fault",
    "charged_usd",
    "image_sha256",
    "delivered",
}


async def test_an_entry_says_all_that_is_known_of_a_call():
    """Hashes of what came and of what was sent, and the id that the answer carried."""
    body = json.dumps(PROMPT).encode()
    async with wired() as wire:
        heard = await wire.post(body, headers={"amz-sdk-invocation-id": "abc"})
        (entry,) = wire.service.ledger.lines()

    image = base64.b64decode(heard.json["images"][0])
    assert set(entry) == FIELDS
    assert entry["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert entry["image_sha256"] == hashlib.sha256(image).hexdigest()
    assert entry["request_id"] == heard.headers["x-amzn-requestid"]
    assert entry["invocation_id"] == "abc"
    assert datetime.fromisoformat(entry["time"]).utcoffset().total_seconds() == 0
    assert (entry["model"], entry["region"], entry["key_id"]) == (CORE, "us-west-2", "AKID")
    assert (entry["seed"], entry["status"], entry["outcome"]) == (7, 200, "generated")
    assert (entry["sequence"], entry["attempt"], entry["delivered"]) == (1, 1, True)


@pytest.mark.parametrize(
    ("model", "body", "charged"),
    [
        (CORE, {"prompt": "a"}, "0.04"),
        ("stability.stable-image-ultra-v1:1", {"prompt": "a"}, "0.14"),
        ("stability.sd3-5-large-v1:0", {"prompt": "a"}, "0.08"),
        (SDXL, {"text_prompts": [{"text": "a"}], "steps": 50}, "0.04"),
        (SDXL, {"text_prompts": [{"text": "a"}], "steps": 51}, "0.08"),
        ("stability.stable-diffusion-xl", {"text_prompts": [{"text": "a"}]}, "0.036"),
        ("no-such-model", {}, "0"),
        (CORE, {}, "0"),
    ],
)
async def test_an_image_costs_what_its_model_costs(model, body, charged):
    """And what makes no image costs nothing."""
    async with wired(picture="plain") as wire:
        await wire.post(body, model=model)

        assert [entry["charged_usd"] for entry in wire.service.ledger.lines()] == [charged]
        assert str(wire.service.ledger.total) == charged


@pytest.mark.parametrize(
    ("bill", "charged"),
    [("output", ["0", "0.04"]), ("always", ["0.04", "0.04"]), ("never", ["0", "0"])],
)
async def test_whether_refused_requests_cost_is_an_option(bill, charged):
    """Nobody knows what AWS does: the prompt's refusal first, the picture's second."""
    async with wired(picture="plain", bill_filtered=bill) as wire:
        await wire.post({"prompt": "nude"})
        await wire.post({"prompt": "bloody"})

        assert [entry["charged_usd"] for entry in wire.service.ledger.lines()] == charged


async def test_the_file_has_what_the_endpoint_has(tmp_path):
    """Line by line, as soon as it is known, and across restarts."""
    path = tmp_path / "ledger.jsonl"
    expected = []
    for _ in range(2):
        async with wired(picture="plain", ledger=path) as wire:
            await wire.post(PROMPT)
            await wire.post({})
            expected += wire.service.ledger.lines()

            assert read(path) == expected
    assert [entry["sequence"] for entry in read(path)] == [1, 2, 1, 2]
    assert {json.loads(line)["kind"] for line in path.read_text().splitlines()} == {
        "call",
        "delivery",
    }


async def test_a_random_seed_is_entered_and_told():
    """0 and no seed ask for one; another attempt gets another."""
    async with wired(picture="plain") as wire:
        bodies = ({"prompt": "a", "seed": 0}, {"prompt": "a", "seed": 0}, {"prompt": "a"})
        told = [(await wire.post(body)).json["seeds"][0] for body in bodies]
        entered = [entry["seed"] for entry in wire.service.ledger.lines()]

    assert told == entered
    assert len(set(told)) == 3
    assert all(0 < seed < 2**32 for seed in told)


def test_the_endpoint_gives_entries_after_a_number(bench):
    """So a long run can be followed."""
    client = bench.client()
    for _ in range(3):
        client.invoke_model(modelId=CORE, body=json.dumps(PROMPT))

    assert [entry["sequence"] for entry in bench.ask("GET", "ledger?after=1")["entries"]] == [2, 3]
    assert [entry["attempt"] for entry in bench.ledger()] == [1, 2, 3]


def test_stats_count_what_happened(bench):
    """By status, outcome and model; and what it cost."""
    bench.script({"action": "throttle", "times": 1})
    client = bench.client()
    with pytest.raises(client.exceptions.ThrottlingException):
        client.invoke_model(modelId=CORE, body=json.dumps(PROMPT))
    client.invoke_model(modelId=CORE, body=json.dumps(PROMPT))
    stats = bench.stats()

    assert stats["calls"] == 2
    assert stats["by_status"] == {"429": 1, "200": 1}
    assert stats["by_outcome"] == {"ThrottlingException": 1, "generated": 1}
    assert stats["by_model"] == {CORE: 2}
    assert (stats["in_flight"], stats["most_in_flight"]) == (0, 1)
    assert stats["last_minute"] == {"answered": 1, "throttled": 1}
    assert stats["charged_usd"] == "0.04"


def test_a_reset_forgets_everything(bench):
    """Calls, charges, attempts and faults."""
    bench.script({"action": "throttle"})
    bench.ask("POST", "reset")
    bench.client().invoke_model(modelId=CORE, body=json.dumps(PROMPT))
    bench.ask("POST", "reset")

    assert bench.ledger() == []
    assert bench.stats()["calls"] == 0
    assert bench.stats()["charged_usd"] == "0"


async def test_faults_can_be_listed_added_and_cleared():
    """Over HTTP, with a message for what cannot be used."""
    async with wired(picture="plain") as wire:
        listed = await wire.post(b"", "/simulator/actions", method="GET")
        wrong = await wire.post([{"action": "explode"}], "/simulator/faults")
        broken = await wire.post(b"[", "/simulator/faults")
        added = await wire.post([{"action": "throttle"}], "/simulator/faults")
        throttled = await wire.post(PROMPT)
        await wire.post(b"", "/simulator/faults", method="DELETE")
        passed = await wire.post(PROMPT)
        nothing = await wire.post(b"", "/simulator/nothing")

    assert "torn-image" in listed.json
    assert (wrong.status, broken.status, added.json) == (400, 400, {"added": 1})
    assert "unknown action 'explode'" in wrong.message
    assert (throttled.status, passed.status, nothing.status) == (429, 200, 404)


async def test_it_remembers_a_bounded_number_of_calls(monkeypatch):
    """A simulator that runs for days keeps the last ones, and of the last minute only counts."""
    monkeypatch.setattr(ledger, "REMEMBERED", 3)
    monkeypatch.setattr(service_module, "REMEMBERED", 3)
    monkeypatch.setattr(ledger, "_MOMENT", 60.0)
    async with wired() as wire:
        for number in range(7):
            await wire.post({**PROMPT, "seed": number + 1})
        service = wire.service
        assert [line["seed"] for line in service.ledger.lines()] == [5, 6, 7]
        assert [line["delivered"] for line in service.ledger.lines()] == [True] * 3
        assert len(service.ledger._delivered) == 3
        assert len(service.stats._recent) == 1
        assert service.stats.snapshot()["last_minute"] == {"answered": 7, "throttled": 0}
        for seed in (5, 8, 9, 5, 7):  # the fifth is one of the last three at each time
            await wire.post({**PROMPT, "seed": seed})
        assert [line["attempt"] for line in service.ledger.lines()] == [1, 3, 1]
        assert len(service._attempts) == 3
