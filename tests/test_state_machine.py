"""Weeks of a shop in any order: edits, nights, kills, full disks; what was paid for is never lost.

Each night is a process of its own that can be killed at any of its durable steps, calls a service
that enters its charges in books outside of it, and lives in virtual time.
"""

import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

sys.path.insert(0, str(Path(__file__).parent / "crash"))

from crashing import WHOLE, Disk, Nursery, Scene, make_job
from interposer import Fault
from services import OUTCOMES, picture

CONCURRENCY = 3
STEPS = st.integers(1, 60)
NAMES = ["mug", "lamp", "scarf", "chair", "pot", "vase"]


@pytest.fixture(scope="module", autouse=True)
def nursery():
    """Shared by all the machines."""
    Shop.nursery = Nursery()
    yield
    Shop.nursery.close()


class Item:
    """One thing that the shop wants a picture of; its seed stays whatever its name and prompt."""

    def __init__(self, number):
        self.seed = 100 + number
        self.versions = 1
        self.version = 1

    @property
    def prompt(self):
        return f"thing {self.seed}, take {self.version}"

    @property
    def sha256(self):
        return hashlib.sha256(picture(f"{self.prompt} {self.seed}")).hexdigest()


class Shop(RuleBasedStateMachine):
    """What may happen to one output folder."""

    nursery = None

    @initialize(first=st.integers(1, 3))
    def open(self, first):
        """A job of a few items, and an empty folder."""
        self.root = Path(tempfile.mkdtemp())
        self.items = {}
        self.made = 0
        self.good = Counter()
        """Image -> how often it was delivered, and so paid for."""
        self.excused = Counter()
        """Image -> how often it went away: in flight at a kill, refused by the disk, deleted."""
        self.deleted = {}
        """Task id -> the record whose image somebody deleted."""
        self.torn = 0
        job = make_job(self.root / "night" / "out", [], limits={"concurrency": CONCURRENCY})
        self.scene = Scene(self.nursery, job)
        self.scene.folder.parent.mkdir()
        self.seen = 0
        for name in NAMES[:first]:
            self._submit(name)

    def teardown(self):
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    def _submit(self, name):
        self.made += 1
        self.items[name] = Item(self.made)

    # What people do to the job file.

    @precondition(lambda self: len(self.items) < len(NAMES))
    @rule(pick=st.integers(0, 5))
    def submit(self, pick):
        """A new item."""
        free = [name for name in NAMES if name not in self.items]
        self._submit(free[pick % len(free)])

    @precondition(lambda self: len(self.items) > 1)
    @rule(pick=st.integers(0, 5))
    def remove(self, pick):
        """An item that nobody wants any more."""
        del self.items[sorted(self.items)[pick % len(self.items)]]

    @rule(pick=st.integers(0, 5))
    def edit(self, pick):
        """A prompt that was never tried before."""
        item = self._item(pick)
        item.versions += 1
        item.version = item.versions

    @rule(pick=st.integers(0, 5), version=st.integers(1, 9))
    def undo(self, pick, version):
        """A prompt as it once was."""
        item = self._item(pick)
        item.version = 1 + version % item.versions

    @precondition(lambda self: len(self.items) > 1)
    @rule(pick=st.integers(0, 5), other=st.integers(0, 5))
    def swap_names(self, pick, other):
        """Two items take each other's names."""
        names = sorted(self.items)
        first, second = names[pick % len(names)], names[other % len(names)]
        self.items[first], self.items[second] = self.items[second], self.items[first]

    @precondition(lambda self: len(self.items) < len(NAMES))
    @rule(pick=st.integers(0, 5), other=st.integers(0, 5))
    def rename(self, pick, other):
        """An item gets another name."""
        free = [name for name in NAMES if name not in self.items]
        old = sorted(self.items)[pick % len(self.items)]
        self.items[free[other % len(free)]] = self.items.pop(old)

    @rule(pick=st.integers(0, 20))
    def delete(self, pick):
        """Somebody deletes a picture."""
        found = sorted(self.scene.folder.glob("images/*.png"))
        if found:
            path = found[pick % len(found)]
            self.excused[hashlib.sha256(path.read_bytes()).hexdigest()] += 1
            disk = Disk.read(self.scene.folder)
            for task_id, places in disk.places.items():
                if places == [f"images/{path.name}"]:
                    self.deleted[task_id] = disk.records[task_id]
            path.unlink()

    # What nights do.

    @rule(script=st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=8))
    def night(self, script):
        """A run to its end, with a service in this mood."""
        told = self._run(WHOLE, script)
        assert told.exit_code in {0, 1}, told.error
        self._check_made(told)

    @rule(step=STEPS, tear=st.booleans(), share=st.floats(0, 1), script=st.just([]))
    def killed_night(self, step, tear, share, script):
        """A run that is killed at a step, or in the middle of it."""
        self._run(Fault(step=step, kind="tear" if tear else "die", share=share), script)
        self.torn += 1

    @rule(
        step=STEPS,
        lasting=st.booleans(),
        error=st.sampled_from(["ENOSPC", "EIO", "EDQUOT"]),
        script=st.lists(st.sampled_from(["good", "throttled", "lost", "unsent"]), max_size=4),
    )
    def night_on_a_bad_disk(self, step, lasting, error, script):
        """A run whose disk fails it, once or from then on; the disk is mended in the morning."""
        fault = Fault(step=step, kind="fail", error=error, lasting=lasting)
        told = self._run(fault, script)
        assert told.exit_code in {0, 1, 2, 3}, told.error  # 2: before the first call
        self.torn += 1

    def _run(self, fault, script):
        self.scene.script = script
        self.scene.job["items"] = [
            {"id": name, "prompt": item.prompt, "seed": item.seed}
            for name, item in self.items.items()
        ]
        told = self.scene.run(fault)
        disk = Disk.read(self.scene.folder)
        images = disk.images()
        charges = self.scene.charges()
        lost = 0
        for charge in charges[self.seen :]:
            if charge.image_sha256 is not None:
                self.good[charge.image_sha256] += 1
                gone = charge.image_sha256 not in images
                self.excused[charge.image_sha256] += gone
                lost += gone
        self.seen = len(charges)
        assert lost <= (0 if fault is WHOLE else CONCURRENCY)
        return told

    def _check_made(self, told):
        """After a whole night every item has its picture, or a record that says why not."""
        disk = Disk.read(self.scene.folder)
        records = {name: self._record_of(disk, item) for name, item in self.items.items()}
        for name, record in records.items():
            path = self.scene.folder / "images" / f"{name}-1.png"
            if record["status"] == "succeeded":
                data = path.read_bytes()
                assert hashlib.sha256(data).hexdigest() == self.items[name].sha256
        statuses = {record["status"] for record in records.values()}
        assert told.exit_code == (0 if statuses == {"succeeded"} else 1)
        ids = {record["task_id"] for record in records.values()}
        assert not [part for part in disk.leftovers() if part.split(".")[-2] in ids]

    def _record_of(self, disk, item):
        wanted = {"prompt": item.prompt, "seed": item.seed}.items()
        return next(it for it in disk.records.values() if wanted <= it["request"].items())

    def _item(self, pick):
        return self.items[sorted(self.items)[pick % len(self.items)]]

    # What holds at any time.

    @invariant()
    def records_tell_the_truth(self):
        """A record means that its image is there, whole, unless somebody deleted it."""
        disk = Disk.read(self.scene.folder)
        assert disk.torn <= self.torn
        for task_id, record in disk.succeeded().items():
            (image,), (place,) = record["images"], disk.places[task_id]
            if self.deleted.get(task_id) != record:
                data = (self.scene.folder / place).read_bytes()
                assert hashlib.sha256(data).hexdigest() == image["sha256"]

    @invariant()
    def nothing_paid_for_is_lost_or_paid_for_again(self):
        """An image is on the disk unless it was excused, and paid for once more than that."""
        images = Disk.read(self.scene.folder).images()
        for image, times in self.good.items():
            assert times <= 1 + self.excused[image], "paid for twice without need"
            assert image in images or times <= self.excused[image], "paid for and lost"


