import asyncio
import errno
import os
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fakes import make_image, make_record, make_task, picture

from batchgen.errors import ManifestError, NotStarted, OutputBusy, StorageError
from batchgen.models import Artifact
from batchgen.output import folder as outputs
from batchgen.output.folder import LOCK_EVERY, Leftover, LockWait, open_output
from batchgen.output.images import inspect_image
from batchgen.output.lock import LOCK_NAME as LOCK
from batchgen.output.lock import hold_lock
from batchgen.output.manifest import MANIFEST_NAME
from batchgen.output.store import PART
from batchgen.record import MovedLine

A, B = make_task(file_stem="images/a"), make_task(file_stem="images/b")


class Folder:
    """An output folder, opened as a run does."""

    def __init__(self, path):
        self.path = path

    @asynccontextmanager
    async def opened(self, *lines, run_id="run-2"):
        """The output, after these lines were added to its manifest."""
        self.path.mkdir(exist_ok=True)
        with (self.path / MANIFEST_NAME).open("ab") as file:
            file.write(b"".join(line.to_json() for line in lines))
        async with open_output(self.path, run_id) as output:
            yield output

    def put(self, path, data=b"x"):
        """A file below the output."""
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_bytes(data)

    def files(self):
        """Every image and what else lies there, with its bytes."""
        return {
            each.relative_to(self.path).as_posix(): each.read_bytes()
            for each in self.path.rglob("*")
            if not each.is_dir() and each.name not in (MANIFEST_NAME, LOCK)
        }

    def moves(self):
        """The `moved` lines of the manifest."""
        return [
            (line.run_id, line.task_id, line.path, line.new_path)
            for line in outputs.read_manifest(self.path / MANIFEST_NAME)
            if isinstance(line, MovedLine)
        ]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "out")


def record_of(task, path, data=b"x"):
    """A record whose image lies there."""
    return make_record(task, images=(make_image(path=path, bytes=len(data)),))


async def save(output, task, data):
    """What a run does with an image that came."""
    artifact = Artifact(data=data, seed=1, finish_reason=None)
    return await output.store.save(task.file_stem, task.id, artifact, inspect_image(data))


class TestOpen:
    async def test_a_new_folder_is_made_with_its_parents(self, tmp_path):
        """The first run of an output finds nothing and makes everything."""
        async with open_output(tmp_path / "out/catalog", "run-1") as output:
            assert (output.folder / MANIFEST_NAME).read_bytes() == b""
            assert len(output.history) == 0
            assert output.manifest.path == output.folder / MANIFEST_NAME

    async def test_it_is_locked_while_it_is_open(self, folder):
        """A second run is refused at once, and may come when the first has ended."""
        async with folder.opened():
            with pytest.raises(OutputBusy, match="Another run holds"):
                async with open_output(folder.path, "run-3"):
                    pytest.fail("two runs in one output")
        async with folder.opened():
            pass

    async def test_a_second_run_may_wait(self, folder):
        """With time to wait it looks every second, and starts when the first has ended."""
        looks, told = [], []

        async with folder.opened() as first:

            async def sleep(seconds):
                looks.append(seconds)
                if len(looks) == 3:
                    end_first.set()
                    await ended.wait()

            wait = LockWait(wait=60.0, sleep=sleep, notify=told.append)
            end_first, ended = asyncio.Event(), asyncio.Event()
            waiting = asyncio.create_task(self.enter(first.folder, wait))
            await end_first.wait()
        ended.set()
        assert await waiting == "entered"
        assert looks == [LOCK_EVERY] * 3 == [1.0] * 3
        assert len(told) == 1
        assert told[0].startswith(f"Another run holds {folder.path}: process {os.getpid()} on ")
        assert told[0].endswith("This run starts when that one has ended.")

    async def test_the_wait_has_an_end(self, folder):
        """Then it is refused as if it had not waited."""

        async def sleep(_):
            await asyncio.sleep(0.02)

        async with folder.opened():
            with pytest.raises(OutputBusy):
                await self.enter(folder.path, LockWait(wait=0.01, sleep=sleep))

    async def test_the_wait_may_be_broken_off(self, folder):
        """What the sleep raises leaves: a stop of the run, say."""

        async def sleep(_):
            raise NotStarted("stop")

        async with folder.opened():
            with pytest.raises(NotStarted):
                await self.enter(folder.path, LockWait(wait=60.0, sleep=sleep))

    @staticmethod
    async def enter(path, lock_wait):
        async with open_output(path, "run-3", lock_wait=lock_wait):
            return "entered"

    async def test_it_is_sealed_and_read(self, folder):
        """A torn line is ended, and what stands before it is known."""
        folder.path.mkdir()
        (folder.path / MANIFEST_NAME).write_bytes(
            record_of(A, "images/a.png").to_json() + b'{"kind": "rec'
        )
        async with open_output(folder.path, "run-2") as output:
            assert output.history.status(A.id) == "succeeded"
        assert (folder.path / MANIFEST_NAME).read_bytes().endswith(b'{"kind": "rec\n')

    async def test_a_file_in_its_place_is_said(self, tmp_path):
        """What is wrong, with the path, and what to do about it."""
        (tmp_path / "out").touch()
        for path in (tmp_path / "out", tmp_path / "out/below"):
            with pytest.raises(StorageError, match=f"The output {path} cannot be made: ") as caught:
                async with open_output(path, "run-1"):
                    pass
            assert "--output" in str(caught.value)

    @pytest.mark.parametrize("fault", ["later format", "unreadable"])
    async def test_a_manifest_that_cannot_be_used_frees_the_output(self, folder, fault):
        """The error leaves, and neither the lock nor a file stays open."""
        folder.path.mkdir()
        if fault == "unreadable":
            (folder.path / MANIFEST_NAME).mkdir()
        else:
            (folder.path / MANIFEST_NAME).write_bytes(b'{"kind": "run", "version": 99}\n')
        before = len(list(os.scandir("/proc/self/fd")))
        with pytest.raises(StorageError if fault == "unreadable" else ManifestError):
            async with open_output(folder.path, "run-1"):
                pass
        assert len(list(os.scandir("/proc/self/fd"))) == before
        with hold_lock(folder.path):
            pass


