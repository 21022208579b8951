"""Which records of a manifest are the present ones, whoever wrote it."""

import pytest
from fakes import make_image, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st
from outputs import Output, end_line, run_line, sound

from batchgen.errors import ManifestError
from batchgen.output import read_image, read_originals
from batchgen.record import MovedLine


@pytest.fixture
def shop(tmp_path):
    return Output(tmp_path / "out")


def labels(originals):
    return [record.label for record in originals.read()]


def test_the_last_record_of_a_task_counts(shop):
    """However often it was made; the folder stands for its manifest."""
    task = make_task()
    shop.add(task=task)
    shop.add(task=task)

    originals = read_originals(shop.write())

    (record,) = originals.read()
    assert record == shop.lines[1]
    assert originals.job_name == "shop"


def test_an_image_that_made_room_does_not_count(shop):
    """Its task is no longer asked for; a renamed image counts, under its present name."""
    gone, kept = shop.add(), shop.add()
    shop.move(gone, "superseded/old~1.png")
    shop.move(kept, "images/new-name.png")

    originals = read_originals(shop.write())

    (record,) = originals.read()
    assert (record.label, record.images[0].path) == (kept.label, "images/new-name.png")
    assert originals.made_room == 1


def test_a_run_has_its_images_wherever_they_are(shop):
    """The records of one run, also those of which other runs made others since."""
    task = make_task()
    first = shop.add(task=task, run_id="run-0")
    shop.move(first, "superseded/old~1.png")
    shop.add(task=task, path=first.images[0].path)
    shop.add(run_id="run-1")

    (record,) = read_originals(shop.write(), "run-0").read()

    assert (record.run_id, record.images[0].path) == ("run-0", "superseded/old~1.png")
    assert len(read_originals(shop.folder, "run-1")) == 2


def test_of_two_records_of_one_name_the_last_has_it(shop):
    """Without a line that says what became of the first one's file."""
    one, other = shop.add(), shop.add(path="images/same.png")
    shop.lines.insert(0, make_record(images=(make_image(path="images/same.png"),)))

    assert labels(read_originals(shop.write())) == [one.label, other.label]


def test_records_without_an_image_are_there(shop):
    """What moderation refused can be asked for again."""
    shop.lines.append(make_record(images=(), status="filtered"))

    assert len(read_originals(shop.write())) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (bytes(range(256)), "is no manifest"),
        (b"[1, 2]\nnull\n", "is no manifest"),
        (run_line().to_json(), "holds no record"),
        (run_line().to_json().replace(b'"version": ', b'"version": 9'), "later batchgen"),
    ],
)
def test_what_is_no_manifest_is_a_sentence(shop, content, said):
    """Nothing can be made of it."""
    shop.put("manifest.jsonl", content)

    with pytest.raises(ManifestError, match=said):
        read_originals(shop.folder)


@pytest.mark.parametrize(
    "path", ["../x.png", "/etc/passwd", "images/../../x.png", "a//b", "", "\0"]
)
def test_a_path_that_leaves_the_folder_is_refused(shop, path):
    """In a record and in a line that follows a file; the sentence is harmless to print."""
    shop.lines.append(make_record(images=(make_image(path=path),)))
    with pytest.raises(ManifestError, match="no path inside the output"):
        read_originals(shop.write())

    shop.lines[-1] = MovedLine(run_id="r", task_id="t", path="images/a.png", new_path=path)
    shop.lines.append(make_record())
    with pytest.raises(ManifestError, match="no path inside the output"):
        read_originals(shop.write())


def test_an_unknown_run_is_named_with_the_nearest(shop):
    """A slip in an id."""
    shop.add()
    with pytest.raises(ManifestError, match='did you mean "run-1"'):
        read_originals(shop.write(), "run-l")


@given(cut=st.integers(min_value=0), flip=st.binary(max_size=3))
def test_damage_costs_the_damaged_lines_alone(tmp_path_factory, cut, flip):
    """Torn anywhere and with bytes of anything in it: a sentence, or the records that are whole."""
    folder = tmp_path_factory.mktemp("out")
    whole = sound(folder, 3).manifest.read_bytes()
    at = cut % len(whole)
    (folder / "manifest.jsonl").write_bytes(whole[:at] + flip + whole[at:][: cut % 97])

    said = ""
    try:
        found = list(read_originals(folder).read())
    except ManifestError as error:
        found, said = [], str(error)

    assert bool(said) == (not found)
    assert said.isprintable()
    assert len(found) <= 3


def test_a_manifest_that_changes_meanwhile_is_noticed(shop):
    """What stands at a place is no longer what was found there."""
    shop.add()
    originals = read_originals(shop.write())
    shop.manifest.write_bytes(end_line().to_json() * 9)

    with pytest.raises(ManifestError, match="changed while it was read"):
        list(originals.read())


def test_only_a_regular_file_of_the_output_is_read(tmp_path):
    """No link, no folder, nothing outside, and nothing larger than it was."""
    (tmp_path / "images").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "images/link.png").symlink_to(tmp_path / "secret")
    (tmp_path / "linked").symlink_to(tmp_path / "images")
    (tmp_path / "images/a.png").write_bytes(b"12345")

    assert read_image(tmp_path, "images/a.png", 5) == b"12345"
    for path in ("images/link.png", "linked/a.png", "images", "../x", "/etc/passwd", "images/no"):
        with pytest.raises(OSError, match=r"."):
            read_image(tmp_path, path, 100)
    with pytest.raises(OSError, match="more than the 4 bytes"):
        read_image(tmp_path, "images/a.png", 4)
