"""A manifest is data, not orders: what it names stays inside, and no link is followed."""

import json
import os

import pytest
from fakes import make_image, make_record, make_task

from batchgen.errors import ManifestError, StorageError
from batchgen.output import inner_path, load_history, open_regular
from batchgen.output.folder import open_output
from batchgen.output.manifest import MANIFEST_NAME, read_manifest
from batchgen.record import MovedLine

TASK = make_task(file_stem="images/a")
OUTSIDE = [
    "/etc/passwd",
    "//etc/passwd",
    "../secret",
    "images/../../secret",
    "images/..",
    "..",
    ".",
    "",
    "./images/a.png",
    "images//a.png",
    "images/a.png/",
    "images/\0.png",
    "images/\ud800.png",
    "manifest.jsonl",
    "manifest.lock",
    "x" * 5000,
]
INSIDE = ["images/a.png", "images/...png", "images/..a/b.png", "superseded/a~1.png", "ü/é 1.png"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leaves_the_output_is_none(path):
    """Absolute, with `..`, with NUL, no file name, a second spelling, or a file of our own."""
    assert inner_path(path) is None


@pytest.mark.parametrize("value", [None, 7, ["images/a.png"], {"path": "images/a.png"}, b"a.png"])
def test_what_is_no_text_is_no_path(value):
    """Whatever JSON can hold."""
    assert inner_path(value) is None


@pytest.mark.parametrize("path", INSIDE)
def test_a_path_inside_is_itself(path):
    """Dots in a name are no way out."""
    assert inner_path(path) == path


class TestRead:
    @pytest.mark.parametrize("path", [path for path in OUTSIDE if path.isprintable()])
    @pytest.mark.parametrize("side", ["path", "new_path"])
    def test_a_moved_line_that_leaves_the_output(self, tmp_path, path, side):
        """The manifest is refused with the path in the sentence."""
        paths = {"path": "images/a.png", "new_path": "superseded/a~1.png", side: path}
        line = MovedLine(run_id="r", task_id=TASK.id, **paths).to_json()
        (tmp_path / MANIFEST_NAME).write_bytes(line)

        with pytest.raises(ManifestError, match="no path inside the output"):
            load_history(tmp_path / MANIFEST_NAME)

    @pytest.mark.parametrize("path", [path for path in OUTSIDE if path.isprintable()])
    @pytest.mark.parametrize("place", [0, 1])
    @pytest.mark.parametrize("form", ["ours", "another's"])
    def test_a_record_that_leaves_the_output(self, tmp_path, path, place, form):
        """Whichever of its images, and however the line is written."""
        images = [make_image(path="images/a.png"), make_image(path="images/a~2.png")]
        images[place] = make_image(path=path)
        line = make_record(TASK, images=tuple(images)).to_json()
        if form == "another's":
            line = json.dumps(json.loads(line), separators=(",", ":")).encode() + b"\n"
        (tmp_path / MANIFEST_NAME).write_bytes(line)

        with pytest.raises(ManifestError, match="no path inside the output"):
            load_history(tmp_path / MANIFEST_NAME)

    @pytest.mark.parametrize("path", [r"\u002e\u002e/x", r"\/etc/x", r"images/\u002e\u002e/../x"])
    def test_a_path_that_is_spelt_in_escapes(self, tmp_path, path):
        """JSON has several spellings of one text."""
        line = make_record(TASK, images=(make_image(path="images/a.png"),)).to_json()
        (tmp_path / MANIFEST_NAME).write_bytes(line.replace(b"images/a.png", path.encode()))

        with pytest.raises(ManifestError, match="no path inside the output"):
            load_history(tmp_path / MANIFEST_NAME)

    def test_a_prompt_that_looks_like_a_path_is_a_prompt(self, tmp_path):
        """Only the paths of images are looked at."""
        request = {"prompt": '"path": "/etc/passwd" and ../..', "seed": 1}
        line = make_record(TASK, request=request, images=(make_image(path="images/a.png"),))
        (tmp_path / MANIFEST_NAME).write_bytes(line.to_json())

        assert load_history(tmp_path / MANIFEST_NAME).status(TASK.id) == "succeeded"


class TestMoves:
    """What a `moved` line makes a run do, without and with a way out of the output."""

    @staticmethod
    async def finish(folder, path, new_path):
        line = MovedLine(run_id="r", task_id=TASK.id, path=path, new_path=new_path)
        (folder / MANIFEST_NAME).write_bytes(line.to_json())
        async with open_output(folder, "run-2") as output:
            await output.finish_move()

    async def test_a_file_that_has_one_name_keeps_it(self, tmp_path):
        """A move to where it is takes nothing away."""
        (tmp_path / "images").mkdir()
        (tmp_path / "images/a.png").write_bytes(b"paid for")

        await self.finish(tmp_path, "images/a.png", "images/a.png")

        assert (tmp_path / "images/a.png").read_bytes() == b"paid for"

    async def test_a_move_that_was_cut_short_is_finished(self, tmp_path):
        """Of two names of a file the first one goes."""
        (tmp_path / "images").mkdir()
        (tmp_path / "images/a.png").write_bytes(b"paid for")
        os.link(tmp_path / "images/a.png", tmp_path / "images/b.png")

        await self.finish(tmp_path, "images/a.png", "images/b.png")

        assert [each.name for each in (tmp_path / "images").iterdir()] == ["b.png"]

    @pytest.mark.parametrize("side", [0, 1])
    async def test_no_link_is_followed_on_the_way(self, tmp_path, side):
        """A folder of the output that is a link leads outside: said, and nothing is done there."""
        output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
        (output / "images").mkdir(parents=True)
        elsewhere.mkdir()
        (output / "linked").symlink_to(elsewhere)
        (elsewhere / "a.png").write_bytes(b"somebody's")
        os.link(elsewhere / "a.png", output / "images/a.png")
        paths = ["images/a.png", "linked/a.png"]

        with pytest.raises(StorageError, match="linked is a link"):
            await self.finish(output, paths[side], paths[1 - side])

        assert (elsewhere / "a.png").read_bytes() == b"somebody's"
        assert (output / "images/a.png").exists()

    async def test_a_link_in_place_of_the_file_is_none(self, tmp_path):
        """Two names are of one file only if both are files."""
        (tmp_path / "images").mkdir()
        (tmp_path / "images/a.png").write_bytes(b"paid for")
        (tmp_path / "images/b.png").symlink_to(tmp_path / "images/a.png")

        await self.finish(tmp_path, "images/a.png", "images/b.png")

        assert (tmp_path / "images/a.png").read_bytes() == b"paid for"


def pipe(path):
    os.mkfifo(path)


def link(path):
    (path.parent / "target").write_bytes(b"")
    path.symlink_to(path.parent / "target")


def broken_link(path):
    path.symlink_to(path.parent / "nowhere")


def device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, link, broken_link, device])
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT])
def test_only_a_regular_file_is_opened(tmp_path, make, flags):
    """A pipe would hang, a device never ends, and a link leads somewhere else."""
    make(tmp_path / "it")

    with pytest.raises(OSError, match=r"it is (a link|no regular file)"):
        open_regular(tmp_path / "it", flags)

    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("make", [pipe, link, broken_link, device])
@pytest.mark.parametrize("name", [MANIFEST_NAME, "manifest.lock"])
async def test_such_a_manifest_or_lock_is_refused(tmp_path, make, name):
    """By a run, with the path and the reason."""
    make(tmp_path / name)

    with pytest.raises(StorageError, match=rf"{name} cannot be written: it is"):
        async with open_output(tmp_path, "run-1"):
            pytest.fail("it was opened")


@pytest.mark.parametrize("make", [pipe, link, device])
def test_such_a_manifest_is_not_read(tmp_path, make):
    """Nor by who only reads it."""
    make(tmp_path / MANIFEST_NAME)

    with pytest.raises(ManifestError, match="cannot be read: it is"):
        list(read_manifest(tmp_path / MANIFEST_NAME))
    with pytest.raises(ManifestError, match="cannot be read: it is"):
        load_history(tmp_path / MANIFEST_NAME)
