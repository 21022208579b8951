"""The journal must still be ours while we write: what nobody finds again is not on record."""

import os
from pathlib import Path

import pytest
from fakes import make_record

from batchgen.errors import StorageError
from batchgen.output import manifest as manifests
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

    path = tmp_path / MANIFEST_NAME
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            await manifest.append(make_record())
        assert str(caught.value) == (
            f"{path} was deleted while the run wrote to it; what it held is there again as {path}"
        )
    manifest.close()

    assert [each.name for each in tmp_path.iterdir()] == [MANIFEST_NAME]
    assert path.read_bytes() == held


async def test_all_of_a_long_manifest_is_put_back(tmp_path, monkeypatch):
    """Whatever its length; and what an earlier try left half-done is in nobody's way."""
    monkeypatch.setattr(manifests, "COPY_SIZE", 100)
    manifest = Manifest.open(tmp_path)
    for _ in range(3):
        await manifest.append(make_record())
    held = (tmp_path / MANIFEST_NAME).read_bytes()
    assert len(held) > 1_000
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / f".{MANIFEST_NAME}.rescue").write_bytes(b"half")

    with pytest.raises(StorageError, match="was deleted"):
        await manifest.append(make_record())
    manifest.close()

    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {MANIFEST_NAME: held}


async def test_what_is_put_back_survives_a_loss_of_power(tmp_path, monkeypatch):
    """The copy is synced before its name is, and the folder after."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    size = (tmp_path / MANIFEST_NAME).stat().st_size
    (tmp_path / MANIFEST_NAME).unlink()
    synced = []

    def sync(descriptor):
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((file, file.is_dir() or file.stat().st_size))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(StorageError, match="was deleted"):
        await manifest.append(make_record())
    manifest.close()

    assert synced == [(tmp_path / f".{MANIFEST_NAME}.rescue", size), (tmp_path, True)]


async def test_it_does_not_take_the_place_of_another(tmp_path):
    """Whoever put a new one there keeps it; the old one lies beside."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    held = (tmp_path / MANIFEST_NAME).read_bytes()
    (tmp_path / MANIFEST_NAME).unlink()
    (tmp_path / MANIFEST_NAME).write_bytes(b"new\n")

    (tmp_path / "manifest.jsonl.deleted~1").write_bytes(b"older\n")

    with pytest.raises(StorageError) as caught:
        await manifest.append(make_record())
    manifest.close()

    assert str(caught.value).endswith(
        f"; what it held is there again as {tmp_path / 'manifest.jsonl.deleted~2'}"
    )
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        MANIFEST_NAME: b"new\n",
        "manifest.jsonl.deleted~1": b"older\n",
        "manifest.jsonl.deleted~2": held,
    }


async def test_a_folder_that_is_gone_is_said(tmp_path):
    """There is no place to put it back."""
    folder = tmp_path / "out"
    folder.mkdir()
    manifest = Manifest.open(folder)
    (folder / MANIFEST_NAME).unlink()
    folder.rmdir()

    with pytest.raises(StorageError) as caught:
        await manifest.append(make_record())
    manifest.close()
    assert str(caught.value) == (
        f"{folder / MANIFEST_NAME} was deleted while the run wrote to it, and could not be put "
        "back: No such file or directory"
    )


@pytest.mark.parametrize("harm", [moved_away, linked])
async def test_what_to_do_about_another_file_of_its_name_is_said(tmp_path, harm):
    """The lines of the run are in the file that went: it must come back."""
    manifest = Manifest.open(tmp_path)
    harm(tmp_path / MANIFEST_NAME)
    with pytest.raises(StorageError) as caught:
        await manifest.append(make_record())
    manifest.close()
    assert str(caught.value) == (
        f"{tmp_path / MANIFEST_NAME} was moved away or replaced while the run wrote to it: "
        "put it back"
    )


async def test_how_much_somebody_else_changed_is_said(tmp_path):
    """Both lengths help to find out who it was."""
    manifest = Manifest.open(tmp_path)
    await manifest.append(make_record())
    size = (tmp_path / MANIFEST_NAME).stat().st_size
    appended_to(tmp_path / MANIFEST_NAME)
    with pytest.raises(StorageError) as caught:
        await manifest.append(make_record())
    manifest.close()
    assert str(caught.value) == (
        f"{tmp_path / MANIFEST_NAME} was changed by somebody else while the run wrote to it: it "
        f"has {size + 3} bytes, and the run left {size}"
    )


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
