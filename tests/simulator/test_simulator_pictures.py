"""The pictures: the same for the same request, of the asked size and format, and never a crash."""

import io
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batchgen.simulator.pictures.lettering import legible
from batchgen.simulator.pictures.painter import PictureRequest, paint, plain
from batchgen.simulator.pictures.palette import PALETTES, choose
from batchgen.simulator.pictures.png import png
from batchgen.simulator.pictures.scenes import SCENES

ASKED = PictureRequest(
    model="Stable Image Core 1.1",
    request='{"prompt": "a mug"}',
    prompt="a mug",
    seed=7,
    size=(320, 256),
    format="png",
)


def dice(seed):
    """Chance that can be repeated."""
    return Random(seed)


def opened(data):
    """The decoded image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_the_same_request_and_seed_give_the_same_bytes():
    """And the file is a complete one."""
    data = paint(ASKED)

    assert data == paint(ASKED)
    assert data.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize(
    "change",
    [{"seed": 8}, {"request": "{}"}, {"model": "SDXL 1.0"}, {"prompt": "a cup"}, {"blurred": True}],
)
def test_another_model_request_or_seed_gives_another_picture(change):
    """Nothing that a picture is told goes unseen."""
    assert paint(replace(ASKED, **change)) != paint(ASKED)


@pytest.mark.parametrize("file_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", [(1024, 1024), (1536, 640), (640, 1536), (64, 64)])
def test_size_and_format_are_those_asked_for(size, file_format):
    """Also the smallest, which image-to-image can ask for."""
    image = opened(paint(replace(ASKED, size=size, format=file_format)))

    assert (image.size, image.format.lower()) == (size, file_format)


def test_the_words_stand_on_the_picture():
    """What differs between two prompts of one palette and scene is the lettering at the foot."""
    first, second = (opened(paint(replace(ASKED, prompt=text))) for text in ("x", "yyyyyyyyy"))
    changed = [
        (x, y)
        for x in range(320)
        for y in range(256)
        if first.getpixel((x, y)) != second.getpixel((x, y))
    ]

    assert changed
    assert min(y for _, y in changed) > 256 * 0.6


def test_the_badge_stands_on_every_picture():
    """The corner that says SIMULATED has white letters on a dark ground, whatever is behind."""
    for seed in range(4):
        corner = opened(paint(replace(ASKED, seed=seed, size=(1024, 1024)))).crop((44, 44, 200, 84))
        values = [sum(colour) for _, colour in corner.getcolors(10_000)]
        assert max(values) == 3 * 255
        assert min(values) < 300


@settings(max_examples=60)
@given(st.text(max_size=60) | st.text(alphabet="日本語абвعربي😀\u202e\x1b\ud800 ", max_size=60))
def test_no_prompt_whatever_breaks_a_picture(prompt):
    """Any script, controls, lone surrogates, nothing at all."""
    small = replace(ASKED, prompt=prompt, request=prompt, size=(128, 128))

    assert opened(paint(small)).size == (128, 128)


def test_what_cannot_be_shown_is_left_out():
    """Controls, line breaks and surrogates become one blank."""
    assert legible("a\x1b\n\n b\ud800c\u202e") == "a b c"


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        ("Größe, café crème", "Grosse, cafe creme"),
        ("5\u00d73 \u2014 a\u2026", "5x3 - a..."),
        ("日本", "日本"),
    ],
)
def test_latin_letters_lose_what_the_font_lacks(prompt, shown):
    """Accents fall off; what is of another script stays as it is."""
    assert legible(prompt) == shown


def test_a_very_long_prompt_is_painted_quickly():
    """Only its beginning can be seen."""
    assert len(legible("word " * 2_000)) < 700


def test_a_colour_in_the_prompt_chooses_the_palette():
    """The first colour that it names, whatever the seed."""
    chosen = {choose("A teal or red lamp", dice(seed)).words for seed in range(9)}

    assert len(chosen) == 1
    assert "teal" in chosen.pop()


def test_every_scene_can_be_painted_in_every_palette():
    """Without a crash at unusual proportions."""
    for scene in SCENES:
        for number, palette in enumerate(PALETTES):
            size = (128, 512) if number % 2 else (512, 128)
            assert scene(size, palette, dice(number)).size == size


def test_a_source_picture_shows_through():
    """At strength 0 nothing else is seen in the upper half."""
    file = io.BytesIO()
    Image.new("RGB", (100, 100), (10, 200, 30)).save(file, "PNG")
    image = opened(paint(replace(ASKED, source=file.getvalue(), strength=0.0, size=(256, 256))))

    assert image.getpixel((200, 60)) == (10, 200, 30)


@pytest.mark.parametrize(
    ("file_format", "about"),
    [("png", 100_000), ("png", 2_000_000), ("jpeg", 300_000), ("webp", 90_000)],
)
def test_a_plain_picture_is_about_as_large_as_asked_for(about, file_format):
    """Within 6 %, and it decodes."""
    data = plain((1024, 1024), file_format, about)

    assert len(data) == pytest.approx(about, rel=0.06)
    assert opened(data).size == (1024, 1024)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 3), (64, 64)])
def test_a_png_holds_the_picture_to_the_last_bit(size):
    """Whatever its pixels: our own writer loses nothing."""
    pixels = dice(1).randbytes(size[0] * size[1] * 3)
    image = opened(png(Image.frombytes("RGB", size, pixels)))

    assert (image.size, image.mode, image.tobytes()) == (size, "RGB", pixels)


def test_a_plain_png_can_be_as_large_as_real_ones():
    """1.5 MB, for load tests."""
    assert len(plain((1024, 1024), "png", 1_500_000)) == pytest.approx(1_500_000, rel=0.06)
