"""An output is held against its manifest: planted damage is found, and a sound output is sound."""

import hashlib
import os
import shutil
from collections import Counter
from contextlib import ExitStack

import pytest
from fakes import NOON, make_image, make_record, make_task, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outputs import Output, run_line, sound
from test_pixels import BROKEN

import batchgen
from batchgen.errors import ManifestError
from batchgen.output.lock import hold_lock
from batchgen.output.verify import verify_output
from batchgen.record import RepairLine, Status


def kinds(output, **options):
    """What is found, as kinds."""
    return Counter(str(each.kind) for each in verify_output(output.manifest, **options).findings)


def path_of(output, number=1):
    """The file of a record that did not move."""
    return output.folder / output.lines[number].images[0].path


def truncate(output):
    path = path_of(output)
    path.write_bytes(path.read_bytes()[:-5])


def flip(output):
    path = path_of(output)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap(output):
    """Two images of one size change places."""
    output.add(path="images/one.png", data=picture(shade=201))
    output.add(path="images/two.png", data=picture(shade=202))
    output.write()
    shutil.copy(output.folder / "images/one.png", output.folder / "images/two.png")


def link(output):
    path = path_of(output)
    copy = output.folder.parent / "elsewhere"
    shutil.move(path, copy)
    path.symlink_to(copy)


def pipe(output):
    path_of(output).unlink()
    os.mkfifo(path_of(output))


def folder(output):
    path_of(output).unlink()
    path_of(output).mkdir()


def end_early(output):
    """Pixels that end early in a file whose record knows them."""
    output.add(BROKEN["a PNG with half of its rows"], path="images/early.png")
    output.write()


def cut_and_recorded(output):
    """A file that was cut, and a record that somebody made to fit."""

    def change(fields):
        data = path_of(output).read_bytes()[:-20]
        path_of(output).write_bytes(data)
        fields["images"][0].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    output.edit(change, number=1)


def another_shape(output):
    output.edit(lambda fields: fields["images"][0].update(width=4096), number=1)


def torn(output):
    output.manifest.write_bytes(output.manifest.read_bytes()[:-7])


def torn_and_sealed(output):
    output.manifest.write_bytes(output.manifest.read_bytes()[:-7] + b"\n")


def flipped_line(output):
    output.harm(lambda line: line.replace(b'"seed": ', b'"seed"; ', 1), number=1)


def line_of_zeros(output):
    output.manifest.write_bytes(output.manifest.read_bytes() + bytes(512) + b"\n")


def lacking(output):
    """A record without its images."""
    output.edit(lambda fields: fields.pop("finished_at"), number=1)


def another_request(output):
    output.edit(lambda fields: fields["request"].update(prompt="another"), number=1)


def another_id(output):
    output.edit(lambda fields: fields.update(task_id="1-" + "0" * 32), number=1)


def another_model(output):
    output.edit(lambda fields: fields.update(model_id="stability.sd3-5-large-v1:0"), number=1)


def nameless(output):
    output.edit(lambda fields: fields.update(images=[]), number=1)
    path_of(output).unlink()


def one_name(output):
    """Two records of one name, whose bytes are the second's."""
    name = str(path_of(output).relative_to(output.folder))
    output.add(picture(shade=99), path=name)
    output.write()


def moved_away(output):
    next((output.folder / "superseded").iterdir()).unlink()


