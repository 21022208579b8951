"""A budget holds through kills: what may have been paid counts, what surely was not does not."""

import pytest
from crashing import FIGURES, Disk
from interposer import Fault

PRICE = 0.04
TEN = [f"mug {n}" for n in range(10)]
SCRIPT = ["lost", "good", "throttled", "fault", "good", "unusable", "withheld", "unavailable"]


def budget(images, **limits):
    return {"limits": {"budget_usd": PRICE * images, **limits}}


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.long)])
def test_kills_within_a_budget(till_yard, stride):
    """Killed at any step, and again, and run to the end: never a call above the budget."""
    steps = len(till_yard.scene(TEN, SCRIPT, **budget(7, concurrency=3)).run().steps)
    for step in range(1, steps, stride):
        scene = till_yard.scene(TEN, SCRIPT, **budget(7, concurrency=3))
        scene.run(Fault(step=step))
        scene.run(Fault(step=max(1, step // 2)))

        told = scene.run()

        assert told.exit_code in {1, 3}
        assert len(scene.charges()) <= 7
        Disk.read(scene.folder).check_records()
        till_yard.discard(scene)
        FIGURES["kills within a budget"] += 2


def test_a_kill_in_a_storm_of_refusals(till_yard):
    """Attempts that the quota refused cost nothing, also where no record was left to say so."""
    scene = till_yard.scene(TEN[:5], ["throttled"] * 200, **budget(10, concurrency=5))
    scene.run(Fault(step=85))
    disk = Disk.read(scene.folder)
    assert disk.kinds["attempt"] > 30
    assert scene.charges() == []

    scene.script = []
    told = scene.run()

    assert told.exit_code == 0, "nothing was paid, and five images are within the budget"
    assert len(scene.charges()) == 5
