"""The output under attack: what is paid for is kept, and nothing is paid for that has no place."""

import errno
import os
import resource
import shutil
import tempfile
from pathlib import Path

import pytest
from bench import PRICE, Notes, bench, in_time_of_sockets

from batchgen.errors import ManifestError, OutputUnusable, StorageError
from batchgen.output import folder as folders
from batchgen.output.store import SPOOL, SUPERSEDED, UNUSABLE
from batchgen.record import MovedLine


class After(Notes):
    """Does something once, when so many records are durable."""

    def __init__(self, records, act):
        super().__init__()
        self._left = records
        self._act = act

    def record(self, record):
        self._left -= record is not None
        if self._left == 0:
            self._act()


def deleted(folder):
    (folder / "manifest.jsonl").unlink()


def rotated(folder):
    (folder / "manifest.jsonl").rename(folder / "manifest.jsonl.1")
    (folder / "manifest.jsonl").touch()


def appended_to(folder):
    with (folder / "manifest.jsonl").open("ab") as file:
        file.write(b'{"kind": "note"}\n')


def unlocked(folder):
    (folder / "manifest.lock").unlink()


def rotated_back(folder):
    (folder / "manifest.jsonl.1").replace(folder / "manifest.jsonl")


@pytest.mark.parametrize(
    ("harm", "mend"),
    [(deleted, None), (rotated, rotated_back), (appended_to, None), (unlocked, None)],
)
@in_time_of_sockets
async def test_a_journal_that_is_lost_in_mid_run(tmp_path, harm, mend):
    """The run stops with 3 at once; what was in flight is adopted, and nothing is paid twice."""
    async with bench(tmp_path) as it:
        job = it.job(40, limits={"concurrency": 4})
        ran = await it.run(job, order={"observer": After(6, lambda: harm(it.folder))})

        assert ran.exit_code == 3
        assert len(it.calls()) <= 6 + 2 * 4
        if mend is not None:
            mend(it.folder)

        ran = await it.run(job)

        assert ran.exit_code == 0
        assert it.charged() == 40 * PRICE
        assert ran.statuses() == {"succeeded": 40}
        ran.check_images()


@in_time_of_sockets
async def test_a_journal_that_is_lost_at_the_very_end(tmp_path):
    """Nothing is left to make, and yet nothing is on record: that is no 0."""
    async with bench(tmp_path) as it:
        ran = await it.run(it.job(3), order={"observer": After(3, lambda: rotated(it.folder))})

        assert ran.exit_code == 3
        assert "moved away" in ran.summary.stopping.text
        assert (it.folder / "manifest.jsonl").read_bytes() == b""


@in_time_of_sockets
async def test_a_second_run_after_the_lock_was_removed(tmp_path):
    """The first one notices it and writes no further line."""
    async with bench(tmp_path) as it:
        second = []

        def start():
            import asyncio  # noqa: PLC0415  # here alone

            unlocked(it.folder)
            second.append(asyncio.ensure_future(it.run(job)))

        job = it.job(30, limits={"concurrency": 2})
        it.script({"action": "late", "seconds": 2})
        first = await it.run(job, order={"observer": After(4, start)})
        ran = await second[0]

        assert first.exit_code == 3
        assert ran.exit_code == 0
        assert ran.statuses() == {"succeeded": 30}
        assert it.charged() <= (30 + 2 * 2) * PRICE
        ran.check_images()


@pytest.mark.parametrize("side", ["path", "new_path", "both"])
@in_time_of_sockets
async def test_a_moved_line_from_somebody_else(tmp_path, side):
    """A file outside is not touched, and nothing is called: the manifest is refused."""
    async with bench(tmp_path) as it:
        ran = await it.run(2)
        outside = tmp_path / "precious.txt"
        outside.write_bytes(b"precious")
        paths = {"path": "images/item-0-1.png", "new_path": "images/item-0-1.png"}
        paths |= {name: str(outside) for name in paths if side in (name, "both")}
        line = MovedLine(run_id="r", task_id=ran.records()[0]["task_id"], **paths)
        with (it.folder / "manifest.jsonl").open("ab") as file:
            file.write(line.to_json())
        calls = len(it.calls())

        with pytest.raises(ManifestError, match="no path inside the output"):
            await it.run(3)

        assert outside.read_bytes() == b"precious"
        assert len(it.calls()) == calls