PLANTED = {
    "a missing file": (lambda output: path_of(output).unlink(), {"missing": 1}),
    "a missing folder": (lambda output: shutil.rmtree(output.folder / "images"), {"missing": 5}),
    "a truncated file": (truncate, {"size": 1}),
    "an empty file": (lambda output: path_of(output).write_bytes(b""), {"size": 1}),
    "a flipped bit": (flip, {"content": 1}),
    "another image of the same size": (swap, {"content": 1}),
    "a link": (link, {"no file": 1}),
    "a pipe": (pipe, {"no file": 1}),
    "a folder": (folder, {"no file": 1}),
    "pixels that end early": (end_early, {"broken": 1}),
    "a cut file whose record fits": (cut_and_recorded, {"broken": 1}),
    "another shape than on record": (another_shape, {"unlike": 1}),
    "a torn tail": (torn, {"damaged line": 1}),
    "a sealed tear": (torn_and_sealed, {"damaged line": 1}),
    "a flipped bit in a record": (flipped_line, {"damaged line": 1, "stray": 1}),
    "a line of zeros": (line_of_zeros, {"damaged line": 1}),
    "a record that lacks a field": (lacking, {"damaged line": 1, "stray": 1}),
    "another request": (another_request, {"wrong id": 1}),
    "another id": (another_id, {"wrong id": 1}),
    "another model": (another_model, {"wrong id": 1}),
    "a success without images": (nameless, {"no image": 1}),
    "two records of one name": (one_name, {"shared": 1}),
    "a moved file that is gone": (moved_away, {"missing": 1}),
    "a stray": (lambda output: output.put("images/x.png", picture()), {"stray": 1}),
    "a stray deeper down": (lambda output: output.put("images/a/b/x", b"words"), {"stray": 1}),
    "a stray beside the manifest": (lambda output: output.put("x.PNG", b""), {"stray": 1}),
    "an image of a killed run": (
        lambda output: output.put(f"images/.x.png.1-{'a' * 32}.part", picture()),
        {"leftover": 1},
    ),
    "an image in the spool": (
        lambda output: output.put(f"spool/x.png.1-{'a' * 32}.part", picture()),
        {"leftover": 1},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_damage_is_found(tmp_path, name):
    """Each kind by its name, and nothing else with it."""
    output = sound(tmp_path / "out")
    plant, found = PLANTED[name]

    plant(output)

    assert kinds(output) == found


QUICK = {"missing", "size", "no file", "wrong id", "no image", "damaged line", "stray", "leftover"}


@pytest.mark.parametrize("name", [name for name, (_, kind) in PLANTED.items() if {*kind} <= QUICK])
def test_quick_finds_what_shows_without_reading(tmp_path, name):
    """Names, sizes, ids and lines."""
    output = sound(tmp_path / "out")
    plant, found = PLANTED[name]

    plant(output)

    assert kinds(output, quick=True) == found


def test_quick_reads_what_is_newer_than_its_record(tmp_path):
    """An alteration within the size shows by its time; an untouched file is not opened."""
    output = sound(tmp_path / "out")
    old = NOON.timestamp() - 60
    for path in output.folder.rglob("*.*"):
        os.utime(path, (old, old))
    assert verify_output(output.manifest, quick=True).bytes == 0

    flip(output)

    assert kinds(output, quick=True) == {"content": 1}


def test_what_the_hash_proves_is_not_decoded_again(tmp_path, monkeypatch):
    """An image that was decoded when it came is hashed; an older record's is decoded."""
    decoded = []
    monkeypatch.setattr("batchgen.output.verify.decode_image", decoded.append)
    output = Output(tmp_path / "out")
    record = output.add()
    image = record.images[0]
    known = image.model_copy(update={"decoded": image.sha256[:16]})
    output.lines[0] = record.model_copy(update={"images": (known,)})
    output.write()

    assert kinds(output) == {}
    assert decoded == []


def test_a_record_that_was_edited_vouches_for_nothing(tmp_path):
    """What was decoded is tied to the hash: with another hash the file is decoded."""
    output = Output(tmp_path / "out")
    record = output.add(BROKEN["a PNG with half of its rows"])
    old = record.images[0].model_copy(update={"decoded": "0" * 16})
    output.lines[0] = record.model_copy(update={"images": (old,)})
    output.write()

    assert kinds(output)["broken"] == 1


@pytest.mark.parametrize("quick", [True, False])
def test_a_sound_output_is_sound(tmp_path, quick):
    """With a moved image, failures, and what the store sets aside; also when it was copied."""
    output = sound(tmp_path / "out", 12)
    output.lines.append(make_record(status=Status.FAILED, images=()))
    output.lines.append(make_record(status=Status.FILTERED, images=()))
    output.put("superseded/old~1.png", b"an image whose record was replaced")
    output.put("unusable/1-ab.json", b"{")
    output.put("report.html", b"a page")
    output.put("images/.DS_Store", b"")
    output.write()

    found = verify_output(output.manifest, quick=quick)

    assert (found.findings, found.records, found.files) == ([], 12, 12)


def test_lines_of_later_kinds_are_no_damage(tmp_path):
    """A later version may add kinds and fields; blank lines say nothing."""
    output = sound(tmp_path / "out")
    output.manifest.write_bytes(output.manifest.read_bytes() + b'{"kind": "new"}\n\n')
    output.edit(lambda fields: fields.update(new_field={"a": 1}))

    assert kinds(output) == {}


def test_only_the_last_record_of_a_task_counts(tmp_path):
    """A task that was made again has one file; what its older record names is nobody's business."""
    output = sound(tmp_path / "out")
    first = output.lines[1]
    again = first.images[0].model_copy(update={"path": "images/again.png"})
    path_of(output).rename(output.folder / "images/again.png")
    output.lines.append(first.model_copy(update={"images": (again,)}))
    output.write()

    assert kinds(output) == {}


def test_ids_of_another_version_are_counted_and_left(tmp_path):
    """They cannot be made again here."""
    output = Output(tmp_path / "out")
    task = make_task(id=f"7-{'0' * 32}")
    output.add(task=task)
    output.write()

    found = verify_output(output.manifest)

    assert (found.findings, found.unchecked_ids) == ([], 1)


def test_known_damaged_lines_are_not_told_again(tmp_path):
    """Once a repair line names them; the lines themselves stay."""
    output = sound(tmp_path / "out")
    before = len(output.manifest.read_bytes())
    line_of_zeros(output)
    known = RepairLine(reason="damaged line", damaged_lines=(before,), at=NOON)
    with output.manifest.open("ab") as file:
        file.write(known.to_json())

    assert kinds(output) == {}


@pytest.mark.parametrize("path", ["../x.png", "/etc/passwd", "images/../../x", "manifest.jsonl"])
def test_a_path_that_leaves_the_output_is_refused(tmp_path, path):
    """The manifest may come from someone else: nothing of it is believed."""
    output = Output(tmp_path / "out")
    output.lines.append(make_record(images=(make_image(path=path),)))
    output.write()

    with pytest.raises(ManifestError, match="no path inside the output"):
        verify_output(output.manifest)


@pytest.mark.parametrize("data", [None, b"", b"\n", b"\x00\xff", b"words\n", b"[1]\n"])
def test_what_is_no_manifest_is_refused(tmp_path, data):
    """Missing, empty, binary: that is no difference, it cannot be used."""
    path = tmp_path / "manifest.jsonl"
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(ManifestError):
        verify_output(path)


def test_a_linked_folder_of_images_is_not_entered(tmp_path):
    """What lies behind a link is not the output's."""
    output = sound(tmp_path / "out")
    (output.folder / "images").rename(tmp_path / "images")
    (output.folder / "images").symlink_to(tmp_path / "images")
    (tmp_path / "images/x.png").write_bytes(b"")

    assert "stray" not in kinds(output)
    assert kinds(output).total() == 5


class TestActiveRun:
    """What the run that holds the output has in hand is no damage."""

    @pytest.fixture
    def busy(self, tmp_path):
        output = sound(tmp_path / "out")
        with ExitStack() as stack:
            stack.enter_context(hold_lock(output.folder))
            yield output

    def test_it_is_said(self, busy):
        """Who holds it."""
        assert f"process {os.getpid()}" in verify_output(busy.manifest).holder

    def test_its_new_files_and_its_torn_line_are_left_out(self, busy):
        """An image before its record, a temporary file, half a line."""
        line = run_line("run-2", started_at=NOON).to_json()
        with busy.manifest.open("ab") as file:
            file.write(line + b'{"kind": "att')
        busy.put("images/new.png", picture())
        busy.put(f"images/.n.png.1-{'a' * 32}.part", b"")

        assert kinds(busy) == {}

    def test_older_damage_is_found(self, busy):
        """A missing file of an earlier run is missing."""
        path_of(busy).unlink()

        assert kinds(busy) == {"missing": 1}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_change_of_any_byte_is_found(tmp_path, data):
    """Of any image of a sound output, in a temporary copy: each byte is proven by the hash."""
    base = tmp_path / "base"
    if not base.exists():
        sound(base)
    output = Output(base)
    files = sorted(output.folder.glob("images/*"))
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    try:
        path.write_bytes(whole[:at] + changed + whole[at + 1 :])
        assert kinds(output) == {"content": 1}
    finally:
        path.write_bytes(whole)


@pytest.mark.long
def test_ten_thousand_images_are_sound(tmp_path):
    """None is told of that is not there; and one that is altered is found among them."""
    output = sound(tmp_path / "out", 10_000)
    assert verify_output(output.manifest).findings == []

    flip(output)

    assert kinds(output) == {"content": 1}


@pytest.mark.parametrize("quick", [False, True])
def test_a_file_that_was_renamed_is_known_by_its_bytes(tmp_path, quick):
    """It was paid for: what it was called is said before a repair makes it once more."""
    output = sound(tmp_path / "out")
    path = path_of(output)
    other = picture(shade=77)
    output.put("images/other.png", other + b"x" * (path.stat().st_size - len(other)))
    path.rename(path.with_name("best.png"))

    found = verify_output(output.manifest, quick=quick)

    texts = {each.path: each.text for each in found.findings if each.kind == "stray"}
    name = output.lines[1].images[0].path
    assert f"it is {name}, which is missing: rename it back" in texts["images/best.png"]
    assert texts["images/other.png"] == "no record names it"
    path.with_name("best.png").rename(path)
    assert kinds(output, quick=quick) == {"stray": 1}


@pytest.mark.parametrize("name", ["", "manifest.jsonl"])
def test_a_program_verifies_by_folder_or_manifest(tmp_path, name):
    """`batchgen.verify` tells what is wrong, changes nothing, and refuses what is no output."""
    output = sound(tmp_path / "out")
    assert batchgen.verify(output.folder / name).findings == []
    path = output.lines[1].images[0].path
    image = output.folder / path
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    before = sorted(output.folder.rglob("*"))

    found = batchgen.verify(str(output.folder / name))

    assert [(each.path, each.kind) for each in found.findings] == [(path, "content")]
    assert sorted(output.folder.rglob("*")) == before
    with pytest.raises(ManifestError, match="is not there"):
        batchgen.verify(tmp_path)
