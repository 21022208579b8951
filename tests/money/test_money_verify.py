"""After a repair the next run makes exactly what was damaged, and nothing else is charged."""

import json
import os
from contextlib import suppress

import pytest
from bench import PRICE, bench, in_time_of_sockets

from batchgen.errors import ManifestError, OutputBusy, StorageError
from batchgen.output import (
    find_obsolete,
    load_history,
    prune_output,
    repair_output,
    verify_output,
)
from batchgen.output import repair as repairs
from batchgen.output.lock import hold_lock
from batchgen.plan import expand, task_ids
from batchgen.record import AttemptLine, RunLine


def nothing(*_):
    """Progress that nobody looks at."""


async def mended(folder):
    return await repair_output(folder / "manifest.jsonl", progress=nothing)


def found(folder):
    return {str(kind): n for kind, n in verify_output(folder / "manifest.jsonl").counts.items()}


def image(folder, number):
    return folder / f"images/item-{number}-1.png"


def edit(folder, number, change):
    """Change the record of an item by hand; `change` takes and gives the bytes of its line."""
    path = folder / "manifest.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for at, line in enumerate(lines):
        if line.startswith(b'{"kind": "record"') and f'"item-{number}"'.encode() in line:
            lines[at] = change(line)
    path.write_bytes(b"".join(lines))


def other_request(line):
    fields = json.loads(line)
    fields["request"]["prompt"] = "something else"
    return json.dumps(fields).encode() + b"\n"


def damage(folder):
    """One of each: five images of eight have to be made again."""
    image(folder, 0).unlink()
    image(folder, 1).write_bytes(b"")
    data = bytearray(image(folder, 2).read_bytes())
    data[-20] ^= 1
    image(folder, 2).write_bytes(data)
    image(folder, 3).unlink()
    os.mkfifo(image(folder, 3))
    edit(folder, 4, other_request)
    (folder / "images/stray.png").write_bytes(b"stray")
    with (folder / "manifest.jsonl").open("ab") as file:
        file.write(b"\0\0\0\n")


DAMAGED = 5


