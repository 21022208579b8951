import asyncio
import errno
import json
import os
import threading
from pathlib import Path

import pytest
from fakes import NOON, make_record, settle, until
from hypothesis import given
from hypothesis import strategies as st
from outputs import run_line

from batchgen.errors import ManifestError, StorageError
from batchgen.output import manifest as manifests
from batchgen.output.manifest import (
    GROUP,
    MANIFEST_NAME,
    Manifest,
    parse_line,
    parse_object,
    read_manifest,
)
from batchgen.record import AttemptLine, EndLine, MovedLine
from batchgen.text import quoted


def moved(number):
    return MovedLine(run_id="run-1", task_id=f"t-{number}", path="a.png", new_path="b.png")


@pytest.fixture
def manifest(tmp_path):
    opened = Manifest.open(tmp_path)
    yield opened
    opened.close()


class Disk:
    """The calls that reach the disk, counted, and failing, short or slow on demand."""

    def __init__(self, monkeypatch):
        self.log = []
        self.write_error = None
        self.sync_error = None
        self.most_at_once = None
        self.gate = threading.Event()
        self.gate.set()
        self._write, self._sync = os.write, os.fdatasync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def write(self, descriptor, data):
        if threading.current_thread() is threading.main_thread():
            return self._write(descriptor, data)  # the event loop's own, or the sealing
        self.log.append("write")
        if self.write_error is not None:
            raise self.write_error
        return self._write(descriptor, bytes(data)[: self.most_at_once])

    def sync(self, descriptor):
        self.log.append("sync")
        assert self.gate.wait(10)
        if self.sync_error is not None:
            raise self.sync_error
        self._sync(descriptor)


@pytest.fixture
def disk(monkeypatch, manifest):  # the manifest is opened on the real disk
    return Disk(monkeypatch)


