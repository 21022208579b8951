import errno
import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes import (
    NOON,
    FakeAnswer,
    make_attempt,
    make_image,
    make_job,
    make_labelling,
    make_record,
    make_task,
    picture,
)
from outputs import run_line

from batchgen import plan
from batchgen.errors import StorageError
from batchgen.models import Artifact
from batchgen.output import open_output
from batchgen.output.images import hash_pixels, inspect_image
from batchgen.output.lock import LOCK_NAME as LOCK
from batchgen.output.manifest import MANIFEST_NAME, read_manifest
from batchgen.output.store import Store
from batchgen.plan import JobPlan
from batchgen.policies.stop import Stop, StopCause
from batchgen.record import EXTENSIONS, AttemptLine
from batchgen.runner.audit import audit
from batchgen.runner.derivatives import Derivatives
from batchgen.runner.recorder import RunIdentity
from batchgen.runner.recovery import recover, recover_named
from batchgen.runner.selection import Selection, select

ORIGIN = RunIdentity(run_id="run-2", region="us-west-2", endpoint="simulator")


class Shop:
    """An output folder and the job that fills it; runs are opened, and end or are killed."""

    def __init__(self, path):
        self.path = path
        self.path.mkdir()
        self.job = make_job(path, a="one", b="two", c="three")

    def task(self, name, job=None):
        """The task of an item."""
        return next(t for t in plan.expand(job or self.job) if t.item_id == name)

    @asynccontextmanager
    async def opened(self, *lines):
        """The output as a new run finds it, after these lines."""
        with (self.path / MANIFEST_NAME).open("ab") as file:
            file.write(b"".join(line.to_json() for line in lines))
        async with open_output(self.path, "run-2") as output:
            yield output

    async def adopt(self, *lines, job=None):
        """What a new run adopts."""
        async with self.opened(*lines) as output:
            return await recover(JobPlan(job or self.job), output, ORIGIN, "k")

    def put(self, path, data):
        """A file below the output."""
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_bytes(data)

    def part(self, task, extension="png"):
        """The temporary name of a task's image."""
        folder, _, name = task.file_stem.rpartition("/")
        return f"{folder}/.{name}.{extension}.{task.id}.part"

    def files(self):
        """Every file but manifest and lock, with its bytes."""
        return {
            each.relative_to(self.path).as_posix(): each.read_bytes()
            for each in self.path.rglob("*")
            if not each.is_dir() and each.name not in (MANIFEST_NAME, LOCK)
        }

    def records(self):
        """Task id -> last record."""
        return {
            line.task_id: line
            for line in read_manifest(self.path / MANIFEST_NAME)
            if line.kind == "record"
        }


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "out")


def attempt(task, number=1):
    """A call was sent."""
    return AttemptLine(
        run_id="run-1",
        task_id=task.id,
        attempt=number,
        seed=task.seed,
        price_usd=0.04,
        started_at=NOON - timedelta(days=300),
    )