class TestLeftovers:
    async def test_temporary_files_tell_whose_they_are(self, folder):
        """Path, name to be and task, from the name alone, at any depth."""
        folder.put(f"images/.mug.v2.png.{A.id}{PART}")
        folder.put(f"deep/er/.x.jpg.{B.id}{PART}")
        folder.put(f".top.webp.{A.id}{PART}")
        async with folder.opened() as output:
            assert list(output.leftovers()) == [
                Leftover(part=f".top.webp.{A.id}{PART}", path="top.webp", task_id=A.id),
                Leftover(part=f"deep/er/.x.jpg.{B.id}{PART}", path="deep/er/x.jpg", task_id=B.id),
                Leftover(
                    part=f"images/.mug.v2.png.{A.id}{PART}",
                    path="images/mug.v2.png",
                    task_id=A.id,
                ),
            ]

    @pytest.mark.parametrize(
        "name",
        [
            "images/a.png",
            ".film.mp4.part",
            "film.mp4.part",
            f".{A.id}.part",
            f".a.png.{A.id}.parts",
            f".a.png.x{A.id}.part",
            f".a.png.{A.id[:-1]}.part",
            f"superseded/.a.png.{A.id}.part",
            "manifest.lock.part",
        ],
    )
    async def test_files_of_others_are_none_of_ours(self, folder, name):
        """Only what our store made is looked at, for what is broken among it will be removed."""
        folder.put(name)
        async with folder.opened() as output:
            assert list(output.leftovers()) == []

    async def test_a_folder_of_such_a_name_is_none(self, folder):
        """A folder is no image."""
        folder.put(f".a.png.{A.id}{PART}/inside")
        async with folder.opened() as output:
            assert list(output.leftovers()) == []


