"""How near a reproduction came to its original."""

import hashlib
import io
import random

import pytest
from fakes import make_image, make_record, make_task
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from batchgen.plan import Planned
from batchgen.record import ErrorInfo
from batchgen.report.pictures import THRESHOLD, amplified, decode, distance
from batchgen.report.verdicts import Judged, Verdict, compare, judge


def scene(luck, size=(256, 256)):
    """A picture of a few shapes."""
    dice = random.Random(luck)
    image = Image.new("RGB", size, tuple(dice.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = dice.randrange(200), dice.randrange(200)
        fill = tuple(dice.randrange(256) for _ in range(3))
        draw.ellipse((x, y, x + dice.randrange(20, 120), y + dice.randrange(20, 120)), fill=fill)
    return image


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def stored(folder, name, data, **changes):
    """An image file, and what a record says of it."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return make_image(path=name, sha256=sha256, bytes=len(data), **changes)


@pytest.fixture
def pair(tmp_path):
    """Compares two files: the originals' and the new one."""

    def verdict(first, second, spoil=None):
        one = stored(tmp_path / "old", "images/a.png", first)
        other = stored(tmp_path / "new", "images/a.png", second)
        if spoil is not None:
            spoil(tmp_path / "old/images/a.png")
        records = make_record(images=(one,)), make_record(images=(other,))
        return compare(*records, tmp_path / "old", tmp_path / "new")

    return verdict


def test_the_same_bytes_are_identical(pair):
    assert pair(encoded(scene(1)), encoded(scene(1))).verdict is Verdict.IDENTICAL


def test_what_was_received_counts_not_the_label(tmp_path):
    """A label is written into each file anew; the bytes of the service are the same."""
    one = make_image(sha256="1" * 64, received_sha256="3" * 64)
    other = make_image(sha256="2" * 64, received_sha256="3" * 64)
    plain = make_image(sha256="3" * 64)

    for new in (other, plain):
        judged = compare(make_record(images=(one,)), make_record(images=(new,)), tmp_path, tmp_path)
        assert judged.verdict is Verdict.IDENTICAL


def test_other_bytes_of_the_same_pixels(pair):
    """A PNG that was packed in another way."""
    first, second = encoded(scene(1), compress_level=1), encoded(scene(1), compress_level=9)

    assert first != second
    assert pair(first, second).verdict is Verdict.SAME_PIXELS


@pytest.mark.parametrize("luck", range(5))
def test_the_same_picture_a_little_otherwise_is_similar(pair, luck):
    """Coded again, noisy, softer or a little brighter; the distance and the bound are said."""
    image = scene(luck)
    noise = Image.merge("RGB", [Image.effect_noise(image.size, 20)] * 3)
    for other in (
        Image.open(io.BytesIO(encoded(image, "JPEG", quality=40))),
        ImageChops.add(image, noise, 1, -128),
        image.filter(ImageFilter.GaussianBlur(1)),
        ImageEnhance.Brightness(image).enhance(1.03),
    ):
        judged = pair(encoded(image), encoded(other))
        assert judged.verdict is Verdict.SIMILAR
        assert 0 < judged.distance <= THRESHOLD
        assert f"similar up to {THRESHOLD:.1f} %" in judged.reason


def test_other_pictures_are_different(pair):
    """Another scene, and another small thing on the same white."""
    for luck in range(10):
        assert pair(encoded(scene(luck)), encoded(scene(luck + 100))).verdict is Verdict.DIFFERENT
    one, other = Image.new("RGB", (512, 512), "white"), Image.new("RGB", (512, 512), "white")
    ImageDraw.Draw(one).ellipse((200, 200, 260, 260), fill="navy")
    ImageDraw.Draw(other).rectangle((280, 280, 330, 330), fill="maroon")
    assert pair(encoded(one), encoded(other)).verdict is Verdict.DIFFERENT


def test_a_distance_has_its_ends():
    """0 for one picture, 100 for black and white, the same both ways."""
    black, white = Image.new("RGB", (9, 9)), Image.new("RGB", (90, 50), "white")

    assert distance(black, black) == 0
    assert distance(black, white) == distance(white, black) == 100
    assert distance(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), white) == 0


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "No such file"),
        (cut, "not the file of its record"),
        (lambda path: path.write_bytes(b""), "not the file of its record"),
        (lambda path: path.write_bytes(b"x" * 9_999_999), "more than the"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "a link"),
    ],
)
def test_an_original_that_is_not_there_cannot_be_compared(pair, spoil, said):
    """Its hash is known: equal bytes are identical all the same, others are different."""
    judged = pair(encoded(scene(1)), encoded(scene(1), compress_level=1), spoil)

    assert judged.verdict is Verdict.DIFFERENT
    assert said in judged.reason
    assert pair(encoded(scene(1)), encoded(scene(1)), spoil).verdict is Verdict.IDENTICAL


