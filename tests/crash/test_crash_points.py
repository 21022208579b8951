"""A run that is killed, torn or refused by its disk at any durable step loses nothing."""

import time
from collections import Counter
from itertools import count

import pytest
from crashing import FIGURES, WHOLE, Disk, Saved
from interposer import Fault

FIVE = ["a blue mug", "a brass lamp", "a wool scarf", "an oak chair", "a clay pot"]
TWO = FIVE[:2]


def check_end(scene, told, tasks, lost, earlier=()):
    """What holds when a job ran to its end after whatever happened to it.

    `lost` are the charges whose image was nowhere on the disk when a run ended: those calls, and no
    others, may have been made again. `earlier` are charges that are no longer in the books.
    """
    disk = Disk.read(scene.folder)
    charges = [*earlier, *scene.charges()]
    paid = Counter(charge.body_sha256 for charge in charges)
    allowed = Counter(charge.body_sha256 for charge in lost)
    assert told.exit_code == 0, told.error
    assert len(disk.succeeded()) == len(disk.records) == tasks
    disk.check_records()
    assert all(times <= 1 + allowed[body] for body, times in paid.items()), "paid twice"
    delivered = {charge.image_sha256 for charge in charges}
    assert delivered <= disk.images(), "paid for, and not on the disk"
    recorded = {
        image.get("received_sha256", image["sha256"])
        for record in disk.records.values()
        for image in record["images"]
    }
    assert delivered <= recorded, "on the disk, and not on record"
    names = {path.name for path in scene.folder.iterdir()}
    assert names == {"images", "manifest.jsonl", "manifest.lock", "superseded", "unusable"}
    assert len(list((scene.folder / "images").iterdir())) == tasks, "something was left behind"


def nowhere(scene):
    """The charges whose image is in no file: those that were in flight, or refused by the disk."""
    while scene.simulator.in_flight():
        time.sleep(0.01)  # the service ends what it began, and books it then
    images = Disk.read(scene.folder).images()
    return [charge for charge in scene.charges() if charge.image_sha256 not in images]


def survive(scene, fault, tasks, concurrency=1):
    """Die by this fault, run again to the end, and check; the kill's trace, None if it missed."""
    killed = scene.run(fault)
    if killed.exit_code is not None:
        assert killed.exit_code == 0, killed.error
        return None
    lost = nowhere(scene)
    assert len(lost) <= concurrency
    check_end(scene, scene.run(), tasks, lost)
    FIGURES["crash points"] += 1
    FIGURES["in flight at a kill"] += len(lost)
    FIGURES["paid twice"] += len(scene.charges()) - tasks
    return killed


def sweep(yard, *, tasks=FIVE, concurrency=1, every=1, metadata="none", **kind):
    """Die at step 1, 2, 3, ... until a run passes; gives the kinds of steps it died at.

    With `every`, at each so manieth step only.
    """
    kinds = Counter()
    killed = None
    for step in count(1, every):
        limits = {"concurrency": concurrency}
        scene = yard.scene(tasks, limits=limits, metadata=metadata)
        killed = survive(scene, Fault(step=step, **kind), len(tasks), concurrency)
        yard.discard(scene)
        if killed is None:
            break
        kinds[killed.steps[-1].split()[0]] += 1
    return kinds


def test_a_kill_before_any_step_of_a_run(yard):
    """What was durable before a kill is never paid for again, whichever step the kill prevents."""
    kinds = sweep(yard, kind="die")

    assert kinds.keys() >= {"create", "write", "fsync", "fdatasync", "link", "unlink", "mkdir"}
    assert kinds.total() > 50


def test_a_kill_before_a_step_of_a_run_that_labels(yard):
    """With metadata a file is not what came, and is known again by what it says of that."""
    assert sweep(yard, tasks=TWO, metadata="full", every=3, kind="die").total() > 7


@pytest.mark.parametrize("share", [0.5, pytest.param(0.999, marks=pytest.mark.long)])
def test_a_kill_in_the_middle_of_any_write(yard, share):
    """A line or an image of which a part was written costs nothing but the call in flight."""
    whole = yard.scene(FIVE).run()
    writes = [n for n, step in enumerate(whole.steps, 1) if "write" in step.split()[0]]
    for step in writes:
        scene = yard.scene(FIVE)
        survive(scene, Fault(step=step, kind="tear", share=share), len(FIVE))
        yard.discard(scene)
    assert len(writes) >= 17


