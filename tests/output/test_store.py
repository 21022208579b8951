import asyncio
import errno
import hashlib
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import aiofiles.threadpool
import pytest
from fakes import picture, until
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchgen.errors import StorageError
from batchgen.models import Artifact
from batchgen.output import store as store_module
from batchgen.output.images import MAX_PIXELS, BrokenImage, inspect_image
from batchgen.output.store import Store
from batchgen.record import EXTENSIONS

KINDS = sorted(EXTENSIONS)
ID = "1-" + "a" * 32


def artifact(data, seed=7, reason=None):
    """One image of a reply."""
    return Artifact(data=data, seed=seed, finish_reason=reason)


def noise(kind, size=(64, 64)):
    """A picture that does not compress: some kilobytes of it."""
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(file, kind.upper())
    return file.getvalue()


def claiming(width, height):
    """A small PNG, right to the last checksum, that says it is this large."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0" * 64)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


class TestInspect:
    @pytest.mark.parametrize("kind", KINDS)
    def test_a_whole_picture_is_what_it_is(self, kind):
        """Format and size are those of the bytes, whatever was asked for; the hash is theirs."""
        data = picture(kind, size=(30, 20))
        found = inspect_image(data)
        assert (found.format, found.width, found.height) == (kind, 30, 20)
        assert found.sha256 == hashlib.sha256(data).hexdigest()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_cut_at_every_byte_is_noticed(self, kind):
        """A picture that lost any part of its end is no picture."""
        data = picture(kind)
        for cut in range(len(data)):
            with pytest.raises(BrokenImage):
                inspect_image(data[:cut])

    @pytest.mark.parametrize("kind", KINDS)
    @given(share=st.floats(0, 1, exclude_max=True))
    def test_a_cut_in_a_large_picture_is_noticed(self, kind, share):
        """The same for pictures of many blocks."""
        data = LARGE[kind]
        with pytest.raises(BrokenImage):
            inspect_image(data[: int(share * len(data))])

    def test_a_flipped_bit_in_a_png_is_noticed(self):
        """PNG has checksums, and they are looked at."""
        data = picture("png")
        for place in range(len(data)):
            broken = bytearray(data)
            broken[place] ^= 1
            with pytest.raises(BrokenImage):
                inspect_image(bytes(broken))

    @pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
    def test_other_formats_are_refused(self, kind):
        """Only what the models answer in is opened; other parsers are never reached."""
        file = io.BytesIO()
        Image.new("RGB", (32, 32)).save(file, kind)
        with pytest.raises(BrokenImage, match="no readable PNG, JPEG or WebP"):
            inspect_image(file.getvalue())

    @pytest.mark.parametrize("data", [b"", b"\0", b"<html></html>", b"\x89PNG\r\n\x1a\n", b"RIFF"])
    def test_what_is_no_picture_is_refused(self, data):
        """Nothing, text, and signatures without a picture."""
        with pytest.raises(BrokenImage):
            inspect_image(data)

    def test_a_picture_at_the_limit_is_kept(self):
        """64 megapixels are four times the largest that the service makes."""
        assert MAX_PIXELS == 64_000_000
        found = inspect_image(claiming(8_000, 8_000))
        assert (found.width, found.height) == (8_000, 8_000)

    @pytest.mark.parametrize("size", [(8_001, 8_000), (9_300, 9_300), (60_000, 60_000)])
    def test_a_bomb_is_refused(self, size):
        """A few bytes that claim more pixels are not even looked at further."""
        with pytest.raises(BrokenImage):
            inspect_image(claiming(*size))

    def test_our_own_limit_is_named(self):
        """The sentence says how large the picture claims to be."""
        with pytest.raises(BrokenImage, match="claims 8001x8000 pixels"):
            inspect_image(claiming(8_001, 8_000))

    @pytest.mark.parametrize("more", [b"x", b"\0\0\0", b"\r\n", b"<html>" * 999, b"\xff\xd9"])
    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    def test_what_follows_the_end_is_kept(self, kind, more):
        """A picture that decodes whole was paid for, and its bytes stay as they were received."""
        data = picture(kind) + more
        found = inspect_image(data)
        assert (found.format, found.sha256) == (kind, hashlib.sha256(data).hexdigest())

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_the_end_of_a_preview_is_not_the_end_of_its_picture(self, share):
        """A JPEG may hold a smaller one, which stands before the cut."""
        data, preview = noise("jpeg"), picture("jpeg")
        segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2) + preview
        whole = data[:2] + segment + data[2:]
        assert inspect_image(whole + b"x").format == "jpeg"
        cut = 2 + len(segment) + int(len(data) * share)
        with pytest.raises(BrokenImage):
            inspect_image(whole[:cut])

    def test_a_png_is_cut_where_its_end_is_missing(self):
        """Whatever its pixels are: nobody can tell what else was cut."""
        with pytest.raises(BrokenImage):
            inspect_image(picture("png")[:-12] + b"x")

    def test_the_filters_of_warnings_are_left_alone(self, monkeypatch):
        """They belong to all threads: changed here, a warning anywhere else became an error."""
        before, during = list(warnings.filters), []
        open_image = Image.open

        def open_and_look(*arguments, **options):
            during.append(list(warnings.filters))
            return open_image(*arguments, **options)

        monkeypatch.setattr(Image, "open", open_and_look)
        inspect_image(picture("jpeg"))
        assert during
        assert all(each == before for each in (*during, warnings.filters))

    @given(st.binary(max_size=200))
    def test_any_bytes_are_a_picture_or_broken(self, data):
        """No byte string raises anything else."""
        for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x10\0\0\0WEBPVP8 "):
            with pytest.raises(BrokenImage):
                inspect_image(start + data)


LARGE = {kind: noise(kind) for kind in KINDS}


async def no_room(path):
    """Nobody is ever in the way."""
    pytest.fail(f"asked to make room for {path}")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path, no_room)


def files(folder):
    """Every file below a folder."""
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir())


async def save(store, data, stem="images/mug-1"):
    """Store one picture."""
    return await store.save(stem, ID, artifact(data), inspect_image(data))


class TestSave:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_bytes_are_stored_as_they_came(self, store, tmp_path, kind):
        """No re-encoding: the file is the reply's bytes, and the record says what they are."""
        data = noise(kind)
        stored = await save(store, data)
        assert stored.path == f"images/mug-1.{EXTENSIONS[kind]}"
        assert (tmp_path / stored.path).read_bytes() == data
        assert stored.sha256 == hashlib.sha256(data).hexdigest()
        assert (stored.bytes, stored.format) == (len(data), kind)
        assert (stored.width, stored.height) == (64, 64)
        assert (stored.seed, stored.finish_reason) == (7, None)

    def test_extensions_are_those_that_people_expect(self):
        """`jpg`, not `jpeg`."""
        assert EXTENSIONS == {"png": "png", "jpeg": "jpg", "webp": "webp"}

    async def test_what_the_service_said_is_kept(self, store):
        """A missing seed stays missing, a finish reason stays what it is."""
        data = picture()
        stored = await store.save("a", ID, artifact(data, None, "SUCCESS"), inspect_image(data))
        assert (stored.path, stored.seed, stored.finish_reason) == ("a.png", None, "SUCCESS")

    async def test_the_temporary_name_stays_until_it_is_settled(self, store, tmp_path):
        """Until the record is durable the task's id stands in a second name of the file."""
        stored = await save(store, picture())
        part = f"images/.mug-1.png.{ID}.part"
        assert files(tmp_path) == [part, "images/mug-1.png"]
        assert (tmp_path / part).samefile(tmp_path / stored.path)
        await store.settle(stored.path, ID)
        assert files(tmp_path) == ["images/mug-1.png"]
        await store.settle(stored.path, ID)  # and again, after a kill

    async def test_a_file_of_the_output_itself_has_its_temporary_name_there(self, store, tmp_path):
        """A name without a folder needs none."""
        await save(store, picture(), "mug-1")
        assert files(tmp_path) == [f".mug-1.png.{ID}.part", "mug-1.png"]

    async def test_folders_are_made_and_durable(self, store, tmp_path, monkeypatch):
        """File, each new folder in its parent, and the folder of the file are synced."""
        synced, fsync = [], os.fsync

        def note(descriptor):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()  # of a descriptor
            synced.append(str(path.relative_to(tmp_path)))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", note)
        await save(store, picture(), "a/b/mug-1")
        assert synced == [".", "a", f"a/b/.mug-1.png.{ID}.part", "a/b"]
        synced.clear()
        await save(store, picture(), "a/b/mug-2")
        assert synced == [f"a/b/.mug-2.png.{ID}.part", "a/b"]

    async def test_a_folder_for_each_image_takes_no_memory(self, store, monkeypatch):
        """What the store forgot of folders it makes sure of again."""
        monkeypatch.setattr(store_module, "KNOWN_FOLDERS", 3)
        synced = []
        note = lambda path: synced.append(Path(path).name)  # noqa: E731
        monkeypatch.setattr(store_module, "sync_folder", note)
        for number in range(9):
            await save(store, picture(), f"a/{number}/mug")
            assert synced.count(str(number)) == 1
            assert len(store._durable) <= 3
        synced.clear()
        await save(store, picture(), "a/0/cup")
        assert synced[-2:] == ["a", "0"]

    async def test_a_leftover_of_the_same_task_is_replaced(self, store, tmp_path):
        """Half a file of an attempt that was killed does not get into the new one."""
        part = tmp_path / "images" / f".mug-1.png.{ID}.part"
        part.parent.mkdir()
        part.write_bytes(b"x" * 100_000)
        await save(store, picture())
        assert (tmp_path / "images/mug-1.png").read_bytes() == picture()

    async def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(self, store, tmp_path):
        """Nothing outside is written through it."""
        outside = tmp_path / "outside"
        outside.write_bytes(b"mine")
        part = tmp_path / "images" / f".mug-1.png.{ID}.part"
        part.parent.mkdir()
        part.symlink_to(outside)
        await save(store, picture())
        assert outside.read_bytes() == b"mine"
        assert not (tmp_path / "images/mug-1.png").is_symlink()

    async def test_short_writes_are_continued(self, store, tmp_path, monkeypatch):
        """What one write did not take, the next ones do."""
        write = os.write

        def slow(descriptor, data):
            is_loop = threading.current_thread() is threading.main_thread()
            return write(descriptor, data if is_loop else bytes(data)[:7])

        monkeypatch.setattr(os, "write", slow)
        await save(store, LARGE["png"])
        assert (tmp_path / "images/mug-1.png").read_bytes() == LARGE["png"]

    async def test_many_at_once_do_not_meet(self, store, tmp_path):
        """Coroutines that store at once each have their own file."""
        pictures = {f"images/{n}": picture(shade=n) for n in range(40)}
        async with asyncio.TaskGroup() as group:
            for stem, data in pictures.items():
                group.create_task(save(store, data, stem))
        for stem, data in pictures.items():
            assert (tmp_path / f"{stem}.png").read_bytes() == data

    async def test_a_folder_that_another_image_just_made_is_taken(
        self, store, tmp_path, monkeypatch
    ):
        """Between the look for it and the making of it: that is no failure of the disk."""
        mkdir = os.mkdir

        def late(path):
            mkdir(path)
            mkdir(path)  # what the thread that was second meets

        monkeypatch.setattr(os, "mkdir", late)
        stored = await save(store, picture(), "images/a/b/mug-1")
        assert (tmp_path / stored.path).read_bytes() == picture()

    async def test_the_loop_goes_on_while_the_disk_is_slow(self, store, monkeypatch):
        """A sync of seconds holds up its own image only."""
        gate, begun, fsync = threading.Event(), threading.Event(), os.fsync

        def slow(descriptor):
            begun.set()
            assert gate.wait(10)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", slow)
        saving = asyncio.create_task(save(store, picture(), "mug-1"))
        await until(begun.is_set)
        turns = 0
        for _ in range(100):
            await asyncio.sleep(0)
            turns += 1
        assert turns == 100
        assert not saving.done()
        gate.set()
        await saving