class TestAppend:
    async def test_lines_are_written_in_the_order_of_their_appending(self, manifest):
        """Of many coroutines, who appends first is written first."""
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(manifest.append(moved(number), durable=number % 3 == 0))
        assert [line.task_id for line in read_manifest(manifest.path)] == [
            f"t-{n}" for n in range(200)
        ]

    async def test_one_line_is_one_write_and_one_sync(self, manifest, disk):
        """A line alone is written by one call and synced before `append` returns."""
        await manifest.append(moved(1))
        assert disk.log == ["write", "sync"]
        assert manifest.path.read_bytes() == moved(1).to_json()

    async def test_lines_that_come_together_share_a_sync(self, manifest, disk):
        """A sync makes up to 64 lines durable."""
        assert GROUP == 64
        async with asyncio.TaskGroup() as group:
            for number in range(2 * GROUP + 1):
                group.create_task(manifest.append(moved(number)))
        assert disk.log == [*["write"] * 64, "sync", *["write"] * 64, "sync", "write", "sync"]

    async def test_a_line_that_need_not_last_costs_no_sync(self, manifest, disk):
        """`durable=False` writes and does not sync."""
        await manifest.append(moved(1), durable=False)
        assert disk.log == ["write"]
        assert manifest.path.read_bytes() == moved(1).to_json()

    async def test_one_durable_line_syncs_its_group(self, manifest, disk):
        """In a group of both kinds there is one sync, and nobody returns before it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(manifest.append(moved(1), durable=False))
            group.create_task(manifest.append(moved(2), durable=True))
        assert disk.log == ["write", "write", "sync"]

    async def test_equal_lines_are_two_lines(self, manifest):
        """Nothing is folded: who appends the same twice finds it twice."""
        await asyncio.gather(manifest.append(moved(1)), manifest.append(moved(1)))
        assert manifest.path.read_bytes() == moved(1).to_json() * 2

    async def test_a_short_write_is_continued(self, manifest, disk):
        """What one write did not take, the next ones do."""
        disk.most_at_once = 7
        await manifest.append(moved(1))
        size = len(moved(1).to_json())
        assert disk.log == [*["write"] * -(-size // 7), "sync"]
        assert manifest.path.read_bytes() == moved(1).to_json()

    async def test_the_loop_goes_on_while_the_disk_is_slow(self, manifest, disk):
        """A sync of seconds blocks only those who wait for it."""
        disk.gate.clear()
        waiter = asyncio.create_task(manifest.append(moved(1)))
        await until(lambda: "sync" in disk.log)
        await settle()
        assert not waiter.done()
        disk.gate.set()
        await waiter


class TestWithin:
    async def test_what_must_be_given_is_asked_before_the_line_is_written(self, manifest, disk):
        """What refuses a line is told to who appends it; the others of its group are written."""

        def refuse():
            raise LookupError(list(disk.log))

        results = await asyncio.gather(
            manifest.append(moved(1), given=refuse),
            manifest.append(moved(2)),
            return_exceptions=True,
        )
        assert repr(results[0]) == "LookupError([])"
        assert manifest.path.read_bytes() == moved(2).to_json()
        await manifest.append(moved(3))  # it is not broken

    async def test_equal_conditions_of_a_group_are_looked_at_once(self, manifest):
        """A thousand calls that start together ask the disk once for its room."""
        looks = []

        def look():
            looks.append(threading.current_thread() is threading.main_thread())

        await asyncio.gather(*(manifest.append(moved(n), given=look) for n in range(GROUP)))
        assert looks == [False]

    async def test_what_follows_a_line_is_done_when_it_is_durable(self, manifest, disk):
        """In the same thread; what goes wrong there breaks nothing."""

        def fail():
            raise LookupError(list(disk.log))

        with pytest.raises(LookupError, match=r"write.*sync"):
            await manifest.append(moved(1), then=fail)
        await manifest.append(moved(2))
        assert [line.task_id for line in read_manifest(manifest.path)] == ["t-1", "t-2"]

    async def test_two_lines_at_a_time_are_one_change_of_threads(self, manifest, monkeypatch):
        """All that is to be done of a group is done in one go."""
        loop, jobs = asyncio.get_running_loop(), []
        run = loop.run_in_executor
        monkeypatch.setattr(loop, "run_in_executor", lambda *job: (jobs.append(job), run(*job))[1])
        lines = [manifest.append(moved(n), given=jobs.copy, then=jobs.copy) for n in range(2)]
        await asyncio.gather(*lines)
        assert len(jobs) == 1

    async def test_nobody_writes_for_those_who_went(self, manifest, disk):
        """Without anybody who waits for the end of the write, the file may be closed under it."""
        going = asyncio.create_task(manifest.append(moved(1)))
        await asyncio.sleep(0)
        going.cancel()
        await settle()
        assert disk.log == []
        await manifest.append(moved(2))
        assert [line.task_id for line in read_manifest(manifest.path)] == ["t-1", "t-2"]


class TestFailure:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
    async def test_a_failed_write_breaks_it_for_good(self, manifest, disk, number):
        """After a failed write every later append fails too, without touching the file."""
        disk.write_error = OSError(number, os.strerror(number))
        with pytest.raises(StorageError, match=os.strerror(number)) as caught:
            await manifest.append(moved(1))
        assert str(manifest.path) in str(caught.value)
        disk.write_error = None
        disk.log.clear()
        with pytest.raises(StorageError, match=os.strerror(number)):
            await manifest.append(moved(2))
        assert disk.log == []

    async def test_a_failed_sync_is_never_tried_again(self, manifest, disk):
        """After a failed sync nobody knows what the file holds: it is broken for good."""
        disk.sync_error = OSError(errno.EIO, "Input/output error")
        with pytest.raises(StorageError, match="could not be written"):
            await manifest.append(moved(1))
        disk.sync_error = None
        with pytest.raises(StorageError, match="Input/output error"):
            await manifest.append(moved(2), durable=False)
        assert disk.log == ["write", "sync"]

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), MemoryError("broken")])
    async def test_everybody_in_the_group_is_told(self, manifest, disk, error):
        """A line that is not durable is reported to its writer, and to those after."""
        disk.sync_error = error
        results = await asyncio.gather(
            *(manifest.append(moved(number)) for number in range(GROUP + 3)), return_exceptions=True
        )
        assert isinstance(results[0], StorageError | MemoryError)
        assert {type(result) for result in results[1:]} == {StorageError}
        assert disk.log == [*["write"] * GROUP, "sync"]

    async def test_a_write_that_broke_off_breaks_it_for_good(self, manifest, disk):
        """Whatever ended a write, the next line must not follow half a line."""
        disk.write_error = MemoryError()
        with pytest.raises(MemoryError):
            await manifest.append(moved(1))
        disk.write_error = None
        with pytest.raises(StorageError, match="broken off in the middle"):
            await manifest.append(moved(2))


class TestCancellation:
    async def test_a_write_that_began_is_finished_first(self, manifest, disk):
        """Cancelled in its write, `append` ends when the write has: nobody writes beside it."""
        disk.gate.clear()
        first = asyncio.create_task(manifest.append(moved(1)))
        await until(lambda: "sync" in disk.log)
        second = asyncio.create_task(manifest.append(moved(2)))
        await settle()
        first.cancel()
        await settle()
        first.cancel()  # who is impatient waits as long
        await settle()
        assert disk.log == ["write", "sync"]
        assert not first.done()
        disk.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        assert disk.log == ["write", "sync", "write", "sync"]
        assert manifest.path.read_bytes() == moved(1).to_json() + moved(2).to_json()

    async def test_the_line_of_a_waiter_that_went_is_written_with_the_next(self, manifest, disk):
        """Cancelled before its turn, a line still keeps its place among the others."""
        disk.gate.clear()
        tasks = [asyncio.create_task(manifest.append(moved(n))) for n in range(1)]
        await until(lambda: "sync" in disk.log)
        tasks += [asyncio.create_task(manifest.append(moved(n))) for n in (1, 2)]
        await settle()
        tasks[1].cancel()
        await settle()
        assert tasks[1].cancelled()
        disk.gate.set()
        await tasks[0]
        await tasks[2]
        assert [line.task_id for line in read_manifest(manifest.path)] == ["t-0", "t-1", "t-2"]

    async def test_a_failure_that_its_waiter_did_not_see_is_told_to_the_next(self, manifest, disk):
        """The waiter was cancelled, the write failed: the manifest is broken all the same."""
        disk.gate.clear()
        disk.sync_error = OSError(errno.EIO, "Input/output error")
        first = asyncio.create_task(manifest.append(moved(1)))
        await until(lambda: "sync" in disk.log)
        first.cancel()
        disk.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        with pytest.raises(StorageError, match="Input/output error"):
            await manifest.append(moved(2))


class TestOpen:
    def test_a_new_folder_gets_an_empty_manifest(self, tmp_path):
        """Opening makes the file; reading it gives nothing."""
        Manifest.open(tmp_path).close()
        assert (tmp_path / MANIFEST_NAME).read_bytes() == b""
        assert list(read_manifest(tmp_path / MANIFEST_NAME)) == []

    def test_its_name_and_its_folder_are_durable(self, tmp_path, monkeypatch):
        """The folder that holds the new file is synced."""
        synced = []
        monkeypatch.setattr(
            os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        )
        Manifest.open(tmp_path).close()
        assert synced == [str(tmp_path)]

    def test_a_child_process_does_not_inherit_it(self, manifest):
        """The simulator or a pager must not hold the file."""
        assert not os.get_inheritable(manifest._descriptor)

    @pytest.mark.parametrize("place", ["missing", "file/below"])
    def test_a_folder_that_is_none_is_a_storage_error(self, tmp_path, place):
        """What cannot be opened is said with its path."""
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=f"{place}/{MANIFEST_NAME} cannot be written"):
            Manifest.open(tmp_path / place)

    def test_a_disk_that_refuses_the_seal_leaves_nothing_open(self, tmp_path, monkeypatch):
        """A failed opening closes what it opened."""
        (tmp_path / MANIFEST_NAME).write_bytes(b"torn")
        before = len(list(Path("/proc/self/fd").iterdir()))

        def refuse(_):
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", refuse)
        with pytest.raises(StorageError, match="Input/output error"):
            Manifest.open(tmp_path)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    def test_a_whole_file_is_left_as_it_is(self, tmp_path, monkeypatch):
        """No seal where the last byte is a newline; a sync, for a killed run may have owed it."""
        (tmp_path / MANIFEST_NAME).write_bytes(moved(1).to_json())
        synced = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        Manifest.open(tmp_path).close()
        assert len(synced) == 1
        assert (tmp_path / MANIFEST_NAME).read_bytes() == moved(1).to_json()

    def test_a_seal_is_durable(self, tmp_path, monkeypatch):
        """The newline that ends a torn line is synced before anything follows it."""
        (tmp_path / MANIFEST_NAME).write_bytes(b"torn")
        synced = []
        monkeypatch.setattr(os, "fdatasync", synced.append)
        Manifest.open(tmp_path).close()
        assert len(synced) == 1
        assert (tmp_path / MANIFEST_NAME).read_bytes() == b"torn\n"


@pytest.fixture
def no_sync(monkeypatch):
    """Syncs cost nothing where many files are written and none is to survive."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


