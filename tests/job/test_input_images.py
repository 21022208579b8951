"""The image files that a job sends: what is found out of them, once, and what is read later."""

import io
import os

import pytest
from fakes import picture
from PIL import Image

from batchgen.job import InputGone, InputImages
from batchgen.models import InputImage, UnusableImage


@pytest.fixture
def images(tmp_path):
    """The images of a job file in this folder."""
    return InputImages(tmp_path)


def test_a_file_is_what_its_bytes_say(images, tmp_path):
    """Whatever its name: format, size and hash; it is named by the path as it was given."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mug.png").write_bytes(picture("jpeg", size=(80, 60)))

    found = images.find("photos/mug.png")

    assert isinstance(found, InputImage)
    assert (found["path"], found.file_format, found.size) == ("photos/mug.png", "jpeg", (80, 60))
    assert found.file_bytes == len(picture("jpeg", size=(80, 60)))
    assert found.keys() == {"path", "sha256"}


def test_a_file_is_looked_at_once(images, tmp_path):
    """All walks through one plan find the same, whatever becomes of the file."""
    (tmp_path / "a.png").write_bytes(picture())
    first = images.find("a.png")
    (tmp_path / "a.png").write_bytes(picture(shade=1))

    assert images.find("a.png") is first


def test_a_file_that_changed_since_is_not_sent(images, tmp_path):
    """Nor one that is gone; the sentence says what to do."""
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    named = images.find("a.png")
    assert images.read(named) == picture()

    file.write_bytes(picture(shade=1))
    with pytest.raises(InputGone, match=r'"a.png" has changed since .* run the job again'):
        images.read(named)
    file.unlink()
    with pytest.raises(InputGone, match="No such file or directory"):
        images.read(named)


def test_a_path_is_absolute_or_counts_from_the_folder(images, tmp_path, monkeypatch):
    """Not from where the command is run."""
    monkeypatch.chdir("/")
    (tmp_path / "a.png").write_bytes(picture())

    assert isinstance(images.find("a.png"), InputImage)
    assert isinstance(InputImages(tmp_path / "none").find("a.png"), UnusableImage)
    assert isinstance(images.find(str(tmp_path / "a.png")), InputImage)


def unusable(images, path):
    """Why a path cannot be used."""
    found = images.find(path)
    assert isinstance(found, UnusableImage)
    assert found.text.isprintable()
    assert "0x" not in found.text
    return found.text


def test_what_cannot_be_used_is_said(images, tmp_path):
    """A missing, an empty, a cut and an oversized file; what is no file and no image."""
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(picture(size=(300, 300))[:-20])
    (tmp_path / "cut.jpg").write_bytes(picture("jpeg", size=(300, 300))[:-20])
    (tmp_path / "large.png").write_bytes(b"\0" * 18_750_001)
    (tmp_path / "photo.gif").write_bytes(gif())
    os.mkfifo(tmp_path / "pipe.png")

    assert unusable(images, "mug.png").startswith('there is no file "mug.png" in "')
    assert "it is empty" in unusable(images, "empty.png")
    assert "no readable PNG, JPEG or WebP" in unusable(images, "text.png")
    assert unusable(images, "photo.gif").endswith("it is no readable PNG, JPEG or WebP")
    assert "cut.png" in unusable(images, "cut.png")
    assert "the jpeg ends before its end marker" in unusable(images, "cut.jpg")
    assert "it has 18,750,001 bytes; at most 18,750,000 fit" in unusable(images, "large.png")
    assert "no regular file" in unusable(images, "pipe.png")
    assert "Is a directory" in unusable(images, "")
    assert "null" in unusable(images, "a\0b")
    assert "too long" in unusable(images, "a" * 5_000)
    assert r"\x1b" in unusable(images, "\x1b[31m.png")


def test_what_a_camera_appends_is_no_damage(images, tmp_path):
    """Phones write notes, and second images, behind the end of a JPEG, and thumbnails before it."""
    thumbnail = Image.Exif()
    thumbnail[0x9286] = picture("jpeg").decode("latin-1")
    file = io.BytesIO()
    Image.new("RGB", (300, 200)).save(file, "JPEG", exif=thumbnail)
    (tmp_path / "tail.jpg").write_bytes(file.getvalue() + b"SEFH\xff\xda notes")
    (tmp_path / "tail.png").write_bytes(picture() + b"notes")
    (tmp_path / "cut.jpg").write_bytes(file.getvalue()[:-2])

    assert isinstance(images.find("tail.jpg"), InputImage)
    assert isinstance(images.find("tail.png"), InputImage)
    assert "end marker" in unusable(images, "cut.jpg")


def gif():
    """A GIF, which no model takes."""
    file = io.BytesIO()
    Image.new("RGB", (80, 60)).save(file, "GIF")
    return file.getvalue()