class TestAdopt:
    async def test_a_clean_output_has_nothing_to_adopt(self, shop):
        """Not even the plan is walked."""
        shop.put("images/a-1.png", picture())
        adopted = await shop.adopt(run_line())
        assert (adopted.records, adopted.orphans) == ((), ())
        assert shop.records() == {}

    @pytest.mark.parametrize(("kind", "extension"), [("png", "png"), ("jpeg", "jpg")])
    async def test_an_image_that_only_lacks_its_name(self, shop, kind, extension):
        """Killed before the rename: the file was complete, so it was paid for."""
        task, data = shop.task("a"), picture(kind, size=(30, 20))
        shop.put(shop.part(task, extension), data)
        adopted = await shop.adopt(run_line(), attempt(task, 1), attempt(task, 2))
        path = f"images/a-1.{extension}"
        assert shop.files() == {path: data}
        (record,) = adopted.records
        assert record.to_json() == shop.records()[task.id].to_json()
        assert record == make_record(
            task,
            run_id="run-2",
            images=(
                make_image(
                    path=path,
                    sha256=hashlib.sha256(data).hexdigest(),
                    decoded=hashlib.sha256(data).hexdigest()[:16],
                    bytes=len(data),
                    format=kind,
                    width=30,
                    height=20,
                    seed=None,
                ),
            ),
            attempts=2,
            request_id=None,
            latency_ms=None,
            started_at=record.started_at,
            finished_at=record.finished_at,
        )

    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
    @pytest.mark.parametrize("level", ["ai-label", "full"])
    async def test_an_image_with_a_label_keeps_its_three_hashes(self, shop, kind, level):
        """The file says what came; the record is as if the run had not been killed."""
        task = shop.task("a")
        data = picture(kind, size=(30, 20))
        artifact = Artifact(data=data, seed=None, finish_reason=None)
        written = make_labelling(level=level).write(
            make_attempt(task), FakeAnswer(body=b""), artifact, inspect_image(data)
        )
        shop.put(shop.part(task, EXTENSIONS[kind]), written.image.data)
        adopted = await shop.adopt(run_line(), attempt(task))
        (image,) = adopted.records[0].images
        assert image == Store.describe(image.path, written.image, written.inspected)
        assert image.received_sha256 == hashlib.sha256(data).hexdigest()
        assert image.pixels_sha256 == hash_pixels(data)

    async def test_an_image_that_only_lacks_its_record(self, shop):
        """Killed between rename and record: both names are there."""
        task = shop.task("a")
        shop.put(shop.part(task), picture())
        os.link(shop.path / shop.part(task), shop.path / "images/a-1.png")
        adopted = await shop.adopt(run_line(), attempt(task))
        assert [record.task_id for record in adopted.records] == [task.id]
        assert shop.files() == {"images/a-1.png": picture()}

    async def test_an_image_that_only_keeps_its_temporary_name(self, shop):
        """Killed after the record: the name is dropped, and nothing recorded twice."""
        task = shop.task("a")
        shop.put(shop.part(task), picture())
        os.link(shop.path / shop.part(task), shop.path / "images/a-1.png")
        record = make_record(task, images=(make_image(path="images/a-1.png"),))
        adopted = await shop.adopt(run_line(), attempt(task), record)
        assert adopted.records == ()
        assert shop.files() == {"images/a-1.png": picture()}
        assert shop.records() == {task.id: record}

    @pytest.mark.parametrize("data", [b"", b"x", picture()[:-9], picture("jpeg")[:-2]])
    async def test_half_an_image_is_removed(self, shop, data):
        """Killed in the write: nobody can use it, and its task is made again."""
        task = shop.task("a")
        shop.put(shop.part(task), data)
        adopted = await shop.adopt(run_line(), attempt(task))
        assert (adopted.records, adopted.orphans) == ((), ())
        assert shop.files() == {}

    async def test_a_link_in_its_place_is_removed_and_not_followed(self, shop, tmp_path):
        """What lies outside is not read, not moved and not recorded."""
        task, outside = shop.task("a"), tmp_path / "outside.png"
        outside.write_bytes(picture())
        (shop.path / "images").mkdir()
        (shop.path / shop.part(task)).symlink_to(outside)
        adopted = await shop.adopt(run_line(), attempt(task))
        assert adopted.records == ()
        assert shop.files() == {}
        assert outside.read_bytes() == picture()

    async def test_a_task_that_the_job_no_longer_has_keeps_its_file(self, shop):
        """It was paid for: it stays where it is, and is told of."""
        stranger = make_task(file_stem="images/gone-1")
        shop.put(shop.part(stranger), picture())
        adopted = await shop.adopt(run_line(), attempt(stranger))
        assert adopted.orphans == (shop.part(stranger),)
        assert (adopted.records, shop.records()) == ((), {})
        assert shop.files() == {shop.part(stranger): picture()}

    async def test_many_at_once(self, shop):
        """Each for itself: one adopted, one broken, one unknown."""
        a, b, stranger = shop.task("a"), shop.task("b"), make_task()
        shop.put(shop.part(a), picture())
        shop.put(shop.part(b), b"torn")
        shop.put(shop.part(stranger), picture(shade=3))
        adopted = await shop.adopt(run_line())
        assert [record.task_id for record in adopted.records] == [a.id]
        assert adopted.orphans == (shop.part(stranger),)
        assert shop.files() == {"images/a-1.png": picture(), shop.part(stranger): picture(shade=3)}

    async def test_an_older_image_of_that_name_makes_room(self, shop):
        """Killed before the older file moved: it moves now."""
        task, older = shop.task("a"), make_task()
        shop.put("images/a-1.png", b"older")
        shop.put(shop.part(task), picture())
        record = make_record(older, images=(make_image(path="images/a-1.png"),))
        await shop.adopt(record, run_line(), attempt(task))
        assert shop.files() == {
            "images/a-1.png": picture(),
            "superseded/a-1~1.png": b"older",
        }

    async def test_what_was_made_afresh_replaces_its_older_self(self, shop):
        """`--fresh`, killed: the new image takes the name of the same task's older one."""
        task = shop.task("a")
        shop.put("images/a-1.png", picture(shade=1))
        shop.put(shop.part(task), picture(shade=2))
        older = make_record(task, images=(make_image(path="images/a-1.png"),))
        adopted = await shop.adopt(older, run_line(), attempt(task))
        assert len(adopted.records) == 1
        assert shop.files() == {
            "images/a-1.png": picture(shade=2),
            "superseded/a-1~1.png": picture(shade=1),
        }

    async def test_an_unknown_price_stays_unknown(self, shop, monkeypatch):
        """Nobody knows it, and the record says so."""
        task = shop.task("a")
        monkeypatch.setattr(
            JobPlan, "expand", lambda *_, **__: iter([replace(task, price_usd=None)])
        )
        shop.put(shop.part(task), picture())
        (record,) = (await shop.adopt(run_line())).records
        assert record.cost_usd is None

    async def test_it_names_the_original_that_was_made_again(self, shop, monkeypatch):
        """What `reproduce` had in flight when it was killed is on record as what it is."""
        original = {"task_id": "t", "run_id": "r", "path": "images/a.png", "sha256": "0"}
        task = replace(shop.task("a"), original=original)
        monkeypatch.setattr(JobPlan, "expand", lambda *_, **__: iter([task]))
        shop.put(shop.part(task), picture())
        (record,) = (await shop.adopt(run_line())).records
        assert record.original.model_dump() == original

    async def test_twice_is_once(self, shop):
        """The next run finds nothing left to do."""
        task = shop.task("a")
        shop.put(shop.part(task), picture())
        assert len((await shop.adopt(run_line(), attempt(task))).records) == 1
        assert (await shop.adopt(run_line())).records == ()


