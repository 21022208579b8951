"""Sizes and formats of an image, made by Pillow."""

import io

import pytest
from PIL import Image, ImageDraw

from batchgen.job import Derivative
from batchgen.output import BrokenImage, derive
from batchgen.output.derive import box

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def coded(image, form="png", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def striped(width=120, height=60):
    """Red, with a blue fifth at the left and at the right."""
    image = Image.new("RGB", (width, height), RED)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 5 - 1, height), BLUE)
    draw.rectangle((width - width // 5, 0, width, height), BLUE)
    return image


def made(image, **keys):
    """What is derived of an image, opened, and what the record says."""
    data = image if isinstance(image, bytes) else coded(image)
    file, derived = derive(data, "images/mug.png", Derivative(suffix="-x", **keys), None)
    opened = Image.open(io.BytesIO(file))
    opened.load()
    assert (opened.format.lower(), opened.size) == (derived.format, (derived.width, derived.height))
    assert derived.bytes == len(file)
    return opened


class TestSize:
    @pytest.mark.parametrize(
        ("keys", "size"),
        [
            ({"width": 30}, (30, 15)),
            ({"height": 30}, (60, 30)),
            ({"width": 240}, (240, 120)),
            ({"width": 50, "height": 50}, (50, 25)),
            ({"width": 500, "height": 10}, (20, 10)),
            ({"width": 50, "height": 50, "fit": "cover"}, (50, 50)),
            ({"width": 77, "height": 13, "fit": "cover"}, (77, 13)),
            ({"width": 50, "height": 50, "background": "white"}, (50, 50)),
            ({"format": "webp"}, (120, 60)),
            ({"width": 1}, (1, 1)),
        ],
    )
    def test_is_exactly_the_one_that_was_asked_for(self, keys, size):
        """One side follows the other; contain fits into both, or fills them with a background."""
        assert made(striped(), **keys).size == size

    @pytest.mark.parametrize("width", range(1, 400, 7))
    def test_a_width_is_never_rounded(self, width):
        """Whatever the fraction."""
        order = Derivative(suffix="-x", width=width)
        assert box((1021, 333), order)[0] == width

    def test_contain_shows_all_of_it_between_bars(self):
        """The picture in the middle, the background above and below."""
        image = made(striped(), width=60, height=60, background="white", format="png")
        assert [image.getpixel(at) for at in ((30, 5), (30, 30), (30, 55), (2, 30))] == [
            WHITE,
            RED,
            WHITE,
            BLUE,
        ]

    def test_cover_cuts_both_ends_alike(self):
        """What hangs over goes, from the middle on."""
        image = made(striped(), width=60, height=60, fit="cover")
        assert {image.getpixel((x, 30)) for x in (0, 20, 40, 59)} == {RED}

    def test_more_pixels_than_any_image_has_are_refused(self):
        """16,383 times 16,383 pixels would take a gigabyte."""
        with pytest.raises(BrokenImage, match="are more than"):
            made(striped(60, 60), width=16_383)


class TestTransparency:
    def picture(self):
        image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
        ImageDraw.Draw(image).rectangle((0, 0, 19, 39), (255, 0, 0, 255))
        return image

    @pytest.mark.parametrize(("background", "shade"), [(None, WHITE), ("#0000ff", BLUE)])
    def test_a_jpeg_gets_a_background(self, background, shade):
        """White, if the job does not say."""
        image = made(self.picture(), format="jpeg", quality=100, background=background)
        for at, wanted in (((5, 20), RED), ((35, 20), shade)):
            assert all(abs(a - b) < 6 for a, b in zip(image.getpixel(at), wanted, strict=True))

    @pytest.mark.parametrize("form", ["png", "webp"])
    def test_stays_without_a_background(self, form):
        """These formats know it."""
        image = made(self.picture(), format=form, width=20).convert("RGBA")
        assert [image.getpixel(at)[3] for at in ((2, 10), (17, 10))] == [255, 0]

    @pytest.mark.parametrize("mode", ["P", "L", "LA", "1", "I;16", "CMYK"])
    def test_every_mode_of_a_picture_is_taken(self, mode):
        """Palettes, greys, 16 bits, print."""
        image = Image.new(mode, (20, 20))
        data = coded(image, "jpeg" if mode == "CMYK" else "png")
        for form in ("png", "jpeg", "webp"):
            assert made(data, format=form, width=10).size == (10, 10)

    def test_grey_of_16_bits_keeps_its_shade(self):
        """Pillow by itself makes all of it white."""
        image = made(Image.new("I;16", (20, 20), 30_000), width=10)
        assert abs(image.getpixel((5, 5))[0] - 30_000 // 257) < 2


class TestCoding:
    @pytest.mark.parametrize("form", ["jpeg", "webp"])
    def test_quality_tells(self, form):
        """A lower one makes smaller files."""
        noise = Image.effect_noise((200, 200), 80)
        sizes = [len(coded(noise, "png"))]
        for quality in (82, 20):
            order = Derivative(suffix="-x", format=form, quality=quality)
            sizes.append(derive(coded(noise), "a.png", order, None)[1].bytes)
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < sizes[-2] / 1.5

    def test_the_format_is_that_of_the_image_if_none_is_named(self):
        """And so is the end of the name."""
        data = coded(striped(), "webp")
        _, derived = derive(data, "images/a.b.webp", Derivative(suffix="@2x", width=10), None)
        assert (derived.path, derived.format) == ("images/a.b@2x.webp", "webp")

    def test_is_the_same_again(self):
        """What is made again has the bytes that are on record."""
        order = Derivative(suffix="-x", width=33, format="webp")
        assert derive(coded(striped()), "a.png", order, None) == derive(
            coded(striped()), "a.png", order, None
        )

    def test_the_colour_profile_stays(self):
        """Else a wide picture looks dull."""
        profile = b"\0" * 16 + b"RGB " + b"\0" * 108
        data = coded(striped(), icc_profile=profile)
        assert made(data, width=10).info["icc_profile"] == profile
        grey = coded(striped().convert("L"), icc_profile=profile.replace(b"RGB ", b"GRAY"))
        assert "icc_profile" not in made(grey, width=10).info

    def test_it_stands_as_viewers_show_its_image(self):
        """A turn that EXIF orders is made, for nothing says so of the derived file."""
        turned = Image.Exif()
        turned[0x112] = 6
        data = coded(striped(), "jpeg", exif=turned)
        assert made(data, format="png").size == striped().size[::-1]

    def test_what_cannot_be_read_is_said(self):
        """Whatever Pillow raises."""
        with pytest.raises(BrokenImage, match="cannot make -x"):
            made(b"\x89PNG and no more", width=10)
