"""All pixels of an image are there, or it is broken, however whole its file looks."""

import io
import struct
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchgen.output.images import BrokenImage, decode_image, inspect_image

SIZE = (150, 110)


def photo(kind, size=SIZE, mode="RGB", **options):
    noise = Image.effect_noise(size, 60)
    picture = Image.merge("RGB", [noise, noise.rotate(180), Image.effect_noise(size, 20)])
    file = io.BytesIO()
    picture.convert(mode).save(file, kind, **options)
    return file.getvalue()


def chunks(data):
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def png_of(parts):
    """A PNG of these chunks, each with its right checksum."""
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def with_pixels(data, change):
    """The PNG with its coded pixels changed."""
    coded = b"".join(body for kind, body in chunks(data) if kind == b"IDAT")
    rest = [(kind, body) for kind, body in chunks(data) if kind != b"IDAT"]
    return png_of([*rest[:-1], (b"IDAT", change(coded)), rest[-1]])


def cut_jpeg(data, share):
    return data[: int(len(data) * share)].rstrip(b"\xff") + b"\xff\xd9"


def cut_webp(data, share):
    size = int(len(data) * share) // 2 * 2
    cut = bytearray(data[:size])
    cut[4:8] = (size - 8).to_bytes(4, "little")
    cut[16:20] = (size - 20).to_bytes(4, "little")
    return bytes(cut)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_whole_pngs_of_every_kind(mode):
    """Each colour type and depth; odd widths have rows that end within a byte."""
    for size in ((1, 1), (7, 5), SIZE):
        assert decode_image(photo("PNG", size, mode)) == ("png", *size)


@given(st.integers(1, 40), st.integers(1, 40))
def test_interlaced_pngs_are_counted_by_their_passes(width, height):
    """The seven passes of the format; what Pillow does not write is built from empty rows."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    total = 0
    for x, y, dx, dy in [*passes, (0, 1, 1, 2)]:
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        total += rows * (1 + columns * 3) if columns else 0
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)

    def built(size):
        return png_of([(b"IHDR", header), (b"IDAT", zlib.compress(bytes(size))), (b"IEND", b"")])

    assert decode_image(built(total)) == ("png", width, height)
    with pytest.raises(BrokenImage, match="end early"):
        decode_image(built(total - 1))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_whole_jpegs(options, mode):
    """Baseline, progressive, with restart markers, grey, colour and four channels."""
    for quality in (30, 95):
        data = photo("JPEG", mode=mode, quality=quality, **options)
        assert decode_image(data) == ("jpeg", *SIZE)
        assert decode_image(data + b"\0\0") == ("jpeg", *SIZE)
    assert decode_image(photo("JPEG", (1, 3), mode, **options)) == ("jpeg", 1, 3)


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_whole_webps(options):
    """Lossy and lossless."""
    assert decode_image(photo("WEBP", **options)) == ("webp", *SIZE)


BROKEN = {
    "a PNG whose stream is cut": with_pixels(photo("PNG"), lambda coded: coded[: len(coded) // 2]),
    "a PNG without the checksum of its stream": with_pixels(photo("PNG"), lambda coded: coded[:-3]),
    "a PNG with another checksum of its stream": with_pixels(
        photo("PNG"), lambda coded: coded[:-1] + bytes([coded[-1] ^ 1])
    ),
    "a PNG without its last row": with_pixels(
        photo("PNG"), lambda coded: zlib.compress(zlib.decompress(coded)[: -(1 + 3 * SIZE[0])])
    ),
    "a PNG with half of its rows": with_pixels(
        photo("PNG"), lambda coded: zlib.compress(zlib.decompress(coded)[:1000])
    ),
    "a PNG without pixels": with_pixels(photo("PNG"), lambda _: b""),
    "a JPEG that ends in the middle": cut_jpeg(photo("JPEG", quality=90), 0.5),
    "a JPEG that ends just before its end": cut_jpeg(photo("JPEG", quality=90), 0.98),
    "a progressive JPEG that ends early": cut_jpeg(photo("JPEG", progressive=True), 0.9),
    "a WebP that ends early": cut_webp(photo("WEBP"), 0.7),
    "a lossless WebP that ends early": cut_webp(photo("WEBP", lossless=True), 0.7),
}


@pytest.mark.parametrize("name", BROKEN)
def test_pixels_that_end_early_are_found(name):
    """In files whose structure, checksums and end markers are right."""
    with pytest.raises(BrokenImage):
        decode_image(BROKEN[name])


@pytest.mark.parametrize("name", [name for name in BROKEN if "WebP" not in name])
def test_their_structure_is_whole(name):
    """When such an image arrives it is kept, for it was paid for; nobody vouches for its pixels."""
    assert not inspect_image(BROKEN[name]).is_decoded


def test_a_bomb_is_not_inflated():
    """A small file that claims to be small, and inflates to a gigabyte: bounded by its header."""
    bomb = zlib.compress(bytes(200_000_000), 9)
    data = with_pixels(photo("PNG", (8, 8)), lambda _: bomb)

    with pytest.raises(BrokenImage):
        decode_image(data)


@given(st.binary(max_size=300))
def test_no_bytes_are_a_fault(data):
    """Whatever it is: an image, or broken."""
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF0000WEBP"):
        with pytest.raises(BrokenImage):
            decode_image(start + data)


def test_a_missing_library_says_nothing_of_the_image(monkeypatch):
    """It is a fault of the installation: told as such, and no image is called broken for it."""
    data = photo("PNG")
    monkeypatch.setitem(sys.modules, "isal", None)
    for look in (decode_image, inspect_image):
        with pytest.raises(ImportError):
            look(data)