class TestNeverOverwritten:
    async def test_who_is_in_the_way_is_asked_to_make_room(self, tmp_path):
        """The older file moves, the new one gets the name."""
        asked = []

        async def make_room(path):
            asked.append(path)
            (tmp_path / path).rename(tmp_path / "older.png")

        (tmp_path / "mug.png").write_bytes(b"older")
        await save(Store(tmp_path, make_room), picture(), "mug")
        assert asked == ["mug.png"]
        assert (tmp_path / "older.png").read_bytes() == b"older"
        assert (tmp_path / "mug.png").read_bytes() == picture()

    @pytest.mark.parametrize("kind", ["file", "folder", "link", "broken link"])
    async def test_nothing_is_replaced_even_if_nobody_makes_room(self, tmp_path, kind):
        """A file that is there is never overwritten, whatever it is."""

        async def stay(_):
            pass

        mug = tmp_path / "mug.png"
        (tmp_path / "other").write_bytes(b"other")
        match kind:
            case "file":
                mug.write_bytes(b"older")
            case "folder":
                mug.mkdir()
            case "link":
                mug.symlink_to(tmp_path / "other")
            case _:
                mug.symlink_to(tmp_path / "nowhere")
        before = mug.lstat()
        with pytest.raises(StorageError, match=r"mug\.png could not be written"):
            await save(Store(tmp_path, stay), picture(), "mug")
        assert mug.lstat().st_ino == before.st_ino
        assert (tmp_path / "other").read_bytes() == b"other"

    @pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS])
    async def test_a_file_system_without_hard_links_will_do(self, tmp_path, monkeypatch, number):
        """Where a file cannot have two names it is renamed; settling it finds nothing to do."""

        def refuse(*_, **__):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "link", refuse)
        store = Store(tmp_path, no_room)
        stored = await save(store, picture())
        assert files(tmp_path) == ["images/mug-1.png"]
        assert (tmp_path / stored.path).read_bytes() == picture()
        await store.settle(stored.path, ID)
        assert files(tmp_path) == ["images/mug-1.png"]