class TestSuperseded:
    async def test_an_older_image_makes_room(self, folder):
        """A new task takes the name; the older file moves, and a line follows it."""
        folder.put("images/a.png", b"older")
        new = make_task(file_stem="images/a")
        async with folder.opened(record_of(A, "images/a.png", b"older")) as output:
            stored = await save(output, new, picture())
            assert output.history.moved == {A.id: "superseded/a~1.png"}
        assert stored.path == "images/a.png"
        assert folder.moves() == [("run-2", A.id, "images/a.png", "superseded/a~1.png")]
        files = folder.files()
        assert files["images/a.png"] == picture()
        assert files["superseded/a~1.png"] == b"older"

    async def test_a_file_that_no_record_knows_makes_room_too(self, folder):
        """Whoever put it there finds it in `superseded/`; no line speaks of it."""
        folder.put("images/a.png", b"somebody's")
        async with folder.opened() as output:
            await save(output, A, picture())
            assert output.history.moved == {}
        assert folder.files()["superseded/a~1.png"] == b"somebody's"
        assert folder.moves() == []

    async def test_names_are_counted_up(self, folder):
        """Nothing in `superseded/` is overwritten either."""
        folder.put("superseded/a~1.png", b"one")
        folder.put("superseded/a~2.png", b"two")
        folder.put("images/a.png", b"three")
        async with folder.opened(record_of(A, "images/a.png", b"three")) as output:
            await save(output, make_task(file_stem="images/a"), picture())
        files = folder.files()
        assert [files[f"superseded/a~{n}.png"] for n in (1, 2, 3)] == [b"one", b"two", b"three"]

    async def test_folders_below_images_are_kept(self, folder):
        """`images/` is dropped, what is below it stays."""
        folder.put("images/shoes/red.png", b"older")
        task = make_task(file_stem="images/shoes/red")
        async with folder.opened() as output:
            await save(output, task, picture())
        assert folder.files()["superseded/shoes/red~1.png"] == b"older"

    async def test_the_owner_is_who_has_it_now(self, folder):
        """Records and moves are followed to the last one."""
        folder.put("images/a.png", b"b's")
        lines = [
            record_of(A, "images/a.png"),
            MovedLine(
                run_id="run-1", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"
            ),
            record_of(B, "images/a.png"),
        ]
        async with folder.opened(*lines) as output:
            assert output.owners() == {"superseded/a~1.png": A.id, "images/a.png": B.id}
            await save(output, make_task(file_stem="images/a"), picture())
            assert output.history.moved[B.id] == "superseded/a~1.png"

    async def test_a_move_of_another_task_takes_nothing_away(self, folder):
        """A path that changed hands belongs to the later one."""
        lines = [
            record_of(A, "images/a.png"),
            record_of(B, "images/a.png"),
            MovedLine(run_id="r", task_id=A.id, path="images/a.png", new_path="images/z.png"),
        ]
        async with folder.opened(*lines) as output:
            assert output.owners() == {"images/a.png": B.id, "images/z.png": A.id}

    async def test_it_is_durable_before_the_old_name_goes(self, folder, monkeypatch):
        """Second name, folders synced, line synced: only then the first name is removed."""
        folder.put("images/a.png", b"older")
        order = []

        def note(name, function, of=lambda *_: ""):
            def call(*arguments, **options):
                order.append((name, of(*arguments)))
                return function(*arguments, **options)

            return call

        def below(descriptor):
            path = Path(f"/proc/self/fd/{descriptor}").readlink()  # of a descriptor
            return str(path.relative_to(folder.path))

        unlink = type(folder.path).unlink
        async with folder.opened(record_of(A, "images/a.png")) as output:
            monkeypatch.setattr(os, "link", note("link", os.link))
            monkeypatch.setattr(os, "fdatasync", note("line", os.fdatasync))
            monkeypatch.setattr(os, "fsync", note("sync", os.fsync, below))
            monkeypatch.setattr(type(folder.path), "unlink", note("unlink", unlink))
            await output.rename(A.id, "images/a.png", "images/new/b.png")
        assert [
            each for each in order if each[0] != "sync" or each[1] in (".", "images", "images/new")
        ] == [
            ("sync", "."),
            ("sync", "images"),
            ("link", ""),
            ("sync", "images/new"),
            ("line", ""),
            ("unlink", ""),
        ]