LINES = [
    run_line(),
    AttemptLine(run_id="run-1", task_id="t", attempt=1, seed=1, price_usd=0.04, started_at=NOON),
    make_record(label="\u2028é"),
    moved(1),
    EndLine(run_id="run-1", finished_at=NOON, exit_code=0, summary={"succeeded": 1}),
]
WHOLE = b"".join(line.to_json() for line in LINES)


@pytest.mark.usefixtures("no_sync")
class TestTear:
    async def test_a_tear_at_every_byte_costs_at_most_the_torn_line(self, tmp_path):
        """Sealed and appended to, a torn manifest gives all whole lines and the new one."""
        path = tmp_path / MANIFEST_NAME
        ends = [sum(len(line.to_json()) for line in LINES[: n + 1]) for n in range(len(LINES))]
        for cut in range(len(WHOLE) + 1):
            path.unlink(missing_ok=True)  # some file systems sync what is written over
            path.write_bytes(WHOLE[:cut])
            manifest = Manifest.open(tmp_path)
            await manifest.append(moved(99), durable=False)
            manifest.close()
            # A line that lost nothing but its newline is whole.
            whole = [line for line, end in zip(LINES, ends, strict=True) if end - 1 <= cut]
            assert list(read_manifest(path)) == [*whole, moved(99)], cut
            seal = b"" if cut in (0, *ends) else b"\n"
            assert path.read_bytes() == WHOLE[:cut] + seal + moved(99).to_json(), cut

    def test_opening_twice_seals_once(self, tmp_path):
        """A sealed file needs no second seal."""
        (tmp_path / MANIFEST_NAME).write_bytes(WHOLE[:-9])
        for _ in range(3):
            Manifest.open(tmp_path).close()
        assert (tmp_path / MANIFEST_NAME).read_bytes() == WHOLE[:-9] + b"\n"