class Failing:
    """Every call that changes the disk, of which one fails, for once or from then on."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.fails_at = None
        self.for_good = False
        self.number = errno.EIO
        self.files = set()
        self._open, self._write, self._close = os.open, os.write, os.close
        outer = self

        class File(io.FileIO):
            def write(self, data):
                outer.meet("write")
                return super().write(data)

            def close(self):
                if not self.closed:
                    super().close()
                    outer.meet("close")

        def open_file(path, mode, **_):
            self.meet("open")
            return File(path, mode.rstrip("b"))

        monkeypatch.setattr(aiofiles.threadpool, "sync_open", open_file)
        for name in ("open", "write", "close"):
            monkeypatch.setattr(os, name, getattr(self, name))
        for name in ("fsync", "link", "mkdir", "rename", "unlink"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def open(self, path, flags, *others, **options):
        """Of files that are made; folders are opened to be synced."""
        if not flags & os.O_CREAT:
            return self._open(path, flags, *others, **options)
        self.meet("open")
        descriptor = self._open(path, flags, *others, **options)
        self.files.add(descriptor)
        return descriptor

    def write(self, descriptor, data):
        """Of these files; the loop writes to itself."""
        if descriptor in self.files:
            self.meet("write")
        return self._write(descriptor, data)

    def close(self, descriptor):
        """Closed it is, whatever it says."""
        self._close(descriptor)
        if descriptor in self.files:
            self.files.remove(descriptor)
            self.meet("close")

    def wrapped(self, name, function):
        """The function, failing when its turn has come."""

        def call(*arguments, **options):
            self.meet(name)
            return function(*arguments, **options)

        return call

    def meet(self, name):
        """Count a call, and fail it if it is the one."""
        self.calls.append(name)
        if self.fails_at is None:
            return
        place = len(self.calls) - 1
        if place == self.fails_at or (self.for_good and place > self.fails_at):
            raise OSError(self.number, os.strerror(self.number))


SAVE = ["mkdir", "fsync", "open", "write", "fsync", "close", "link", "fsync"]


class TestFaults:
    async def test_these_are_the_calls(self, tmp_path, monkeypatch):
        """The order is: folder, its name, file, bytes, sync, name, sync of the folder."""
        disk = Failing(monkeypatch)
        await save(Store(tmp_path, no_room), picture())
        assert disk.calls == SAVE

    @pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
    @pytest.mark.parametrize("place", range(len(SAVE)), ids=SAVE)
    async def test_a_fault_at_any_call_leaves_no_half_image(
        self, tmp_path, monkeypatch, place, number, for_good
    ):
        """Whatever fails is a `StorageError`; under its own name an image is whole or not there."""
        disk = Failing(monkeypatch)
        disk.fails_at, disk.number, disk.for_good = place, number, for_good
        renamed_instead = SAVE[place] == "link" and not for_good
        if renamed_instead:
            await save(Store(tmp_path, no_room), picture())
        else:
            match = rf"images/mug-1\.png could not be written: .*{os.strerror(number)}"
            with pytest.raises(StorageError, match=match):
                await save(Store(tmp_path, no_room), picture())
        path = tmp_path / "images/mug-1.png"
        assert not path.exists() or path.read_bytes() == picture()

    @pytest.mark.parametrize("place", range(len(SAVE)), ids=SAVE)
    async def test_after_a_fault_the_next_run_stores_it(self, tmp_path, monkeypatch, place):
        """What a failed attempt left is in nobody's way."""

        async def make_room(path):
            (tmp_path / path).rename(tmp_path / "older.png")

        disk = Failing(monkeypatch)
        disk.fails_at, disk.for_good = place, True
        with pytest.raises(StorageError):
            await save(Store(tmp_path, no_room), picture())
        disk.fails_at = None
        await save(Store(tmp_path, make_room), picture(shade=9))
        assert (tmp_path / "images/mug-1.png").read_bytes() == picture(shade=9)

    async def test_a_temporary_name_that_cannot_be_dropped_is_said(self, store, monkeypatch):
        """A disk that refuses to settle is a fault of the disk."""
        stored = await save(store, picture())
        disk = Failing(monkeypatch)
        disk.fails_at = 0
        with pytest.raises(StorageError, match=r"\.part could not be removed: Input/output error"):
            await store.settle(stored.path, ID)

    async def test_a_file_in_the_place_of_the_folder_is_said(self, store, tmp_path):
        """A folder that cannot be made is named by the image that needed it."""
        (tmp_path / "images").touch()
        with pytest.raises(StorageError, match=r"images/mug-1\.png could not be written"):
            await save(store, picture())


class TestUnusable:
    async def test_a_reply_that_was_paid_for_is_kept(self, store, tmp_path):
        """Its bytes lie in the side folder, as they came."""
        await store.keep_unusable(f"{ID}-1", b'{"images": [')
        assert files(tmp_path) == [f"unusable/{ID}-1.json"]
        assert (tmp_path / f"unusable/{ID}-1.json").read_bytes() == b'{"images": ['

    async def test_one_of_an_earlier_run_is_not_overwritten(self, store, tmp_path):
        """Attempts are counted anew in each run: every reply keeps a file of its own."""
        for body in (b"one", b"two", b"three"):
            await store.keep_unusable(f"{ID}-1", body)
        kept = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
        assert kept == {
            f"unusable/{ID}-1.json": b"one",
            f"unusable/{ID}-1~2.json": b"two",
            f"unusable/{ID}-1~3.json": b"three",
        }

    @pytest.mark.parametrize("place", range(5))
    async def test_a_disk_that_refuses_it_is_borne(self, store, monkeypatch, place):
        """What happened to the task is recorded all the same."""
        disk = Failing(monkeypatch)
        disk.fails_at, disk.for_good = place, True
        await store.keep_unusable(f"{ID}-1", b"x")
        assert len(disk.calls) > place