@in_time_of_sockets
async def test_a_folder_of_images_that_became_a_link(tmp_path):
    """Nothing is written where it leads, and what arrives then is kept."""
    async with bench(tmp_path) as it:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()

        def swap():
            (it.folder / "images").rename(it.folder / "aside")
            (it.folder / "images").symlink_to(elsewhere)

        def swap_back():
            (it.folder / "images").unlink()
            (it.folder / "aside").rename(it.folder / "images")

        job = it.job(20, limits={"concurrency": 3})
        ran = await it.run(job, order={"observer": After(5, swap)})
        assert ran.exit_code == 3
        assert list(elsewhere.iterdir()) == []

        with pytest.raises(OutputUnusable, match="images is a link"):
            await it.run(job)
        swap_back()
        ran = await it.run(job)

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE
        ran.check_images()


@pytest.mark.parametrize("name", ["images", SUPERSEDED, UNUSABLE])
@pytest.mark.parametrize("kind", ["file", "link", "broken link", "pipe"])
@in_time_of_sockets
async def test_a_place_that_takes_no_image(tmp_path, name, kind):
    """It is refused before anything is called, and what is there stays."""
    async with bench(tmp_path) as it:
        it.folder.mkdir()
        place, elsewhere = it.folder / name, tmp_path / "elsewhere"
        match kind:
            case "file":
                place.touch()
            case "pipe":
                os.mkfifo(place)
            case _:
                place.symlink_to(elsewhere)
                if kind == "link":
                    elsewhere.mkdir()

        with pytest.raises(OutputUnusable, match=f"{name} (cannot take|is)"):
            await it.run(2)

        assert it.calls() == []
        assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("call", ["mkdir", "open", "write", "fsync", "link"])
@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EACCES, errno.ENOSPC])
@in_time_of_sockets
async def test_a_disk_that_refuses_before_the_first_call(tmp_path, monkeypatch, call, number):
    """What an image will need is tried: a full disk can be resumed, the rest is for a person."""
    real = getattr(os, call)

    def refuse(target, *arguments, **options):
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else target
        if "images" in str(path) and "out" in str(path):
            raise OSError(number, os.strerror(number))
        return real(target, *arguments, **options)

    async with bench(tmp_path) as it:
        monkeypatch.setattr(os, call, refuse)
        if call == "link":  # then files are renamed
            monkeypatch.setattr(Path, "rename", refuse)

        with pytest.raises(StorageError, match="images cannot take images") as caught:
            await it.run(2)

        assert it.calls() == []
        assert isinstance(caught.value, OutputUnusable) == (number != errno.ENOSPC)


