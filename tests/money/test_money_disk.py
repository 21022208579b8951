"""A disk that is full, slow or broken, and files that are not what the manifest says of them."""

import asyncio
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest
from bench import PRICE, bench, in_time_of_sockets

import batchgen
from batchgen.errors import ManifestError, StorageError
from batchgen.runner.options import Observer

Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  # as shutil's own
GB = 10**9
PNG = bytes.fromhex("89504e470d0a1a0a")


def files(folder):
    """Path -> sha256 of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@in_time_of_sockets
async def test_a_disk_that_is_full_at_the_start(tmp_path, monkeypatch):
    """No call is made whose image would find no room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(GB, GB, 1000))
    async with bench(tmp_path) as it:
        ran = await it.run(5)

        assert ran.exit_code == 3
        assert it.calls() == []
        assert "no room" in ran.summary.stopping.text


@in_time_of_sockets
async def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    """The handing out stops while what is in flight still has room, and all of that is saved."""
    async with bench(tmp_path) as it:
        free = iter([*[GB] * 12, *[1000] * 1000])
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(GB, 0, next(free)))
        it.script({"action": "late", "seconds": 20})

        ran = await it.run(it.job(40, limits={"concurrency": 8}))

        assert ran.exit_code == 3
        assert it.charged() == 12 * PRICE
        assert ran.statuses() == {"succeeded": 12}
        ran.check_images()
        monkeypatch.undo()
        it.service.script.clear()
        assert (await it.run(40)).exit_code == 0
        assert it.charged() == 40 * PRICE


