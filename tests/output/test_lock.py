import errno
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batchgen.errors import OutputBusy, StorageError
from batchgen.output.lock import LOCK_NAME, hold_lock


def open_files():
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


HOLD = """
import sys
from pathlib import Path
from batchgen.output.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the output until it is told to end, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


class TestAnotherProcess:
    def test_is_refused_with_the_name_of_the_holder(self, tmp_path, holder):
        """The second run is told who holds the output: host, process and start."""
        with pytest.raises(OutputBusy) as caught, hold_lock(tmp_path):
            pytest.fail("two runs in one output")
        pattern = (
            rf"Another run holds {re.escape(str(tmp_path))}: process {holder.pid} on "
            rf"{re.escape(socket.gethostname())}, started \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ\."
        )
        assert re.fullmatch(pattern, str(caught.value))

    def test_leaves_the_first_untouched(self, tmp_path, holder):
        """Being refused changes nothing: what the lock file says stays, and it stays held."""
        before = (tmp_path / LOCK_NAME).read_bytes()
        for _ in range(2):
            with pytest.raises(OutputBusy), hold_lock(tmp_path):
                pytest.fail("two runs in one output")
        assert (tmp_path / LOCK_NAME).read_bytes() == before
        assert json.loads(before)["pid"] == holder.pid

    def test_frees_the_output_by_being_killed(self, tmp_path, holder):
        """The kernel frees the lock of a holder that had no chance to."""
        holder.kill()
        holder.wait()
        with hold_lock(tmp_path):
            assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()

    def test_frees_the_output_by_ending(self, tmp_path, holder):
        """A run that ends lets the next one in."""
        holder.stdin.close()
        assert holder.wait() == 0
        with hold_lock(tmp_path):
            pass


class TestLock:
    def test_it_says_who_holds_it(self, tmp_path):
        """The file names this process, one line of JSON."""
        with hold_lock(tmp_path):
            text = (tmp_path / LOCK_NAME).read_text()
        holder = json.loads(text)
        assert (holder["pid"], holder["host"]) == (os.getpid(), socket.gethostname())
        assert set(holder) == {"pid", "host", "started_at"}
        assert text.endswith("}\n")

    def test_the_file_of_a_dead_run_is_no_hindrance(self, tmp_path):
        """A stale file, longer than what we write, is taken over and overwritten."""
        (tmp_path / LOCK_NAME).write_text(json.dumps({"pid": 1, "host": "x" * 500}))
        with hold_lock(tmp_path):
            assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()

    def test_it_is_free_after_the_block(self, tmp_path):
        """The same process may take it again, after success and after an error."""
        with pytest.raises(KeyError), hold_lock(tmp_path):
            raise KeyError
        with hold_lock(tmp_path):
            pass
        assert (tmp_path / LOCK_NAME).exists()  # removing it would let two runs hold two files

    def test_it_excludes_in_one_process_too(self, tmp_path):
        """Two batches of one program cannot share an output either."""
        with hold_lock(tmp_path), pytest.raises(OutputBusy), hold_lock(tmp_path):
            pytest.fail("two runs in one output")

    def test_a_child_process_does_not_inherit_it(self, tmp_path):
        """A simulator that outlives the run must not keep the output locked."""
        with hold_lock(tmp_path):
            child = subprocess.Popen(
                [sys.executable, "-c", "print('here', flush=True); input()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                close_fds=False,
            )
            assert child.stdout.readline() == b"here\n"
        try:
            with hold_lock(tmp_path):
                pass
        finally:
            child.communicate(b"\n")

    @pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": 7}', "null", "\x00\xff"])
    def test_a_holder_that_has_not_written_yet(self, tmp_path, text):
        """Between the lock and the name in it, the message does without the name."""
        (tmp_path / LOCK_NAME).write_text(text)
        with (tmp_path / LOCK_NAME).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with (
                pytest.raises(OutputBusy, match="a run that is just starting"),
                hold_lock(tmp_path),
            ):
                pytest.fail("two runs in one output")

    def test_a_file_that_was_removed_meanwhile_is_not_the_lock(self, tmp_path, monkeypatch):
        """Who opened a file that somebody then removed locks the one that has the name now."""
        flock, locks = fcntl.flock, []

        def remove_first(descriptor, operation):
            locks.append(os.fstat(descriptor).st_ino)
            if len(locks) == 1:
                (tmp_path / LOCK_NAME).unlink()
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", remove_first)
        with hold_lock(tmp_path):
            assert len(locks) == 2
            assert (tmp_path / LOCK_NAME).stat().st_ino == locks[1]
            monkeypatch.setattr(fcntl, "flock", flock)
            with pytest.raises(OutputBusy), hold_lock(tmp_path):
                pytest.fail("two runs in one output")

    def test_a_file_that_was_replaced_meanwhile_is_not_the_lock(self, tmp_path, monkeypatch):
        """The name must lead to the very file that is locked, not to one like it."""
        flock, locks = fcntl.flock, []

        def replace_first(descriptor, operation):
            locks.append(os.fstat(descriptor).st_ino)
            if len(locks) == 1:
                (tmp_path / "other").touch()
                (tmp_path / "other").rename(tmp_path / LOCK_NAME)
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", replace_first)
        with hold_lock(tmp_path):
            assert (tmp_path / LOCK_NAME).stat().st_ino == locks[1] != locks[0]

    def test_nothing_stays_open(self, tmp_path):
        """Neither success nor refusal leaks a descriptor."""
        before = open_files()
        with hold_lock(tmp_path):
            with pytest.raises(OutputBusy), hold_lock(tmp_path):
                pass
            assert open_files() == before + 1
        assert open_files() == before


class TestDisk:
    def test_a_missing_folder_is_said(self, tmp_path):
        """A lock file that cannot be made is a fault of the disk, with its path."""
        match = rf"none/{LOCK_NAME} cannot be written: No such file"
        with pytest.raises(StorageError, match=match), hold_lock(tmp_path / "none"):
            pass

    def test_a_file_system_without_locks_is_said(self, tmp_path, monkeypatch):
        """Where the kernel refuses the lock, no run starts."""

        def refuse(*_):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
        before = open_files()
        match = f"{LOCK_NAME} cannot be locked: No locks available"
        with pytest.raises(StorageError, match=match), hold_lock(tmp_path):
            pass
        assert open_files() == before

    @pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
    def test_a_full_disk_is_said(self, tmp_path, monkeypatch, call):
        """No room for the name of the holder: a fault of the disk, and the lock is free again."""

        def refuse(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, call, refuse)
        match = f"{LOCK_NAME} cannot be written: No space left"
        with pytest.raises(StorageError, match=match), hold_lock(tmp_path):
            pytest.fail("a run on a full disk")
        monkeypatch.undo()
        with hold_lock(tmp_path):
            pass

    def test_an_error_of_the_body_is_its_own(self, tmp_path):
        """What goes wrong under the lock is not taken for a fault of the lock."""
        with pytest.raises(OSError, match="mine"), hold_lock(tmp_path):
            raise OSError(errno.ENOSPC, "mine")
