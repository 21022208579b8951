"""A kill of a run that works with substitutes: images, records and money are theirs, too."""

from decimal import Decimal

import pytest
from crashing import FIGURES, Disk
from interposer import Fault

from batchgen.output import read_history as history

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
PRICE = Decimal("0.14")
ITEMS = [
    {"id": "mug", "prompt": "a blue mug", "seed": 11},
    {"id": "lamp", "prompt": "a brass lamp", "seed": 12},
    {"id": "pot", "prompt": "a clay pot", "seed": 13, "model": ULTRA},
]
"""The pot is there so that ULTRA has the quota of the job, not that of one who only stands in."""
FAULTS = [
    {"action": "end-of-life", "when": {"model": CORE}},
    {"action": "filter-output", "when": {"contains": '"seed": 11'}},
]
"""One picture of the mug is withheld; a new seed has more luck."""


def scene_of(yard):
    scene = yard.scene(
        [],
        items=ITEMS,
        fallback=[ULTRA],
        on_filtered={"retry_with_new_seed": 1},
        limits={"budget_usd": float(6 * PRICE)},
    )
    scene.simulator.script(*FAULTS)
    return scene


def charged(scene):
    return sum((Decimal(line["charged_usd"]) for line in scene.simulator.ledger()), Decimal(0))


def sent(scene):
    """What was sent of each prompt at last, and whether it was delivered."""
    return {line["image_sha256"]: line for line in scene.simulator.ledger() if line["image_sha256"]}


def check_record(record, by_image):
    """An adopted one says the same as any other, but for what only the lost answer told."""
    assert by_image[record["images"][0]["sha256"]]["model"] == ULTRA
    if record["item_id"] == "pot":
        assert "served" not in record
        return
    served, is_mug = record["served"], record["item_id"] == "mug"
    assert (record["model_id"], record["seed"]) == (CORE, 11 if is_mug else 12)
    assert (served["model_id"], record["cost_usd"]) == (ULTRA, 0.14)
    assert served["reason"] == ("filtered" if is_mug else "denied")
    assert (served["seed"] == record["seed"]) == (not is_mug)


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_step(yard, stride):
    """What was paid for is adopted as what it is, and counts at its own price."""
    steps = len(scene_of(yard).run().steps)
    adopted = 0
    for step in range(1, steps + 1, stride):
        scene = scene_of(yard)
        scene.run(Fault(step=step))
        spent = history.load_history(scene.folder / "manifest.jsonl").spent
        paid = charged(scene)
        if step < steps - 1:
            assert paid <= spent <= paid + 2 * PRICE, "each model's call in flight"

        told = scene.run()

        assert told.exit_code == 0, told.error
        assert charged(scene) <= 6 * PRICE
        disk = Disk.read(scene.folder)
        disk.check_records()
        records = disk.succeeded()
        assert len(records) == 3
        for record in records.values():
            check_record(record, sent(scene))
            adopted += record["latency_ms"] is None
        assert disk.leftovers() == []
        yard.discard(scene)
        FIGURES["crash points with substitutes"] += 1
    assert adopted > 2