def machine(examples, steps):
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("pick", [0, 1])
def test_a_name_that_another_image_takes(pick):
    """An image was deleted and its name given to another one: it is gone, and is made again."""
    shop = Shop()
    shop.open(first=2)
    shop.night([])
    shop.delete(pick=pick)
    shop.swap_names(pick=0, other=1)
    shop.night([])
    shop.records_tell_the_truth()
    shop.nothing_paid_for_is_lost_or_paid_for_again()
    shop.teardown()


def played(*steps, first):
    """A shop in which this happened."""
    shop = Shop()
    shop.open(first=first)
    for step, arguments in steps:
        getattr(shop, step)(**arguments)
        shop.records_tell_the_truth()
        shop.nothing_paid_for_is_lost_or_paid_for_again()
    shop.teardown()


@pytest.mark.parametrize("step", range(14, 22))
def test_names_that_are_swapped_after_a_kill(step):
    """An image that a killed run left belongs to the task that its temporary name says."""
    kill = {"script": [], "share": 0.0, "step": step, "tear": False}
    played(
        ("killed_night", kill),
        ("swap_names", {"other": 0, "pick": 1}),
        ("night", {"script": []}),
        ("night", {"script": []}),
        first=2,
    )


@pytest.mark.parametrize("step", [37, 38, 39])
def test_names_that_are_swapped_after_a_full_disk(step):
    """An image that is found under its old name is the one that makes way for its next owner."""
    full = {"error": "ENOSPC", "lasting": False}
    played(
        ("edit", {"pick": 0}),
        ("night_on_a_bad_disk", full | {"script": [], "step": 52}),
        ("edit", {"pick": 0}),
        ("edit", {"pick": 1}),
        ("rename", {"other": 0, "pick": 0}),
        ("night_on_a_bad_disk", full | {"script": ["good"] * 3, "step": step}),
        ("swap_names", {"other": 0, "pick": 1}),
        ("night", {"script": []}),
        ("night", {"script": []}),
        first=2,
    )


def test_a_name_that_had_another_image_before_it_was_deleted():
    """An image under a name that an older one was moved to is not taken for that one."""
    played(
        ("night", {"script": []}),
        ("rename", {"other": 0, "pick": 0}),
        ("night", {"script": []}),
        ("delete", {"pick": 0}),
        ("edit", {"pick": 0}),
        ("night", {"script": []}),
        ("night", {"script": []}),
        first=1,
    )


def test_some_weeks_of_a_shop():
    """No order of events loses an image or pays for one twice without need."""
    run_state_machine_as_test(Shop, settings=machine(20, 15))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_weeks_of_a_shop():
    """The same, for an hour of the machine's time in place of seconds."""
    run_state_machine_as_test(Shop, settings=machine(300, 25))