@pytest.mark.long
def test_a_kill_behind_any_step_of_a_run(yard):
    """The same where the step itself still happened."""
    assert sweep(yard, kind="tear").total() > 50


def test_a_few_kills_with_four_calls_in_flight(yard):
    """A small sweep of the one below: at every seventh step."""
    assert sweep(yard, concurrency=4, kind="die", every=7).total() > 7


@pytest.mark.long
@pytest.mark.parametrize("kind", ["die", "tear"])
def test_a_kill_with_four_calls_in_flight(yard, kind):
    """With four calls at a time a kill costs at most those four."""
    assert sweep(yard, concurrency=4, kind=kind).total() > 50


def recovery_sweep(yard, step, *, prompts=FIVE, **kind):
    """Kill a run at `step`, and its recovery at each of its own steps; how many those are."""
    scene = yard.scene(prompts)
    assert scene.run(Fault(step=step)).exit_code is None
    lost = nowhere(scene)
    saved = Saved(scene)
    points = 0
    while True:
        saved.restore()
        told = scene.run(Fault(step=points + 1, **kind))
        assert told.exit_code in {None, 0, 2, 3}, told.error
        more = nowhere(scene)
        check_end(scene, scene.run(), len(prompts), lost + more, saved.charges)
        if points >= len(told.steps):
            break
        points += 1
    yard.discard(scene)
    FIGURES["recovery points"] += points
    return points


def step_of(yard, kind, prompts=FIVE):
    """The first step of this kind that an undisturbed run takes with an image."""
    steps = yard.scene(prompts).run().steps
    return next(n for n, step in enumerate(steps, 1) if step.startswith(f"{kind} out/images/"))


def test_a_recovery_is_killed_while_it_adopts(yard):
    """Recovery can itself be killed at any point: the image that it takes in is not lost by it."""
    assert recovery_sweep(yard, step_of(yard, "link", TWO), prompts=TWO) > 15


@pytest.mark.long
def test_a_disk_refuses_a_step_of_a_recovery(yard):
    """Recovery that the disk stops is in good order, too: the image is taken in by the next run."""
    step = step_of(yard, "link", TWO) + 2

    assert recovery_sweep(yard, step, prompts=TWO, kind="fail", error="EIO") > 15


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_recovery_is_killed_everywhere(yard):
    """The same for recoveries from kills at each step of one image."""
    for step in range(step_of(yard, "link") - 6, step_of(yard, "unlink") + 4):
        assert recovery_sweep(yard, step) > 30


REFUSALS = [
    pytest.param("EIO", False, FIVE, marks=pytest.mark.long),
    pytest.param("EIO", True, FIVE, marks=pytest.mark.long),
    pytest.param("ENOSPC", False, FIVE, marks=pytest.mark.long),
    ("ENOSPC", True, TWO),
]


@pytest.mark.parametrize(("error", "lasting", "prompts"), REFUSALS)
def test_a_disk_that_refuses_any_step(yard, error, lasting, prompts):
    """A run whose disk fails it stops in good order; when the disk is mended, it goes on."""
    for step in count(1):
        scene = yard.scene(prompts)
        told = scene.run(Fault(step=step, kind="fail", error=error, lasting=lasting))
        at_once = {0, 3} if error == "ENOSPC" else {0, 2, 3}  # 2: it fails before the first call
        assert told.exit_code in at_once, (told.steps[step - 1 :][:1], told.error)
        statuses = {record["status"] for record in Disk.read(scene.folder).records.values()}
        assert statuses <= {"succeeded"}, "the disk's failure was held against a task"
        lost = nowhere(scene)
        assert len(lost) <= (told.exit_code != 0)
        check_end(scene, scene.run(), len(prompts), lost)
        yard.discard(scene)
        if step > len(told.steps):
            assert told.exit_code == 0
            return
        FIGURES["disk failures"] += 1


def test_a_disk_that_only_takes_a_part_of_each_write(yard):
    """Short writes are gone on with until all is written."""
    scene = yard.scene(TWO)

    told = scene.run(Fault(step=0, kind="short", share=0.3))

    assert scene.run(WHOLE).exit_code == 0
    check_end(scene, told, len(TWO), [])