def content(folder):
    """Every file with its bytes; pipes by name."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != "manifest.lock"
    }


@in_time_of_sockets
async def test_exactly_what_was_damaged_is_made_again(tmp_path):
    """Nothing is deleted, the second repair does nothing, and the next run charges five images."""
    async with bench(tmp_path) as rig:
        await rig.run(8)
        damage(rig.folder)
        data = image(rig.folder, 2).read_bytes()
        charged = rig.charged()

        repaired = await mended(rig.folder)

        assert (repaired.withdrawn, repaired.lines, len(repaired.files)) == (DAMAGED, 1, 5)
        assert found(rig.folder) == {}
        assert (rig.folder / "aside/content/images/item-2-1.png").read_bytes() == data
        assert (rig.folder / "aside/stray/images/stray.png").read_bytes() == b"stray"
        before = content(rig.folder)
        assert (await mended(rig.folder)).verified.findings == []
        assert content(rig.folder) == before

        ran = await rig.run(8)

        assert ran.exit_code == 0
        assert ran.summary.succeeded == DAMAGED
        assert rig.charged() == charged + DAMAGED * PRICE
        assert found(rig.folder) == {}
        assert len(load_history(rig.folder / "manifest.jsonl")) == 8
        await rig.run(8)
        assert rig.charged() == charged + DAMAGED * PRICE


@pytest.mark.parametrize("at", range(6))
@in_time_of_sockets
async def test_a_repair_that_is_broken_off_is_continued(tmp_path, monkeypatch, at):
    """At any move: every record that counts has its file, and the next repair does the rest."""
    move, moves = repairs._move_aside, iter(range(100))

    async def fail(*arguments):
        if next(moves) == at:
            raise StorageError("the disk is gone")
        await move(*arguments)

    async with bench(tmp_path) as rig:
        await rig.run(8)
        damage(rig.folder)
        charged = rig.charged()
        with monkeypatch.context() as patch:
            patch.setattr(repairs, "_move_aside", fail)
            with suppress(StorageError):
                await mended(rig.folder)
        assert not found(rig.folder).keys() - {"stray", "damaged line"}

        await mended(rig.folder)
        assert found(rig.folder) == {}

        await rig.run(8)
        assert rig.charged() == charged + DAMAGED * PRICE
        assert found(rig.folder) == {}


@in_time_of_sockets
async def test_a_torn_record_is_left_to_the_run_which_pays_nothing(tmp_path):
    """The line is noted, the image stays, and the run gives it a record."""
    async with bench(tmp_path) as rig:
        await rig.run(3)
        edit(rig.folder, 1, lambda line: line.replace(b'"latency_ms"', b'"latency_ms'))
        charged = rig.charged()
        assert found(rig.folder) == {"damaged line": 1, "stray": 1}

        for _ in range(2):
            repaired = await mended(rig.folder)
            assert [each.finding.path for each in repaired.left] == ["images/item-1-1.png"]
        assert found(rig.folder) == {"stray": 1}

        await rig.run(3)
        assert rig.charged() == charged
        assert found(rig.folder) == {}


@in_time_of_sockets
async def test_what_a_killed_run_left_is_left_to_the_next(tmp_path):
    """Its images wait under temporary names, or under their own; its unanswered calls stay paid."""
    async with bench(tmp_path) as rig:
        await rig.run(3)
        path = rig.folder / "manifest.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        last = [n for n, line in enumerate(lines) if line.startswith(b'{"kind": "record"')][-1]
        cut = json.loads(lines[last])
        path.write_bytes(b"".join(lines[:last]) + lines[last][:90])
        data = (rig.folder / cut["images"][0]["path"]).read_bytes()
        charged, spent = rig.charged(), load_history(path).spent

        repaired = await mended(rig.folder)

        assert len(repaired.left) == 1
        assert load_history(path).spent == spent
        await rig.run(3)
        assert rig.charged() == charged
        assert found(rig.folder) == {}
        assert (rig.folder / cut["images"][0]["path"]).read_bytes() == data


@in_time_of_sockets
async def test_an_open_attempt_stays_in_the_account(tmp_path):
    """A task that a killed run was making again: taking its record out changes no money."""
    async with bench(tmp_path) as rig:
        ran = await rig.run(2)
        path = rig.folder / "manifest.jsonl"
        record = ran.records()[0]
        run = ran.lines("run")[0]
        attempt = AttemptLine.model_validate(ran.lines("attempt")[0])
        again = attempt.model_copy(update={"task_id": record["task_id"], "run_id": "killed"})
        with path.open("ab") as file:
            file.write(RunLine.model_validate({**run, "run_id": "killed"}).to_json())
            file.write(again.to_json())
        (rig.folder / record["images"][0]["path"]).unlink()
        before = load_history(path)
        assert before.spent == PRICE

        await mended(rig.folder)

        after = load_history(path)
        assert (after.spent, after.unanswered) == (before.spent, before.unanswered)
        assert len(after) == len(before) - 1


@in_time_of_sockets
async def test_items_that_left_the_job_are_listed_and_pruned(tmp_path):
    """With their files and cost; edited ones are kept for an undo; nothing is charged."""
    async with bench(tmp_path) as rig:
        await rig.run(3)
        job = rig.job(["mug 0, edited", "mug 1"])
        await rig.run(job)
        charged = rig.charged()
        path = rig.folder / "manifest.jsonl"
        key = load_history(path).random_seed_key

        labels = [task.label for task in expand(job, random_seed_key=key)]
        obsolete = list(find_obsolete(path, task_ids(job, random_seed_key=key), labels))

        gone = [each for each in obsolete if not each.is_older]
        assert [(each.item_id, each.files, each.cost_usd) for each in gone] == [
            ("item-2", ("images/item-2-1.png",), 0.04)
        ]
        (older,) = (each for each in obsolete if each.is_older)
        assert older.files == ("superseded/item-0-1~1.png",)

        await prune_output(path, gone)
        assert found(rig.folder) == {}
        assert (rig.folder / "aside/pruned/images/item-2-1.png").exists()
        assert (await rig.run(job)).exit_code == 0
        assert rig.charged() == charged
        await rig.run(
            3
        )  # the edit is undone, which costs nothing; the item is back, and made again
        assert rig.charged() == charged + PRICE
        assert found(rig.folder) == {}


@in_time_of_sockets
async def test_a_repair_needs_the_output_for_itself(tmp_path):
    """While a run holds it nothing is moved; and a copy of a manifest is not repaired."""
    async with bench(tmp_path) as rig:
        await rig.run(2)
        damage_one = image(rig.folder, 0)
        damage_one.unlink()
        copy = rig.folder / "copy.jsonl"
        copy.write_bytes((rig.folder / "manifest.jsonl").read_bytes())
        before = content(rig.folder)

        with hold_lock(rig.folder), pytest.raises(OutputBusy):
            await mended(rig.folder)
        with pytest.raises(ManifestError):
            await repair_output(copy, progress=nothing)

        assert content(rig.folder) == before


@in_time_of_sockets
async def test_a_shared_name_costs_the_other_record_alone(tmp_path):
    """Of two records of one name the one whose bytes are gone is made again."""
    async with bench(tmp_path) as rig:
        await rig.run(2)
        edit(rig.folder, 1, lambda line: line.replace(b"images/item-1-1", b"images/item-0-1"))
        charged = rig.charged()
        assert found(rig.folder) == {"shared": 1, "stray": 1}

        await mended(rig.folder)

        assert found(rig.folder) == {}
        await rig.run(2)
        assert rig.charged() == charged + PRICE
        assert found(rig.folder) == {}


@pytest.mark.parametrize("link", ["images", "images/blue"])
@in_time_of_sockets
async def test_images_behind_a_link_are_not_given_up(tmp_path, link):
    """A folder that somebody moved to another disk is named; put back, nothing is paid again."""
    async with bench(tmp_path) as it:
        job = it.job(3, file_name="blue/{id}-{variant}")
        await it.run(job)
        moved, elsewhere = it.folder / link, tmp_path / "elsewhere"
        moved.rename(elsewhere)
        moved.symlink_to(elsewhere)

        repaired = await mended(it.folder)

        assert len(repaired.verified.findings) == len(repaired.left) >= 3
        assert (repaired.withdrawn, repaired.files) == (0, [])
        assert {each.reason for each in repaired.left} == {
            f"{moved} is a link: put the folder itself there"
        }
        moved.unlink()
        elsewhere.rename(moved)
        assert (await it.run(job)).exit_code == 0
        assert it.charged() == 3 * PRICE
