"""A manifest that was cut at any byte: what is whole in it counts, and nothing else is needed."""

import json
import os
import shutil

import pytest
from crashing import FIGURES, Disk, Saved

from batchgen.job import Job
from batchgen.output import read_history as histories
from batchgen.output.manifest import MANIFEST_NAME, Manifest
from batchgen.plan import JobPlan
from batchgen.runner.selection import Selection, select

FIVE = ["a blue mug", "a brass lamp", "a wool scarf", "an oak chair", "a clay pot"]
SCRIPT = ["lost", "good", "unusable", "good", "filtered", "good", "fault"]
"""A life with all kinds of lines in it: attempts without an end, a filtered task, two attempts."""


@pytest.fixture
def finished(till_yard):
    """The output of a run that ended, with one filtered task."""
    scene = till_yard.scene(FIVE, SCRIPT)
    assert scene.run().exit_code == 1
    assert len(Disk.read(scene.folder).succeeded()) == 4
    return scene


@pytest.fixture
def no_sync(monkeypatch):
    """Thousands of files are made here, and none of them has to survive anything."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


def whole(data, cut):
    """The lines that a cut leaves whole: their newline may be gone, for it is put back."""
    kept = [line for line in data[:cut].split(b"\n") if line]
    lines = data.split(b"\n")
    return [json.loads(line) for line in kept if line in lines]


def cuts(data, every):
    """Offsets around each end of a line, and some in between."""
    ends = [n + 1 for n, byte in enumerate(data) if byte == ord("\n")]
    near = {end + offset for end in ends for offset in (-2, -1, 0, 1, 40)}
    return sorted({cut for cut in {*near, *range(0, len(data), every)} if cut < len(data)})


def task_ids(lines, kind):
    return {line["task_id"] for line in lines if line["kind"] == kind}


def wanted(scene, folder):
    """The tasks that a run would make of this manifest, as `Batch` finds them."""
    Manifest.open(folder).close()
    history = histories.load_history(folder / MANIFEST_NAME)
    job = Job.model_validate({**scene.job, "output": str(folder)})
    chosen = select(JobPlan(job), history, Selection(), history.random_seed_key or "key").to_make
    return {task.id for model_id in chosen.models() for task in chosen.tasks(model_id)}, history


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.usefixtures("no_sync")
def test_a_manifest_cut_at_any_byte_is_read_for_what_is_whole_in_it(finished, tmp_path, every):
    """Tasks with a whole record are done, all others are open; what is open may have been paid."""
    data = (finished.folder / MANIFEST_NAME).read_bytes()
    everything = task_ids(whole(data, len(data)), "record")
    for cut in cuts(data, every):
        folder = tmp_path / "cut"
        folder.mkdir()
        (folder / MANIFEST_NAME).write_bytes(data[:cut])
        lines = whole(data, cut)
        recorded = task_ids(lines, "record")

        found, history = wanted(finished, folder)

        assert found == everything - recorded, f"cut at byte {cut}"
        if "end" not in {line["kind"] for line in lines}:
            assert set(history.unanswered) == task_ids(lines, "attempt") - recorded
        shutil.rmtree(folder)
        FIGURES["offsets torn"] += 1


def run_cut(scene, saved, cut, data):
    """Cut the manifest and run to the end; charges, and those that nothing on disk could save."""
    saved.restore()
    (scene.folder / MANIFEST_NAME).write_bytes(data[:cut])
    lines = whole(data, cut)
    known = task_ids(lines, "record") | task_ids(lines, "attempt")
    told = scene.run()
    assert told.exit_code in {0, 1}, told.error
    disk = Disk.read(scene.folder)
    disk.check_records()
    assert not disk.leftovers()
    assert len(disk.records) == len(FIVE)
    succeeded = len(disk.succeeded())
    assert succeeded >= 4
    filtered = succeeded - 4  # the one that was filtered is made where its record was cut
    return len(scene.charges()) - filtered, 4 - len(known & saved.images)


@pytest.mark.parametrize("every", [400, pytest.param(7, marks=pytest.mark.long)])
def test_a_run_goes_on_from_a_manifest_that_was_cut(finished, every):
    """Images with a record are kept, those with an attempt adopted, only the others paid.

    Where nothing is left of it, it counts as lost: `test_money_output`.
    """
    saved = Saved(finished)
    saved.images = set(Disk.read(finished.folder).succeeded())
    finished.script = []
    data = (finished.folder / MANIFEST_NAME).read_bytes()
    before = Disk.read(finished.folder).images()
    for cut in filter(None, cuts(data, every)):
        charges, unknown = run_cut(finished, saved, cut, data)
        assert charges == unknown, f"cut at byte {cut}"
        assert before <= Disk.read(finished.folder).images(), "a paid image was removed"
        FIGURES["runs from a cut manifest"] += 1