class TestWithoutHardLinks:
    """A file system where a file has one name: no temporary name is left after the rename."""

    async def test_a_named_image_without_a_record_is_adopted(self, shop):
        """Its attempt is open, and nobody owns the file."""
        task = shop.task("a")
        shop.put("images/a-1.png", picture())
        adopted = await shop.adopt(run_line(), attempt(task))
        assert [record.task_id for record in adopted.records] == [task.id]
        assert shop.files() == {"images/a-1.png": picture()}

    async def test_an_image_of_another_task_is_not(self, shop):
        """The name is taken by an older task, whose record owns it."""
        task, older = shop.task("a"), make_task()
        shop.put("images/a-1.png", picture())
        record = make_record(older, images=(make_image(path="images/a-1.png"),))
        assert (await shop.adopt(record, run_line(), attempt(task))).records == ()

    async def test_without_an_open_attempt_it_is_nobodys(self, shop):
        """A file that somebody put there was not paid for by us."""
        shop.put("images/a-1.png", picture())
        assert (await shop.adopt(run_line(), attempt(shop.task("b")))).records == ()


class TestDisk:
    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
    async def test_a_file_that_cannot_be_read_is_not_taken_for_broken(
        self, shop, monkeypatch, number
    ):
        """A disk that fails for a moment must not cost an image that was paid for."""
        task = shop.task("a")
        shop.put(shop.part(task), picture())
        real = os.open

        def refuse(path, *arguments, **options):
            if str(path).endswith(".part"):
                raise OSError(number, os.strerror(number))
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(StorageError, match=r"a-1\.png.*could not be read"):
            await shop.adopt(run_line(), attempt(task))
        assert shop.files() == {shop.part(task): picture()}

    async def test_a_broken_file_that_cannot_be_removed_is_said(self, shop, monkeypatch):
        """A fault of the disk, with the path."""
        shop.put(shop.part(shop.task("a")), b"torn")

        def refuse(*_, **__):
            raise OSError(errno.EROFS, "Read-only file system")

        async with shop.opened(run_line()) as output:
            monkeypatch.setattr(type(shop.path), "unlink", refuse)
            with pytest.raises(StorageError, match=r"\.part could not be removed: .*Read-only"):
                await recover(JobPlan(shop.job), output, ORIGIN, "k")

    async def test_a_name_that_cannot_be_given_is_said(self, shop, monkeypatch):
        """The image keeps its temporary name, and the next run tries again."""
        task = shop.task("a")
        shop.put(shop.part(task), picture())

        async def refuse(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        async with shop.opened(run_line(), attempt(task)) as output:
            monkeypatch.setattr(output.store, "place", refuse)
            with pytest.raises(
                StorageError, match=r"a-1\.png could not be given its name: .*space"
            ):
                await recover(JobPlan(shop.job), output, ORIGIN, "k")
        assert shop.files() == {shop.part(task): picture()}
        assert len((await shop.adopt()).records) == 1


class TestAdoptNamed:
    async def test_an_image_whose_record_was_damaged_gets_a_new_one(self, shop):
        """The file is whole and has the task's name: nothing is paid for twice."""
        task = shop.task("a")
        shop.put("images/a-1.webp", picture("webp"))
        async with shop.opened() as output:
            assert await recover_named(output, task, ORIGIN) is True
        assert shop.records()[task.id].images[0].path == "images/a-1.webp"

    @pytest.mark.parametrize("data", [None, b"torn"])
    async def test_without_a_whole_image_there_is_none(self, shop, data):
        """A missing and a broken file are left to be made again; nothing is removed."""
        if data is not None:
            shop.put("images/a-1.png", data)
        async with shop.opened() as output:
            assert await recover_named(output, shop.task("a"), ORIGIN) is False
        assert shop.records() == {}
        assert shop.files() == ({} if data is None else {"images/a-1.png": data})


class TestEditAndUndo:
    """Nothing that was paid for is paid for again because of a name."""

    async def make(self, shop, job):
        """What a run of this job does, with a service that makes a picture from each seed."""
        async with shop.opened() as output:
            pending = select(JobPlan(job), output.history, Selection(), "k")
            damaged = pending.to_make.empty_like()
            missing = await audit(output, pending.succeeded, damaged, Stop(), ORIGIN)
            made = []
            for chosen in (pending.to_make, damaged):
                for _, task in chosen.indexed():
                    await self.store(output, task)
                    made.append(task.item_id)
            return made, missing

    async def store(self, output, task):
        data = picture(shade=sum(task.request["prompt"].encode()))
        artifact = Artifact(data=data, seed=task.seed, finish_reason=None)
        image = await output.store.save(task.file_stem, task.id, artifact, inspect_image(data))
        await output.manifest.append(make_record(task, images=(image,)))
        await output.store.settle(image.path, task.id)

    async def test_a_second_run_makes_nothing(self, shop):
        """Resume and the nightly run, by the same mechanism."""
        assert await self.make(shop, shop.job) == (["a", "b", "c"], 0)
        before = shop.files()
        assert await self.make(shop, shop.job) == ([], 0)
        assert shop.files() == before

    async def test_undoing_an_edit_costs_no_call(self, shop):
        """The changed prompt is made, the older picture kept; going back brings it back."""
        await self.make(shop, shop.job)
        original = shop.files()
        edited = make_job(shop.path, a="one", b="changed", c="three")
        assert await self.make(shop, edited) == (["b"], 0)
        changed = shop.files()
        assert changed["superseded/b-1~1.png"] == original["images/b-1.png"]
        assert changed["images/b-1.png"] != original["images/b-1.png"]
        assert await self.make(shop, shop.job) == ([], 0)
        undone = shop.files()
        assert {path: undone[path] for path in original} == original
        assert undone["superseded/b-1~2.png"] == changed["images/b-1.png"]
        assert await self.make(shop, edited) == ([], 0)
        assert shop.files()["images/b-1.png"] == changed["images/b-1.png"]

    async def test_other_file_names_are_a_matter_of_renaming(self, shop):
        """The same tasks under another template: every picture is renamed, none is made."""
        await self.make(shop, shop.job)
        original = shop.files()
        renamed = shop.job.model_copy(update={"file_name": "shop/{id}"})
        assert await self.make(shop, renamed) == ([], 0)
        assert shop.files() == {
            f"images/shop/{name}.png": original[f"images/{name}-1.png"] for name in "abc"
        }

    async def test_names_that_change_hands(self, shop):
        """Two items whose names are swapped swap their pictures."""
        await self.make(shop, shop.job)
        original = shop.files()
        job = shop.job.model_copy(update={"vars": {"x": "p"}, "file_name": "{id}-1"})
        a, b, c = job.items
        swapped = job.model_copy(
            update={
                "items": (
                    replace(a, id="b", seed=shop.task("a").seed),
                    replace(b, id="a", seed=shop.task("b").seed),
                    c,
                )
            }
        )
        assert {t.id for t in plan.expand(swapped)} == {t.id for t in plan.expand(shop.job)}
        assert await self.make(shop, swapped) == ([], 0)
        files = shop.files()
        assert files["images/a-1.png"] == original["images/b-1.png"]
        assert files["images/b-1.png"] == original["images/a-1.png"]

    @pytest.mark.parametrize("damage", ["removed", "cut"])
    async def test_an_image_that_was_damaged_is_made_again(self, shop, damage):
        """A record whose image is missing or altered is not done; what is left of it is kept."""
        await self.make(shop, shop.job)
        original = shop.files()
        if damage == "removed":
            (shop.path / "images/b-1.png").unlink()
        else:
            (shop.path / "images/b-1.png").write_bytes(b"cut")
        assert await self.make(shop, shop.job) == (["b"], 1)
        files = shop.files()
        assert files["images/b-1.png"] == original["images/b-1.png"]
        assert ("superseded/b-1~1.png" in files) is (damage == "cut")

    @pytest.mark.parametrize("change", [-1, 1])
    async def test_an_image_of_another_size_is_seen_whatever_its_time(self, shop, change):
        """A copy or a restored backup may bring the old time along; the size tells."""
        await self.make(shop, shop.job)
        path = shop.path / "images/b-1.png"
        data, old = path.read_bytes(), path.stat().st_mtime
        path.write_bytes(data[:change] if change < 0 else data + b"x")
        os.utime(path, (old - 3600, old - 3600))
        assert await self.make(shop, shop.job) == (["b"], 1)
        assert shop.files()["images/b-1.png"] == data

    @pytest.mark.parametrize("glances", [True, False])
    async def test_what_a_glance_takes_for_whole_is_whole(self, shop, monkeypatch, glances):
        """The quick look at a million images finds what the close one finds, and no more."""
        if not glances:

            async def everything(_output, chosen, *_):
                return chosen

            monkeypatch.setattr("batchgen.runner.audit._suspects", everything)
        names = ("whole", "ä", "written", "gone", "short", "other", "link", "folder", "twice")
        job = make_job(shop.path, **{name: name for name in names})
        assert await self.make(shop, job) == (list(names), 0)
        images = {name: shop.path / f"images/{name}-1.png" for name in names}
        for image in images.values():
            os.utime(image, (0, NOON.timestamp()))
        images["written"].write_bytes(images["written"].read_bytes())
        images["gone"].unlink()
        os.truncate(images["short"], images["short"].stat().st_size - 1)
        os.utime(images["short"], (0, NOON.timestamp()))
        other = images["other"].read_bytes()
        images["other"].write_bytes(other[:-1] + bytes([other[-1] ^ 1]))
        for name in ("written", "other"):
            os.utime(images[name], (0, NOON.timestamp() + 5))
        images["link"].rename(shop.path / "aside")
        images["link"].symlink_to(shop.path / "aside")
        images["folder"].unlink()
        images["folder"].mkdir()
        lost = make_image(path="images/lost.png")
        with (shop.path / MANIFEST_NAME).open("ab") as file:
            task = shop.task("twice", job)
            both = (*shop.records()[task.id].images, lost)
            file.write(make_record(task, images=both).to_json())
        async with shop.opened() as output:
            pending = select(JobPlan(job), output.history, Selection(), "k")
            damaged = pending.to_make.empty_like()
            assert await audit(output, pending.succeeded, damaged, Stop(), ORIGIN) == 6
            found = {task.item_id for _, task in damaged.indexed()}
        assert found == {"gone", "short", "other", "link", "folder", "twice"}

    async def test_images_that_are_plainly_there_need_no_tasks(self, shop, monkeypatch):
        """A resume of a million looks at lines and files alone, as a run of the job does it."""
        await self.make(shop, shop.job)
        for name in "abc":  # older than their records
            os.utime(shop.path / f"images/{name}-1.png", (0, NOON.timestamp()))

        def refuse(*_):
            raise AssertionError

        monkeypatch.setattr("batchgen.runner.audit._is_intact", refuse)
        stop = Stop()
        async with shop.opened() as output:
            pending = select(JobPlan(shop.job), output.history, Selection(), "k")
            damaged = pending.to_make.empty_like()
            derivatives = Derivatives(shop.job, "run-2", output, stop, print)
            assert await audit(output, pending.succeeded, damaged, stop, ORIGIN, derivatives) == 0
        assert not len(damaged)

    async def test_a_damaged_record_costs_no_call(self, shop):
        """Its line cannot be read, its image is whole: a new record is enough."""
        await self.make(shop, shop.job)
        path = shop.path / MANIFEST_NAME
        data = path.read_bytes().replace(b'"sha256": ', b'"sha256": \x00', 1)
        path.write_bytes(data)
        assert await self.make(shop, shop.job) == ([], 0)
        assert len(shop.records()) == 3

    async def test_a_stop_ends_the_looking(self, shop):
        """What was not looked at counts as there."""
        await self.make(shop, shop.job)
        (shop.path / "images/b-1.png").unlink()
        async with shop.opened() as output:
            pending = select(JobPlan(shop.job), output.history, Selection(), "k")
            stop = Stop()
            stop.request(StopCause.INTERRUPTED, "INT")
            damaged = pending.to_make.empty_like()
            assert await audit(output, pending.succeeded, damaged, stop, ORIGIN) == 0
