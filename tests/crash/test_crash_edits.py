"""Editing a job moves files; a kill between any two steps of that loses none and pays for none."""

import pytest
from crashing import FIGURES, Disk, Saved
from edits import ITEMS, edited, run_items
from interposer import Fault


def shown(scene):
    """File name -> the prompt that its image was made of, by the records and the bytes."""
    disk = Disk.read(scene.folder)
    disk.check_records()
    return {
        place: record["request"]["prompt"]
        for task_id, record in disk.succeeded().items()
        for place in disk.places[task_id]
    }


def named(items):
    return {f"images/{item['id']}-1.png": item["prompt"] for item in items}


def finished(till_yard, items):
    scene = till_yard.scene([], limits={"concurrency": 2})
    assert run_items(scene, items).exit_code == 0
    assert len(scene.charges()) == len(items)
    return scene


def check_edit(scene, old, new, saved):
    """The edit is made at the price of what is new; undoing it is free and brings all back."""
    assert run_items(scene, new).exit_code == 0
    assert named(new).items() <= shown(scene).items()
    charges = len(scene.charges())
    assert run_items(scene, old).exit_code == 0
    assert len(scene.charges()) == charges, "undoing an edit was paid for"
    assert named(old).items() <= shown(scene).items()
    images = Disk.read(scene.folder).images()
    assert {charge.image_sha256 for charge in [*saved.charges, *scene.charges()]} <= images
    return charges


def sweep(till_yard, old, new, **kind):
    """Die at every step of the first run after an edit."""
    scene = finished(till_yard, old)
    saved = Saved(scene)
    prompts = [{item["prompt"] for item in items} for items in (old, new)]
    fresh = len(prompts[1] - prompts[0])
    points = 0
    while True:
        saved.restore()
        told = run_items(scene, new, Fault(step=points + 1, **kind))
        images = Disk.read(scene.folder).images()
        lost = [charge for charge in scene.charges() if charge.image_sha256 not in images]
        assert check_edit(scene, old, new, saved) == fresh + len(lost)
        if told.exit_code is not None:
            break
        points += 1
    FIGURES["crash points of edits"] += points
    return points


def test_an_edit_and_its_undoing(till_yard):
    """Only the new prompt is paid for; every image has the name that the job gives it."""
    scene = finished(till_yard, ITEMS)
    saved = Saved(scene)
    saved.restore()

    assert check_edit(scene, ITEMS, edited(), saved) == 1


def test_a_kill_at_any_step_of_a_swap_of_names(till_yard):
    """Two images that take each other's names are never lost, whichever step is prevented."""
    mug, lamp = ITEMS[:2]
    swapped = [{**mug, "id": "lamp"}, {**lamp, "id": "mug"}]

    assert sweep(till_yard, [mug, lamp], swapped, kind="die") > 20


@pytest.mark.long
@pytest.mark.parametrize("kind", ["die", "tear"])
def test_a_kill_at_any_step_of_an_edit(till_yard, kind):
    """The same for an edit with a new prompt, a swap and a new name at once."""
    assert sweep(till_yard, ITEMS, edited(), kind=kind) > 40