class TestRead:
    @pytest.mark.parametrize("line", LINES, ids=lambda line: line.kind)
    def test_every_kind_comes_back(self, line):
        """Each kind of line is read as what it was written as."""
        assert parse_line(line.to_json()) == line

    def test_what_is_no_line_is_passed_over(self, tmp_path):
        """Torn and foreign lines, unknown kinds, wrong types: no reason to give up the rest."""
        path = tmp_path / MANIFEST_NAME
        path.write_bytes(
            b'{"kind": "moved", "run_id"\n\n[1, 2]\n"text"\n{}\n\xff\xfe\n{"kind": 7}\n'
            b'{"kind": "later", "x": 1}\n{"kind": "moved", "run_id": "r"}\n' + moved(1).to_json()
        )
        assert list(read_manifest(path)) == [moved(1)]

    def test_a_later_format_is_refused(self, tmp_path):
        """A run line of a later format says so, with its version, and nothing after it is read."""
        path = tmp_path / MANIFEST_NAME
        later = run_line(version=3, batchgen_version="9.1.0")
        path.write_bytes(run_line().to_json() + later.to_json() + moved(1).to_json())
        lines = read_manifest(path)
        assert next(lines) == run_line()
        with pytest.raises(ManifestError) as caught:
            next(lines)
        assert str(caught.value) == (
            "the manifest was written by a later batchgen (9.1.0, format 3); this one reads format "
            "2: use that one, or give the job another output"
        )

    def test_a_later_format_is_refused_whatever_else_changed(self):
        """What the fields of a later format are is not known: only kind and version count."""
        with pytest.raises(ManifestError, match="format 3"):
            parse_line(b'{"kind": "run", "version": 3, "everything": "else"}')

    @pytest.mark.parametrize("version", ["2", None, [2], 1.0, 1.5, True, {}])
    def test_a_version_that_is_no_whole_number_is_refused(self, version):
        """No batchgen wrote it: what the lines mean is not known."""
        fields = json.loads(run_line().to_json()) | {"version": version}
        with pytest.raises(ManifestError) as caught:
            parse_line(json.dumps(fields).encode())
        assert str(caught.value) == (
            f"the manifest has a run line whose version is {quoted(str(version))} and no whole "
            "number: no batchgen wrote that"
        )

    @pytest.mark.parametrize("version", [0, 1, -1])
    def test_only_a_larger_number_is_a_later_format(self, version):
        """An older format is read as this one."""
        fields = json.loads(run_line().to_json()) | {"version": version}
        line = parse_line(json.dumps(fields).encode())
        assert line is None or line.version <= 2

    def test_other_kinds_may_have_a_version(self):
        """Only a run line's version speaks of the format."""
        fields = json.loads(moved(1).to_json()) | {"version": 9}
        assert parse_line(json.dumps(fields).encode()) == moved(1)

    def test_a_missing_manifest_is_said(self, tmp_path):
        """The file's path and the reason."""
        with pytest.raises(ManifestError, match=f"{MANIFEST_NAME} cannot be read: No such file"):
            list(read_manifest(tmp_path / MANIFEST_NAME))

    def test_reading_a_folder_is_said(self, tmp_path):
        """What is no file cannot be a manifest."""
        with pytest.raises(ManifestError, match="cannot be read: Is a directory"):
            list(read_manifest(tmp_path))


