"""The walk over a PNG's chunks takes nothing that Pillow would refuse."""

import io
import struct
import zlib

import pytest
from fakes import picture
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from batchgen.output import images
from batchgen.output.images import BrokenImage, read_structure
from batchgen.output.png import plain_size

PNG = picture("png", size=(30, 20))


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def head(width=4, height=3, depth=8, colour=2, rest=(0, 0, 0)):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, *rest))


PIXELS = chunk(b"IDAT", zlib.compress(bytes(3 * 13)))
BESIDE = [
    chunk(b"tEXt", b"Comment\0made"),
    chunk(b"tEXt", b"no end of the key"),
    chunk(b"iTXt", b"a\0\2"),
    chunk(b"caBX", b"x" * 99),
    chunk(b"pHYs", bytes(9)),
    chunk(b"pHYs", bytes(3)),
    chunk(b"gAMA", bytes(4)),
    chunk(b"sRGB", b"\0"),
    chunk(b"sRGB"),
    chunk(b"tRNS", b"\0"),
    chunk(b"PLTE", bytes(9)),
    chunk(b"zTXt", b"\0"),
    chunk(b"acTL", bytes(8)),
    chunk(b"abcd", b"?"),
    chunk(b"IEND"),
    chunk(b"IEND", b"x"),
    PIXELS,
    chunk(b"IDAT"),
    b"\0\0\0\5IDAT",
    b"x",
]


def said(data):
    try:
        return read_structure(data)
    except BrokenImage:
        return "broken"


@st.composite
def pngs(draw):
    """Right and wrong ones, of chunks with right and wrong checksums."""
    sizes = st.sampled_from([0, 1, 4, 9_000])
    first = head(
        draw(sizes),
        draw(sizes),
        draw(st.sampled_from([0, 1, 2, 4, 8, 16, 32])),
        draw(st.integers(0, 7)),
        draw(st.sampled_from([(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 2)])),
    )
    usual = [head(), PIXELS, chunk(b"IEND")]
    parts = draw(st.sampled_from([usual, [first, *usual[1:]], [first, first, *usual[1:]]]))
    for part in draw(st.lists(st.sampled_from(BESIDE), max_size=2)):
        parts = [*parts]
        parts.insert(draw(st.integers(0, len(parts))), part)
    data = bytearray(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=1)):
        data[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(data[: draw(st.none() | st.integers(0, len(data)))])


@given(pngs())
@example(PNG)
@example(b"")
@example(PNG[:8])
def test_it_says_what_pillow_says_or_nothing(data):
    """Where the walk finds nothing odd, Pillow takes the file too, and its size is the same."""
    found = said(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "plain_size", lambda _: None)
        assert found == said(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "I;16"])
def test_what_models_send_needs_no_pillow(mode, monkeypatch):
    """All colours but those of a palette."""
    file = io.BytesIO()
    Image.new(mode, (30, 20)).save(file, "PNG")
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    assert plain_size(file.getvalue()) == (30, 20)
    assert read_structure(file.getvalue()) == ("png", 30, 20)