def test_a_true_disk_without_a_byte_left(tmp_path):
    """Only the image that found no room is lost; the run says so and goes on when there is room."""
    root = Path(batchgen.__file__).parents[1]
    paths = [str(root), str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = ["unshare", "--mount", sys.executable, Path(__file__).with_name("full_disk.py")]
    try:
        done = subprocess.run(
            [*command, tmp_path],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if "unshare failed" in done.stderr or "mount" in done.stderr:
        pytest.skip("file systems cannot be mounted here")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    full, mended = told["full"], told["mended"]
    assert full["exit_code"] == 3
    assert "No space left on device" in full["said"] or "no room" in full["said"]
    assert full["statuses"].keys() == {"succeeded"}
    assert mended["exit_code"] == 0
    assert mended["statuses"] == {"succeeded": 8}
    lost = round(float(full["charged"]) / 0.04) - full["statuses"]["succeeded"]
    assert 0 <= lost <= 2
    assert round(float(mended["charged"]) / 0.04) <= 8 + lost


@in_time_of_sockets
async def test_a_manifest_whose_sync_fails(tmp_path, monkeypatch):
    """It is not written to again: the images are there, and the next run records them."""
    async with bench(tmp_path) as it:
        true, calls = os.fdatasync, []

        def fail(descriptor):
            calls.append(descriptor)
            if len(calls) > 5:
                raise OSError(errno.EIO, "Input/output error")
            true(descriptor)

        monkeypatch.setattr(os, "fdatasync", fail)
        ran = await it.run(it.job(20, limits={"concurrency": 4}))
        assert ran.exit_code == 3
        assert len(calls) == 6, "a sync that failed was tried again"
        assert len(it.calls()) <= 3 + 2 * 4
        monkeypatch.undo()

        ran = await it.run(20)

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE
        ran.check_images()


class Sluggish:
    """A sync of the first image that takes until all others are on record."""

    def __init__(self, others):
        self.others = others
        self.released = threading.Event()
        self.waited = None
        self._fsync = os.fsync

    def sync(self, descriptor):
        is_image = Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".part"
        if is_image and self.waited is None:
            self.waited = False
            self.waited = self.released.wait(30)
        self._fsync(descriptor)


class Counting(Observer):
    def __init__(self, sluggish):
        self._sluggish = sluggish
        self._records = 0

    def record(self, record):
        self._records += record is not None
        if self._records == self._sluggish.others:
            self._sluggish.released.set()


async def test_a_slow_disk_holds_up_nobody_else(tmp_path, monkeypatch):
    """While one image is being synced, all others are called for, stored and recorded."""
    sluggish = Sluggish(others=11)
    monkeypatch.setattr(os, "fsync", sluggish.sync)
    async with bench(tmp_path) as it:
        job = it.job(12, limits={"concurrency": 3})
        ran = await asyncio.wait_for(it.run(job, order={"observer": Counting(sluggish)}), 60)

        assert sluggish.waited, "the others waited for the slow one"
        assert ran.exit_code == 0
        assert it.charged() == 12 * PRICE


STRANGERS = {
    "a picture": PNG + b"somebody's",
    "a text": b"do not lose me\n",
    "nothing": b"",
}


@pytest.mark.parametrize("content", STRANGERS.values(), ids=STRANGERS)
@in_time_of_sockets
async def test_a_file_that_has_the_name_already(tmp_path, content):
    """It is somebody's: it makes room, whole, and is never written over."""
    async with bench(tmp_path) as it:
        (it.folder / "images").mkdir(parents=True)
        (it.folder / "images" / "item-0-1.png").write_bytes(content)

        ran = await it.run(2)

        assert ran.exit_code == 0
        ran.check_images()
        assert (it.folder / "superseded" / "item-0-1~1.png").read_bytes() == content
        assert it.charged() == 2 * PRICE


@pytest.mark.parametrize("stranger", ["a whole image", "a text"])
@in_time_of_sockets
async def test_a_file_of_that_name_and_a_kill(tmp_path, stranger):
    """After a kill a file that was there before the call is not taken for what the call brought."""
    async with bench(tmp_path) as it:
        ran = await it.run(2)
        path = it.folder / "images" / "item-0-1.png"
        content = path.read_bytes() if stranger == "a whole image" else b"do not lose me\n"
        lines = (it.folder / "manifest.jsonl").read_text().splitlines(keepends=True)
        first = ran.records()[0]["task_id"]
        kept = [line for line in lines if first not in line or '"kind": "attempt"' in line]
        kept = [line for line in kept if '"kind": "end"' not in line]
        (it.folder / "manifest.jsonl").write_text("".join(kept))
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (1_000_000_000, 1_000_000_000))

        ran = await it.run(2)

        assert ran.exit_code == 0
        assert it.charged() == 3 * PRICE
        ran.check_images()
        assert (it.folder / "superseded" / "item-0-1~1.png").read_bytes() == content


@in_time_of_sockets
async def test_a_folder_that_has_the_name(tmp_path):
    """Even that makes room with all that is in it."""
    async with bench(tmp_path) as it:
        inside = it.folder / "images" / "item-0-1.png" / "note.txt"
        inside.parent.mkdir(parents=True)
        inside.write_bytes(b"deep down")

        ran = await it.run(2)

        assert ran.exit_code == 0
        ran.check_images()
        moved = it.folder / "superseded" / "item-0-1~1.png" / "note.txt"
        assert moved.read_bytes() == b"deep down"


@in_time_of_sockets
async def test_a_link_that_has_the_name(tmp_path):
    """The link moves; what it points to is not touched."""
    async with bench(tmp_path) as it:
        target = tmp_path / "elsewhere.png"
        target.write_bytes(b"elsewhere")
        (it.folder / "images").mkdir(parents=True)
        (it.folder / "images" / "item-0-1.png").symlink_to(target)

        ran = await it.run(2)

        assert ran.exit_code == 0
        ran.check_images()
        assert target.read_bytes() == b"elsewhere"
        assert not (it.folder / "images" / "item-0-1.png").is_symlink()


def deleted(path):
    path.unlink()


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def retouched(path):
    path.write_bytes(path.read_bytes() + b"retouched")


def altered(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, (time.time() + 1, time.time() + 1))


@pytest.mark.parametrize("change", [deleted, emptied, cut, retouched, altered])
@in_time_of_sockets
async def test_an_image_that_was_changed_after_the_run(tmp_path, change):
    """It is made again, alone; what somebody made of it is kept beside."""
    async with bench(tmp_path) as it:
        await it.run(4)
        path = it.folder / "images" / "item-2-1.png"
        change(path)
        left = path.read_bytes() if path.exists() else None

        ran = await it.run(4)

        assert ran.exit_code == 0
        assert it.charged() == 5 * PRICE
        ran.check_images()
        kept = it.folder / "superseded" / "item-2-1~1.png"
        assert (kept.read_bytes() if kept.exists() else None) == left
        assert any("missing or altered" in text.lower() for text in ran.notices)


@in_time_of_sockets
async def test_the_output_of_another_job(tmp_path):
    """It is refused before anything is called or written."""
    async with bench(tmp_path) as it:
        await it.run(3)
        before = files(it.folder)
        calls = len(it.calls())

        with pytest.raises(ManifestError, match="money"):
            await it.run(it.job(3, name="another"))

        assert len(it.calls()) == calls
        after = files(it.folder)
        before.pop("manifest.lock"), after.pop("manifest.lock")
        assert before == after


@pytest.mark.parametrize("lock", [b"", b"torn {", b'{"pid": 1}', b"\xff\x00" * 5000])
@in_time_of_sockets
async def test_a_lock_file_of_a_dead_process(tmp_path, lock):
    """Whatever is in it: the kernel knows that nobody holds it."""
    async with bench(tmp_path) as it:
        it.folder.mkdir()
        (it.folder / "manifest.lock").write_bytes(lock)

        assert (await it.run(2)).exit_code == 0


@pytest.mark.parametrize("place", ["manifest.jsonl", "images", "manifest.lock"])
@in_time_of_sockets
async def test_something_else_in_a_place_that_is_needed(tmp_path, place):
    """A folder where a file must be, or a file where a folder must: said, and nothing lost."""
    async with bench(tmp_path) as it:
        it.folder.mkdir()
        odd = it.folder / place
        odd.write_bytes(b"odd") if place == "images" else odd.mkdir()
        try:
            code = (await it.run(3)).exit_code
        except StorageError as error:
            code, said = 3, str(error)
            assert str(odd) in said

        assert code == 3
        assert it.charged() <= 3 * PRICE