class TestParseObject:
    @pytest.mark.parametrize("data", [b"", b"\n", b"1", b"[]", b'"x"', b"{", b"\xff", b"nul"])
    def test_only_an_object_is_one(self, data):
        """Anything else is None."""
        assert parse_object(data) is None

    def test_a_half_character_is_read(self):
        """A lone surrogate, which a service's message may hold, costs no record."""
        assert parse_object(b'{"a": "\\ud800x"}') == {"a": "\ud800x"}

    @pytest.mark.parametrize("depth", [150, 900])
    def test_a_deep_object_is_read(self, depth):
        """Depth is not refused as long as it can be held."""
        data = b'{"a": ' + b"[" * depth + b"]" * depth + b"}"
        assert parse_object(data) is not None

    def test_a_bottomless_one_is_none(self):
        """Damage cannot exhaust the parser."""
        assert parse_object(b'{"a": ' + b"[" * 200_000) is None

    @given(st.binary(max_size=60))
    def test_any_bytes_are_an_object_or_none(self, data):
        """No byte string raises."""
        assert isinstance(parse_object(data), dict | None)


def test_kinds_are_complete():
    """Every kind of line that can be written can be read."""
    kinds = {"run", "attempt", "record", "moved", "derived", "end", "repair"}
    assert set(manifests.KINDS) == kinds
    assert all(
        shape.model_fields["kind"].default == kind for kind, shape in manifests.KINDS.items()
    )
