"""`derive`: sizes and formats that are made of finished images, and never paid for."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from shell import Shell

from batchgen.errors import StorageError
from batchgen.output import BrokenImage, embedded
from batchgen.output.store import Store
from batchgen.runner import derivatives

WEB = {"suffix": "-800", "width": 800, "format": "webp", "quality": 82}
THUMB = {"suffix": "-300", "width": 300, "height": 300, "fit": "cover", "format": "jpeg"}
FILES = ["images/item-1-1-300.jpg", "images/item-1-1-800.webp", "images/item-1-1.png"]


class Shop(Shell):
    """A shell that knows of `derive`."""

    def order(self, *derive, prompts=("a mug",), **keys):
        self.job(*prompts, derive=list(derive), **keys)

    def images(self):
        """The files of the output but manifest and lock."""
        return {
            path.removeprefix("out/"): data
            for path, data in self.files().items()
            if data and path.startswith("out/") and "manifest." not in path
        }

    def is_sound(self):
        return self("verify", "out").code == 0

    def derived(self):
        """What the first record says."""
        return {each["path"]: each for each in self.lines("record")[0]["images"][0]["derived"]}


@pytest.fixture
def shop(tmp_path, service, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = Shop(tmp_path, service, capsys)
    yield shell
    shell.close()


def opened(data):
    return Image.open(io.BytesIO(data))


class TestRun:
    def test_each_image_has_its_sizes_beside_it_and_on_record(self, shop):
        """Two images, four derived files, two calls."""
        shop.order(WEB, THUMB, prompts=("a mug", "a lamp"))
        ended = shop.run()
        assert (ended.code, shop.service.charged()) == (0, 2)
        files = shop.images()
        assert len(files) == 6
        for record in shop.lines("record"):
            image = record["images"][0]
            web, thumb = image["derived"]
            assert web["path"] == image["path"].replace(".png", "-800.webp")
            assert (web["width"], web["settings"]["quality"]) == (800, 82)
            assert (thumb["width"], thumb["height"]) == opened(files[thumb["path"]]).size
            assert opened(files[web["path"]]).format == "WEBP"
        assert shop.is_sound()
        again = shop.run()
        assert (again.code, shop.service.charged(), shop.images()) == (0, 2, files)
        assert shop.lines("derived") == []

    def test_ids_do_not_depend_on_it(self, shop):
        """An output that has no sizes yet gets them without a call."""
        shop.order()
        shop.run()
        shop.order(WEB, THUMB)
        assert shop.run().code == 0
        assert (shop.service.charged(), sorted(shop.images())) == (1, FILES)
        (line,) = shop.lines("derived")
        assert [each["path"] for each in line["derived"]] == [FILES[1], FILES[0]]
        assert shop.is_sound()

    def test_files_that_are_missing_or_damaged_are_made_again(self, shop):
        """The same bytes, so that the record stays true; no call."""
        shop.order(WEB, THUMB)
        shop.run()
        before = shop.images()
        (shop.folder / "out" / FILES[0]).unlink()
        (shop.folder / "out" / FILES[1]).write_bytes(b"damaged")
        found = json.loads(shop("verify", "out", "--json").out)
        assert {each["kind"] for each in found["findings"]} == {"derived"}
        assert shop.run().code == 0
        after = shop.images()
        assert {path: after[path] for path in before} == before
        assert b"damaged" in after.values()
        assert (shop.service.charged(), shop.lines("derived")) == (1, [])
        assert shop.is_sound()

    def test_another_quality_makes_another_file_and_keeps_the_old_one(self, shop):
        """Nothing is deleted; what is no longer ordered stays."""
        shop.order(WEB, THUMB)
        shop.run()
        old = shop.images()
        shop.order({**WEB, "quality": 20})
        assert shop.run().code == 0
        new = shop.images()
        assert new["superseded/item-1-1-800~1.webp"] == old[FILES[1]]
        assert new[FILES[1]] != old[FILES[1]]
        assert new[FILES[0]] == old[FILES[0]]
        assert (shop.service.charged(), len(shop.lines("derived"))) == (1, 1)
        assert shop.is_sound()

    def test_they_move_with_their_image_and_come_back_with_it(self, shop):
        """A changed prompt takes the names; undone, the old image has its sizes without a call."""
        shop.order(WEB)
        shop.run()
        first = shop.images()
        shop.order(WEB, prompts=("a cup",))
        shop.run()
        aside = {path for path in shop.images() if path.startswith("superseded/")}
        assert aside == {"superseded/item-1-1~1.png", "superseded/item-1-1~1-800.webp"}
        assert shop.is_sound()
        shop.order(WEB)
        assert (shop.run().code, shop.service.charged()) == (0, 2)
        assert {path: shop.images()[path] for path in first} == first
        assert shop.is_sound()

    def test_another_file_name_is_theirs_too(self, shop):
        """Renamed, not made again."""
        shop.order(WEB)
        shop.run()
        shop.order(WEB, file_name="shop/{id}")
        assert shop.run().code == 0
        assert sorted(shop.images()) == ["images/shop/item-1-800.webp", "images/shop/item-1.png"]
        assert (shop.service.charged(), shop.lines("derived")) == (1, [])
        assert shop.is_sound()

    def test_an_image_takes_the_name_of_what_is_no_longer_derived(self, shop):
        """It was paid for: neither a repair nor a move of the older image touches it."""
        shop.order(THUMB | {"format": "png"})
        shop.run()
        shop.job("a mug", file_name="{id}")
        shop.edit(0, id="item-1-1-300")
        shop.run()
        path = shop.folder / "out/images/item-1-1-300.png"
        paid = path.read_bytes()
        assert opened(paid).size != (300, 300)
        assert shop("verify", "out", "--repair").code == 0
        assert shop.is_sound()
        shop.job("a mug", file_name="elsewhere")
        shop.run()
        assert path.read_bytes() == paid
        assert shop.service.charged() == 2


KILLED = """
import os, signal, sys
from batchgen.output.store import Store