def test_no_image_is_a_verdict_too(tmp_path):
    """Refused now, refused again, and made at last."""
    error = ErrorInfo(type="Filtered", code="Filtered", message="no mugs", retryable=False)
    made = make_record()
    refused = make_record(status="filtered", images=(), error=error)

    def verdict(one, other):
        judged = compare(one, other, tmp_path, tmp_path)
        return judged.verdict, judged.reason

    now_refused, reason = verdict(made, refused)
    assert (now_refused, reason) == (Verdict.NOT_REPRODUCIBLE, "moderation refused it: no mugs")
    assert verdict(refused, refused)[0] is Verdict.IDENTICAL
    assert verdict(refused, made)[0] is Verdict.DIFFERENT


def test_a_picture_of_the_simulator_is_none_of_the_service(tmp_path):
    """What a rehearsal left in the output is not what was asked for."""
    task = make_task()
    record = make_record(task)
    (tmp_path / "manifest.jsonl").write_bytes(record.to_json())
    planned = [Planned(record, task)]

    def verdict(endpoint):
        (judged,) = judge(lambda: planned, tmp_path, tmp_path, endpoint)
        return judged.verdict

    assert verdict("simulator") is Verdict.IDENTICAL
    assert verdict("aws") is None


def test_what_has_no_task_has_its_reason(tmp_path):
    (judged,) = judge(lambda: [Planned(make_record(), None, "no seed")], tmp_path, tmp_path, "aws")

    assert (judged.verdict, judged.reason) == (Verdict.NOT_REPRODUCIBLE, "no seed")
    assert judged.to_json()["reproduction"] is None


def test_verdicts_stand_in_order():
    """The best first: what `--at-least` counts by."""
    best, *_, worst = Verdict

    assert (best, worst) == (Verdict.IDENTICAL, Verdict.NOT_REPRODUCIBLE)
    assert worst.is_worse_than(best)
    assert not best.is_worse_than(best)


def test_a_difference_is_amplified():
    """Small, on black, and bright where the pictures differ."""
    one, other = Image.new("RGB", (2000, 1000), "gray"), Image.new("RGB", (2000, 1000), "gray")
    ImageDraw.Draw(other).rectangle((1000, 0, 2000, 1000), fill=(138, 138, 138))

    shown = decode(amplified(one, other))

    assert shown.size == (384, 192)
    assert max(shown.getpixel((40, 90))[:3]) < 10
    assert min(shown.getpixel((300, 90))[:3]) > 70


def test_pictures_that_do_not_decode_are_refused():
    """Before their pixels fill the memory, or end early."""
    for data in (b"", b"GIF89a", encoded(scene(1))[:-30]):
        with pytest.raises(ValueError, match=r"."):
            decode(data)


def test_json_has_both_files():
    """What a program needs to look at them itself."""
    record = make_record()
    said = Judged(original=record, record=record, verdict=Verdict.SIMILAR, distance=1.234).to_json()

    assert said["distance"] == 1.23
    assert said["original"]["sha256"] == said["reproduction"]["sha256"]
