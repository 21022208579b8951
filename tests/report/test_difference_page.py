"""The page of what came out otherwise: it opens from disk, whoever wrote the manifest."""

import hashlib
import io
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from fakes import make_image, make_record, make_task
from PIL import Image

from batchgen.report import Judged, Verdict, write_page


class Tags(HTMLParser):
    """All tags with their attributes, and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def sources(self):
        return [attributes["src"] for tag, attributes in self.tags if tag == "img"]


def stored(folder, name, colour):
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.getvalue())
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    return make_image(path=name, sha256=sha256, bytes=len(file.getvalue()))


@pytest.fixture
def shown(tmp_path):
    """Writes the page of one pair."""

    def write(name="images/a.png", label="mug/1", prompt="a mug", reason="distance 9 %"):
        old, new = tmp_path / "old", tmp_path / "new"
        task = make_task(request={"prompt": prompt, "seed": 1})
        original = make_record(task, label=label, images=(stored(old, name, "red"),))
        record = make_record(task, images=(stored(new, name, "blue"),))
        verdict = Verdict.DIFFERENT
        judged = Judged(original=original, record=record, verdict=verdict, reason=reason)
        return write_page([judged], old, new, total=1)

    return write


def test_three_pictures_side_by_side(shown, tmp_path):
    """Both images where they are, and their difference in the page itself."""
    page = shown()

    original, reproduction, difference = Tags(page).sources()
    assert page == tmp_path / "new/differences.html"
    assert (page.parent / original).resolve() == tmp_path / "old/images/a.png"
    assert (page.parent / reproduction).resolve() == tmp_path / "new/images/a.png"
    assert difference.startswith("data:image/jpeg;base64,")


def test_nothing_is_fetched_from_elsewhere(shown):
    """No script, no style sheet, no address: it opens from disk, without a network."""
    page = shown()

    tags = [tag for tag, _ in Tags(page).tags]
    assert not {"script", "link", "iframe", "base"} & set(tags)
    assert "://" not in page.read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7777*9999 }}",
        "\x1b[31m\u202e",
    ],
)
def test_hostile_texts_are_text(shown, text):
    """In a label, a prompt and a reason."""
    page = shown(label=text, prompt=text, reason=text)

    read = Tags(page)
    assert "script" not in [tag for tag, _ in read.tags]
    assert len(read.sources()) == 3
    assert "\x1b" not in read.text
    assert "\u202e" not in read.text
    assert "77762223" not in read.text
    if text.isprintable():
        assert read.text.count(text) == 3


def test_odd_names_are_found(shown, tmp_path):
    """Signs that mean something in an address or in HTML."""
    page = shown(name="images/a b#1?&'\"%41<é.png")

    original, reproduction, _ = Tags(page).sources()
    for source in (original, reproduction):
        assert (page.parent / unquote(source)).is_file()


def test_an_image_that_is_gone_is_said(shown, tmp_path):
    """No broken picture, and no difference of nothing."""
    page = shown()
    (tmp_path / "old/images/a.png").unlink()
    old, new = tmp_path / "old", tmp_path / "new"
    record = make_record(images=(make_image(path="images/a.png"),))
    judged = Judged(original=record, record=record, verdict=Verdict.DIFFERENT)

    page = write_page([judged], old, new, total=3)

    read = Tags(page)
    assert read.sources() == ["images/a.png"]
    assert "3 differ; the 1 that differ most are shown" in " ".join(read.text.split())


def test_the_page_replaces_a_link_and_does_not_follow_it(shown, tmp_path):
    """Whoever laid it there: the file behind it stays."""
    (tmp_path / "new").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "new/differences.html").symlink_to(tmp_path / "precious")
    (tmp_path / "new/.differences.html.part").symlink_to(tmp_path / "precious")

    page = shown()

    assert (tmp_path / "precious").read_text() == "mine"
    assert not page.is_symlink()