async def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

Store.save_derived = killed
from batchgen.cli import main
sys.exit(main(["run", "job.yaml", "--rpm=60000"]))
"""


class TestFaults:
    def test_a_kill_between_the_image_and_its_sizes_costs_no_call(self, shop):
        """The image is adopted, and its sizes are made then."""
        shop.order(WEB, THUMB)
        killed = subprocess.run([sys.executable, "-c", KILLED], cwd=shop.folder, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert (shop.lines("record"), shop.service.charged()) == ([], 1)
        assert shop.run().code == 0
        assert (sorted(shop.images()), shop.service.charged()) == (FILES, 1)
        assert shop.is_sound()

    def test_what_pillow_cannot_make_leaves_the_image_on_record(self, shop, monkeypatch):
        """Told, 1 as exit code, tried again by the next run without a call."""
        shop.order(WEB)

        def broken(*_):
            raise BrokenImage("no such coder")

        with monkeypatch.context() as patch:
            patch.setattr(derivatives, "derive", broken)
            for _ in range(2):
                ended = shop.run()
                assert (ended.code, "no such coder" in ended.err) == (1, True)
        assert shop.is_sound()
        assert (shop.run().code, shop.service.charged()) == (0, 1)
        assert list(shop.images()) == ["images/item-1-1-800.webp", "images/item-1-1.png"]

    def test_a_run_that_is_stopped_says_that_files_are_missing(self, shop, monkeypatch):
        """130, not 0; the next run goes on, without a call."""
        shop.order(prompts=[f"mug {number}" for number in range(9)])
        shop.run()
        shop.order(WEB, prompts=[f"mug {number}" for number in range(9)])
        plain, once = derivatives.derive, [signal.SIGINT]

        def interrupted(*arguments):
            if once:
                os.kill(os.getpid(), once.pop())
            return plain(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(derivatives, "derive", interrupted)
            patch.setattr(derivatives, "AT_ONCE", 1)
            assert shop.run().code == 130
        assert shop.run().code == 0
        assert (shop.service.charged(), len(shop.images())) == (9, 18)

    def test_a_full_disk_stops_the_run_with_the_image_on_record(self, shop, monkeypatch):
        """As it does for an image."""
        shop.order(WEB, prompts=("a mug", "a lamp"))

        async def full(*_):
            raise StorageError("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Store, "save_derived", full)
            ended = shop.run()
        charged = shop.service.charged()
        assert (ended.code, len(shop.lines("record"))) == (3, charged)
        assert (shop.run().code, shop.service.charged(), len(shop.images())) == (0, 2, 4)
        assert shop.is_sound()

    def test_a_repair_moves_a_damaged_one_and_keeps_the_record(self, shop):
        """The next run makes it again; a repaid image would be a second charge."""
        shop.order(WEB, THUMB)
        shop.run()
        (shop.folder / "out" / FILES[0]).write_bytes(b"damaged")
        (shop.folder / "out" / FILES[1]).unlink()
        shop("verify", "out", "--repair")
        assert "aside/derived/images/item-1-1-300.jpg" in shop.images()
        assert (shop.run().code, shop.service.charged()) == (0, 1)
        assert shop.is_sound()

    def test_a_damaged_image_takes_its_sizes_along(self, shop):
        """After a repair the output is sound, and the next run makes all of it."""
        shop.order(WEB)
        shop.run()
        (shop.folder / "out" / FILES[2]).write_bytes(b"damaged")
        shop("verify", "out", "--repair")
        assert shop.is_sound()
        assert (shop.run().code, shop.service.charged()) == (0, 2)
        assert shop.is_sound()

    def test_an_image_that_was_altered_is_not_derived_of(self, shop):
        """What is on record would not be true."""
        shop.order()
        shop.run()
        path = shop.folder / "out" / FILES[2]
        stat = path.stat()
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        shop.order(WEB)
        ended = shop.run()
        assert (ended.code, "not as its record says" in ended.err) == (1, True)


class TestCollisions:
    @pytest.mark.parametrize("taken", ["item-1-300", "ITEM-1-300"])
    def test_a_name_that_an_image_has_is_a_complaint_before_any_call(self, shop, taken):
        """With file, line and both tasks."""
        shop.order(THUMB, prompts=("a mug", "a lamp"), file_name="{id}")
        shop.edit(1, id=taken)
        ended = shop.run()
        assert (ended.code, shop.service.charged()) == (2, 0)
        assert "would write the same file as" in ended.err
        assert "change a suffix of derive" in ended.err

    def test_two_derived_files_of_one_name(self, shop):
        """`a` with `-b-c` and `a-b` with `-c`."""
        suffixes = ({"suffix": "-b-c", "width": 9}, {"suffix": "-c", "width": 9})
        shop.order(*suffixes, prompts=("a mug", "a lamp"), file_name="{id}")
        shop.edit(0, id="a")
        shop.edit(1, id="a-b")
        assert (shop.run().code, shop.service.charged()) == (2, 0)

    def test_a_name_that_becomes_too_long(self, shop):
        """The whole name counts."""
        shop.order({"suffix": "-" + "x" * 39, "width": 9}, file_name="{id}")
        shop.edit(0, id="a" * 190)
        ended = shop.run()
        assert (ended.code, "bytes" in ended.err) == (2, True)


class TestTold:
    @pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
    @pytest.mark.parametrize("level", ["none", "ai-label", "full"])
    def test_a_derived_file_says_what_its_image_says(self, shop, level, form):
        """Pillow drops it; it is written anew."""
        shop.order({"suffix": "-x", "width": 99, "format": form}, metadata=level)
        shop.run()
        (path,) = shop.derived()
        told = embedded(Path("out") / path)
        if level == "none":
            assert told is None
            return
        assert told.source_type.endswith("trainedAlgorithmicMedia")
        made = told.provenance
        assert (made is not None and made.prompt == "a mug" and made.derived) is (level == "full")
        assert embedded(Path("out") / FILES[2]).received_sha256 == told.received_sha256
        assert shop.is_sound()

    def test_a_label_that_is_ordered_later_is_in_what_is_derived_later(self, shop):
        """The image itself says nothing."""
        shop.order()
        shop.run()
        shop.order(WEB, metadata="ai-label")
        shop.run()
        assert embedded(Path("out") / FILES[1]).source_type.endswith("trainedAlgorithmicMedia")

    def test_a_lost_manifest_is_not_rebuilt_of_derived_files(self, shop):
        """They tell the task of their image, which is another picture."""
        shop.order({"suffix": "-0", "width": 99}, metadata="full", file_name="{id}")
        shop.run()
        Path("out/manifest.jsonl").unlink()
        Path("out/images/item-1.png").rename("out/images/z.png")
        shop("verify", "out", "--adopt")
        (record,) = shop.lines("record")
        assert record["images"][0]["path"] == "images/z.png"

    def test_show_names_the_image(self, shop):
        """By its bytes, wherever the file is."""
        shop.order(WEB)
        shop.run()
        Path("copy.webp").write_bytes(Path("out", FILES[1]).read_bytes())
        assert f"made of: {FILES[2]}" in shop("show", "copy.webp", "--manifest", "out").out
        told = json.loads(shop("show", f"out/{FILES[1]}", "--json").out)
        assert (told["path"], told["derived"]["suffix"]) == (FILES[1], "-800")
        assert told["record"]["images"][0]["path"] == FILES[2]

    def test_show_of_one_made_later_and_of_one_altered(self, shop):
        """A line of its own tells of it; then its name does."""
        shop.order()
        shop.run()
        shop.order(WEB)
        shop.run()
        path = Path("out", FILES[1])
        assert f"made of: {FILES[2]}" in shop("show", str(path)).out
        path.write_bytes(b"RIFF altered")
        ended = shop("show", str(path))
        assert (ended.code, f"made of: {FILES[2]}" in ended.out) == (5, True)

    def test_an_export_lists_them_where_they_are_now(self, shop):
        """Those of a line of its own, too."""
        shop.order()
        shop.run()
        shop.order(WEB)
        shop.run()
        shop.order(WEB, file_name="{id}")
        shop.run()
        ended = shop("manifest", "export", "out", "--json")
        row = json.loads(ended.out)
        assert [each["path"] for each in row["derived"]] == ["images/item-1-800.webp"]


def test_a_manifest_of_somebody_else_leads_nowhere(shop):
    """What it calls a suffix stays in the folder of the image, whatever moves."""
    shop.order(WEB)
    shop.run()
    path = Path("out/manifest.jsonl")
    text = path.read_text("utf-8")
    path.write_text(text.replace('"suffix": "-800"', '"suffix": "/../../../stolen"'), "utf-8")
    shop.order(prompts=("a cup",))
    assert shop.run().code == 0
    assert shop.service.charged() == 2
    assert [name for name in shop.files() if "stolen" in name] == []