class TestRename:
    async def test_an_image_gets_its_new_name(self, folder):
        """A task that the job names anew keeps its picture, under the new name."""
        folder.put("images/a.png", b"picture")
        async with folder.opened(record_of(A, "images/a.png")) as output:
            await output.rename(A.id, "images/a.png", "images/z.png")
            assert output.history.moved == {A.id: "images/z.png"}
        assert folder.files() == {"images/z.png": b"picture"}
        assert folder.moves() == [("run-2", A.id, "images/a.png", "images/z.png")]

    async def test_where_it_moved_since_counts(self, folder):
        """The record's path is where it was; the last move is where it is."""
        folder.put("superseded/a~1.png", b"picture")
        lines = [
            record_of(A, "images/a.png"),
            MovedLine(
                run_id="run-1", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"
            ),
        ]
        async with folder.opened(*lines) as output:
            await output.rename(A.id, "images/a.png", "images/a.png")
        assert folder.files() == {"images/a.png": b"picture"}

    async def test_two_may_change_names(self, folder):
        """Neither is lost, whichever comes first."""
        folder.put("images/a.png", b"a's")
        folder.put("images/b.png", b"b's")
        lines = [record_of(A, "images/a.png"), record_of(B, "images/b.png")]
        async with folder.opened(*lines) as output:
            await asyncio.gather(
                output.rename(A.id, "images/a.png", "images/b.png"),
                output.rename(B.id, "images/b.png", "images/a.png"),
            )
            assert output.history.moved == {A.id: "images/b.png", B.id: "images/a.png"}
        assert folder.files() == {"images/a.png": b"b's", "images/b.png": b"a's"}

    async def test_a_file_that_went_away_is_said(self, folder):
        """A disk that changes under a run ends it."""
        async with folder.opened(record_of(A, "images/a.png")) as output:
            with pytest.raises(StorageError, match=r"a\.png could not be moved to .*z\.png"):
                await output.rename(A.id, "images/a.png", "images/z.png")
        assert folder.moves() == []

    @pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
    async def test_a_file_system_without_hard_links_will_do(self, folder, monkeypatch, number):
        """The file is renamed then."""

        def refuse(*_, **__):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "link", refuse)
        folder.put("images/a.png", b"picture")
        async with folder.opened(record_of(A, "images/a.png")) as output:
            await output.rename(A.id, "images/a.png", "images/z.png")
        assert folder.files() == {"images/z.png": b"picture"}


class TestKilledMove:
    """A kill between the steps of a move, and the next run."""

    def both_names(self, folder):
        folder.put("images/a.png", b"picture")
        (folder.path / "superseded").mkdir(parents=True)
        os.link(folder.path / "images/a.png", folder.path / "superseded/a~1.png")

    async def test_before_the_line_the_move_is_made_again(self, folder):
        """Both names are one file: the same second name is used, and the line written."""
        self.both_names(folder)
        async with folder.opened(record_of(A, "images/a.png")) as output:
            await output.finish_move()
            assert set(folder.files()) == {"images/a.png", "superseded/a~1.png"}
            await save(output, make_task(file_stem="images/a"), picture())
        assert folder.files()["superseded/a~1.png"] == b"picture"
        assert "superseded/a~2.png" not in folder.files()
        assert folder.moves() == [("run-2", A.id, "images/a.png", "superseded/a~1.png")]

    async def test_after_the_line_the_first_name_goes(self, folder):
        """The record leads to the second name: the first one is taken away."""
        self.both_names(folder)
        line = MovedLine(
            run_id="run-1", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"
        )
        async with folder.opened(record_of(A, "images/a.png"), line) as output:
            await output.finish_move()
        assert folder.files() == {"superseded/a~1.png": b"picture"}

    async def test_another_file_of_that_name_stays(self, folder):
        """The move was finished, and the name was taken since."""
        folder.put("images/a.png", b"newer")
        folder.put("superseded/a~1.png", b"older")
        line = MovedLine(
            run_id="run-1", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"
        )
        async with folder.opened(record_of(A, "images/a.png"), line) as output:
            await output.finish_move()
        assert folder.files() == {"images/a.png": b"newer", "superseded/a~1.png": b"older"}

    async def test_without_a_move_there_is_nothing_to_finish(self, folder):
        """Nothing is touched."""
        folder.put("images/a.png", b"picture")
        async with folder.opened(record_of(A, "images/a.png")) as output:
            await output.finish_move()
        assert folder.files() == {"images/a.png": b"picture"}

    async def test_a_disk_that_refuses_is_said(self, folder, monkeypatch):
        """A fault of the disk, with the path."""
        self.both_names(folder)
        line = MovedLine(
            run_id="run-1", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"
        )

        def refuse(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        async with folder.opened(record_of(A, "images/a.png"), line) as output:
            monkeypatch.setattr(type(folder.path), "unlink", refuse)
            with pytest.raises(StorageError, match=r"a\.png could not be removed: .*Read-only"):
                await output.finish_move()


async def test_a_file_in_the_place_of_the_images_is_found_before_any_call(tmp_path):
    """An image that came and has no place would be lost, and it is paid for."""
    (tmp_path / "images").write_text("not a folder")

    async with open_output(tmp_path, "run-1") as output:
        with pytest.raises(StorageError, match=r"images cannot take images: .* is no folder"):
            await output.prove(4)
