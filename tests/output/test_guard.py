"""The journal must still be ours while we write: what nobody finds again is not on record."""

import os

import pytest
from fakes import make_record

from batchgen.errors import StorageError
from batchgen.output.lock import hold_lock
from batchgen.output.manifest import MANIFEST_NAME, Manifest


def deleted(path):
    path.unlink()


def moved_away(path):
    path.rename(path.with_name("manifest.jsonl.1"))


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def copied_over(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1])


def truncated(path):
    os.truncate(path, 0)


def appended_to(path):
    with path.open("ab") as file:
        file.write(b"{}\n")


def linked(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


HARMS = [deleted, moved_away, replaced, copied_over, truncated, appended_to, linked]


@pytest.mark.parametrize("durable", [True, False], ids=["record", "attempt"])
@pytest.mark.parametrize("harm", HARMS)
async def test_what_was_done_to_the_file_is_noticed(tmp_path, harm, durable):
    """The next line is refused, and so are all that follow; nothing more is written anywhere."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    path = tmp_path / MANIFEST_NAME
    harm(path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each != path}

    for _ in range(2):
        with pytest.raises(StorageError, match=r"manifest\.jsonl was"):
            await manifest.append(make_record(), durable=durable)
    manifest.close()

    after = {each.name: each.read_bytes() for each in tmp_path.iterdir() if each != path}
    assert before.items() <= after.items()


async def test_a_deleted_manifest_is_put_back(tmp_path):
    """Nothing else says what was paid for; the next run goes on from it."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    held = (tmp_path / MANIFEST_NAME).read_bytes()
    (tmp_path / MANIFEST_NAME).unlink()

    with pytest.raises(StorageError, match=r"was deleted .* there again as"):
        await manifest.append(make_record())
    manifest.close()

    assert [each.name for each in tmp_path.iterdir()] == [MANIFEST_NAME]
    assert (tmp_path / MANIFEST_NAME).read_bytes() == held


async def test_it_does_not_take_the_place_of_another(tmp_path):
    """Whoever put a new one there keeps it; the old one lies beside."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    held = (tmp_path / MANIFEST_NAME).read_bytes()
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / MANIFEST_NAME).write_bytes(b"new\n")

    with pytest.raises(StorageError, match=r"manifest\.jsonl\.deleted~1"):
        await manifest.append(make_record())
    manifest.close()

    assert (tmp_path / MANIFEST_NAME).read_bytes() == b"new\n"
    assert (tmp_path / "manifest.jsonl.deleted~1").read_bytes() == held


async def test_a_folder_that_is_gone_is_said(tmp_path):
    """There is no place to put it back."""
    folder = tmp_path / "out"
    folder.mkdir()
    manifest = Manifest.open(folder)
    (folder / MANIFEST_NAME).unlink()
    folder.rmdir()

    with pytest.raises(StorageError, match="could not be put back"):
        await manifest.append(make_record())
    manifest.close()


@pytest.mark.parametrize("taken", [False, True])
async def test_a_lock_that_was_removed_is_noticed(tmp_path, taken):
    """Another run may come, or has come: this one writes no further line."""
    with hold_lock(tmp_path) as lock:
        manifest = Manifest.open(tmp_path, lock)
        await manifest.append(make_record())
        lock.path.unlink()
        if taken:
            lock.path.touch()

        with pytest.raises(StorageError, match=r"manifest\.lock was removed"):
            await manifest.append(make_record())
        manifest.close()