@in_time_of_sockets
async def test_files_that_may_not_grow(tmp_path, monkeypatch):
    """`ulimit -f`: found before the first call, with what to do."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    async with bench(tmp_path) as it:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (500_000, infinite[1]))

        with pytest.raises(OutputUnusable, match="ulimit -f"):
            await it.run(2)

        assert it.calls() == []


@in_time_of_sockets
async def test_no_file_can_be_made_any_more(tmp_path, monkeypatch):
    """A file system can have bytes and no inodes."""
    real = os.statvfs

    def full(path):
        found = list(real(path))
        found[5:8] = [1000, 3, 3]  # f_files, f_ffree, f_favail
        return os.statvfs_result(found)

    async with bench(tmp_path) as it:
        monkeypatch.setattr(os, "statvfs", full)

        with pytest.raises(StorageError, match="inodes"):
            await it.run(2)

        assert it.calls() == []


async def test_what_a_killed_proof_left_is_in_nobodys_way(tmp_path):
    """Its names are used again and taken away."""
    (tmp_path / "images").mkdir()
    (tmp_path / "superseded").mkdir()
    (tmp_path / "images" / folders.PROOF).write_bytes(b"cut")
    (tmp_path / "superseded" / f"{folders.PROOF}-2").write_bytes(b"cut")

    async with folders.open_output(tmp_path, "run-1") as output:
        await output.prove(8)

    assert {each.name for each in tmp_path.rglob("*")} == {
        "images",
        "superseded",
        "unusable",
        "manifest.jsonl",
        "manifest.lock",
    }


class Broken:
    """A disk that takes no new file in some folders."""

    def __init__(self, monkeypatch, *parts):
        self.parts = parts
        self.on = False
        self._open = os.open
        self._mkdir = os.mkdir
        import aiofiles.threadpool  # noqa: PLC0415  # here alone

        self._sync_open = aiofiles.threadpool.sync_open
        monkeypatch.setattr(aiofiles.threadpool, "sync_open", self.open_file)
        monkeypatch.setattr(os, "open", self.open)
        monkeypatch.setattr(os, "mkdir", self.mkdir)

    def open(self, path, flags, *arguments, **options):
        if flags & os.O_CREAT:
            self.refuse(path)
        return self._open(path, flags, *arguments, **options)

    def open_file(self, path, *arguments, **options):
        self.refuse(path)
        return self._sync_open(path, *arguments, **options)

    def mkdir(self, path, *arguments, **options):
        self.refuse(path)
        return self._mkdir(path, *arguments, **options)

    def refuse(self, path):
        if self.on and any(part in str(path) for part in self.parts):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def breaks(self):
        self.on = True


@in_time_of_sockets
async def test_images_that_find_no_place_are_spooled(tmp_path, monkeypatch):
    """The folder of the images takes nothing any more: the next run finds them beside it."""
    disk = Broken(monkeypatch, "/images")
    async with bench(tmp_path) as it:
        job = it.job(20, limits={"concurrency": 4}, file_name="deep/{id}-{variant}")
        ran = await it.run(job, order={"observer": After(6, disk.breaks)})

        assert ran.exit_code == 3
        paid = len(it.calls())
        spooled = list((it.folder / SPOOL).iterdir())
        assert len(spooled) == paid - 6 > 0
        assert str(it.folder / SPOOL) in ran.summary.stopping.text
        disk.on = False

        ran = await it.run(job)

        assert ran.exit_code == 0
        assert ran.summary.adopted == len(spooled)
        assert it.charged() == 20 * PRICE
        assert not (it.folder / SPOOL).exists()
        ran.check_images()


@in_time_of_sockets
async def test_an_output_that_takes_nothing_any_more(tmp_path, monkeypatch):
    """Images go to the system's temporary folder; moved to the spool, they are found again."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    disk = Broken(monkeypatch, "/images", "/spool")
    async with bench(tmp_path) as it:
        job = it.job(20, limits={"concurrency": 4})
        notes = After(6, disk.breaks)
        ran = await it.run(job, order={"observer": notes})

        assert ran.exit_code == 3
        (refuge,) = temporary.iterdir()
        kept = list(refuge.iterdir())
        assert len(kept) == len(it.calls()) - 6 > 0
        assert any(str(refuge) in text and "move" in text for text in notes.notices)
        disk.on = False
        (it.folder / SPOOL).mkdir()
        for each in kept:
            shutil.move(each, it.folder / SPOOL / each.name)

        ran = await it.run(job)

        assert ran.exit_code == 0
        assert it.charged() == 20 * PRICE
        ran.check_images()


class TestLostManifest:
    @pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
    @in_time_of_sockets
    async def test_images_and_no_manifest(self, tmp_path, harm):
        """It is refused, nothing is written; put back, it goes on as if nothing had been."""
        async with bench(tmp_path) as it:
            await it.run(3)
            manifest = it.folder / "manifest.jsonl"
            kept = manifest.read_bytes()
            harm(manifest)
            was_there = manifest.exists()

            with pytest.raises(ManifestError, match=r"put it back, .*verify --adopt.*--fresh"):
                await it.run(3)
            assert manifest.exists() == was_there
            manifest.write_bytes(kept)
            ran = await it.run(3)

            assert ran.exit_code == 0
            assert it.charged() == 3 * PRICE

    @in_time_of_sockets
    async def test_fresh_makes_everything_again(self, tmp_path):
        """The images that nobody knows are kept in `superseded/`."""
        from batchgen.runner import Selection  # noqa: PLC0415  # here alone

        async with bench(tmp_path) as it:
            await it.run(3)
            (it.folder / "manifest.jsonl").unlink()

            ran = await it.run(it.job(3), order={"selection": Selection(fresh=True)})

            assert ran.exit_code == 0
            assert it.charged() == 6 * PRICE
            assert len(list((it.folder / SUPERSEDED).iterdir())) == 3

    @in_time_of_sockets
    async def test_other_files_are_no_images(self, tmp_path):
        """What the system or a person put there does not hold a first run up."""
        async with bench(tmp_path) as it:
            (it.folder / "images").mkdir(parents=True)
            (it.folder / "images" / ".DS_Store").write_bytes(b"x")
            (it.folder / "images" / "notes.txt").write_bytes(b"x")

            assert (await it.run(2)).exit_code == 0
