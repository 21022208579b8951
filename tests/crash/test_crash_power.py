"""A loss of power forgets what was not synced; no record may then name an image that is gone."""

import shutil

import pytest
from crashing import FIGURES, Disk
from edits import ITEMS, edited, run_items
from interposer import Fault
from power import Platter, check

FIVE = ["a blue mug", "a brass lamp", "a wool scarf", "an oak chair", "a clay pot"]


def replay(scene, platter, told):
    """Check what would be left before and after each step."""
    for step, data in zip(told.steps, told.data, strict=True):
        check(platter, scene.folder.name)
        platter.take(step, data)
        FIGURES["power losses"] += 1
    check(platter, scene.folder.name)


def test_the_power_fails_at_any_moment_of_a_run(till_yard):
    """Whatever was on record has its image, in its safe folder, with its safe bytes."""
    scene = till_yard.scene(FIVE, limits={"concurrency": 2})
    platter = Platter.of(scene.folder.parent)

    told = scene.run(keep_data=True)

    assert told.exit_code == 0
    replay(scene, platter, told)


@pytest.mark.parametrize("before", [-2, -1, 0, 1, 2, 3, 4, 5])
def test_the_power_fails_after_a_kill(till_yard, before):
    """What a killed run left unsynced is synced by the next one before anything is built on it."""
    scene = till_yard.scene(FIVE)
    link = [step.split()[0] for step in scene.run().steps].index("link") + 1
    scene = till_yard.scene(FIVE)
    platter = Platter.of(scene.folder.parent)
    killed = scene.run(Fault(step=link + before), keep_data=True)
    for step, data in list(zip(killed.steps, killed.data, strict=True))[:-1]:
        platter.take(step, data)

    told = scene.run(keep_data=True)

    assert told.exit_code == 0
    replay(scene, platter, told)


def test_the_power_fails_at_any_moment_of_an_edit(till_yard):
    """A file that moves has one safe name more, never one less, than the manifest needs."""
    scene = till_yard.scene([], limits={"concurrency": 2})
    assert run_items(scene, ITEMS).exit_code == 0
    for items in (edited(), ITEMS):
        platter = Platter.of(scene.folder.parent)
        scene.job["items"] = items
        told = scene.run(keep_data=True)
        assert told.exit_code == 0
        replay(scene, platter, told)


@pytest.mark.long
def test_a_run_goes_on_after_the_power_failed(till_yard):
    """From the least that each moment may leave, a run comes to its end and pays once for each."""
    scene = till_yard.scene(FIVE)
    whole = scene.run(keep_data=True)
    for number in range(len(whole.steps)):
        left = till_yard.scene(FIVE)
        platter = Platter.of(left.folder.parent)
        for step, data in list(zip(whole.steps, whole.data, strict=True))[:number]:
            platter.take(step, data)
        platter.leave(left.folder.parent)
        images = Disk.read(left.folder).images() if left.folder.exists() else set()
        assert left.run().exit_code == 0
        disk = Disk.read(left.folder)
        disk.check_records()
        assert len(disk.succeeded()) == len(FIVE)
        assert len(left.charges()) == len(FIVE) - len(images)
        assert not disk.leftovers()
        shutil.rmtree(left.folder.parent)
        FIGURES["runs after a loss of power"] += 1
