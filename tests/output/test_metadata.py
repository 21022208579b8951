"""What is written into image files, and what is read from files of anybody."""

import io
import json
import re
import shutil
import subprocess
import zlib
from datetime import UTC, datetime
from hashlib import sha256
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from batchgen.output import (
    SourceType,
    embedded,
    hash_pixels,
    inspect_image,
    labelled,
    read_embedded,
)
from batchgen.output.images import BrokenImage
from batchgen.output.metadata import jpeg, png, webp
from batchgen.output.metadata.label import Embedded, Label, Provenance
from batchgen.output.metadata.segments import LONGEST

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
OWN = "{urn:batchgen:1.0:}"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
FORMATS = ("png", "jpeg", "webp", "webp-lossless")
PROMPT = (
    'a "blue" mug, 20 % off <b>&amp;</b> ]]> für 日本\U0001f3fa\nNegative prompt: x\x1b[31m\x00'
)


def image(kind, size=(40, 30), mode="RGB"):
    """A picture of noise."""
    file = io.BytesIO()
    noise = Image.effect_noise(size, 90).convert(mode)
    if mode.endswith("A"):
        noise.putalpha(Image.effect_noise(size, 90))
    options = {"lossless": True} if kind == "webp-lossless" else {}
    noise.save(file, kind.removesuffix("-lossless"), **options)
    return file.getvalue()


def provenance(**changes):
    """All that `full` says."""
    request = {"prompt": PROMPT, "negative_prompt": "text", "seed": 7, "aspect_ratio": "1:1"}
    values = {
        "prompt": PROMPT,
        "negative_prompt": "text",
        "model": "stability.stable-image-core-v1:1",
        "seed": 7,
        "parameters": {"aspect_ratio": "1:1"},
        "task_id": "1-" + "a" * 32,
        "label": "mug/1",
        "item_id": "mug",
        "vars": {},
        "run_id": "run-1",
        "attempt": 1,
        "region": "us-west-2",
        "simulated": True,
        "started_at": NOON,
        "request_id": "r-1",
        "latency_ms": 12,
        "finish_reason": None,
        "request": request,
    }
    return Provenance(**{**values, **changes})


def label(told=None, data=b""):
    """A label with or without how the image was made."""
    return Label(
        creator_tool="batchgen 0.1.0",
        created_at=NOON,
        source_type=SourceType.GENERATED,
        received_sha256=sha256(data).hexdigest(),
        model="stability.stable-image-core-v1:1",
        seed=7,
        provenance=None if told is None else told.model_dump(mode="json"),
    )


def written(data, told=None):
    """The image with its label."""
    return labelled(data, inspect_image(data), label(told, data))


def found(data):
    """What a file of these bytes says of itself."""
    return read_embedded(io.BytesIO(data))


def coded(data):
    """The coded pixels of a file, found by code that is not under test."""
    if data.startswith(b"\x89PNG"):
        return b"".join(body for kind, body in chunks(data) if kind == b"IDAT")
    if data.startswith(b"\xff\xd8"):
        at = 2
        while data[at + 1] != 0xDA:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
        return data[at:]
    at, kept = 12, []
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] in (b"VP8 ", b"VP8L", b"ALPH"):
            kept.append(data[at : at + 8 + size])
        at += 8 + size + size % 2
    return b"".join(kept)


def chunks(data):
    """The chunks of a PNG, each with a checksum that is right."""
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert int.from_bytes(data[at + 8 + size : at + 12 + size]) == zlib.crc32(kind + body)
        yield kind, body
        at += 12 + size


def by_pillow(data):
    """The XMP properties as Pillow and a strict parser of XML find them."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        packet = opened.info.get("xmp") or opened.info["XML:com.adobe.xmp"]
    root = ET.fromstring(packet if isinstance(packet, bytes) else packet.encode())  # noqa: S314  # ours
    (description,) = root.iter(f"{RDF}Description")
    return {each.tag: each.text for each in description}


class TestWriting:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(
        kind=st.sampled_from(FORMATS),
        size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
        mode=st.sampled_from(("RGB", "RGBA", "L")),
        prompt=st.text(max_size=300),
        is_full=st.booleans(),
    )
    def test_the_coded_pixels_are_the_same_bytes_and_all_is_read_back(
        self, kind, size, mode, prompt, is_full
    ):
        """Whatever the format, the size and the prompt: nothing of the picture is touched."""
        data = image(kind, size, "RGB" if kind == "jpeg" and mode == "RGBA" else mode)
        told = provenance(prompt=prompt) if is_full else None
        after = written(data, told)
        assert coded(after) == coded(data)
        with Image.open(io.BytesIO(data)) as one, Image.open(io.BytesIO(after)) as two:
            assert (one.mode, one.size, one.format) == (two.mode, two.size, two.format)
            assert ImageChops.difference(one.convert("RGBA"), two.convert("RGBA")).getbbox() is None
        assert (inspect_image(after).width, inspect_image(after).height) == size
        read = found(after)
        assert read.provenance == told
        assert read.received_sha256 == sha256(data).hexdigest()
        assert read.problem is None

    @pytest.mark.parametrize("kind", FORMATS)
    def test_the_hash_of_the_pixels_is_that_of_the_picture(self, kind):
        """A label leaves it, and so does another coding without loss; another pixel changes it."""
        data = image(kind)
        assert hash_pixels(written(data, provenance())) == hash_pixels(data)
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
        files = [io.BytesIO() for _ in range(3)]
        picture.save(files[0], "PNG")
        picture.save(files[1], "WEBP", lossless=True)
        picture.putpixel((3, 3), (1, 2, 3))
        picture.save(files[2], "PNG")
        same, coded_anew, other = (hash_pixels(file.getvalue()) for file in files)
        assert same == coded_anew == hash_pixels(data)
        assert other != same

    def test_pixels_that_end_early_have_no_hash(self):
        """Nor have those of a file that claims absurd sizes, or of no image."""
        data = image("png", (400, 400))
        for broken in (data[:5_000], b"", data[:16] + b"\x00\x10\0\0" * 2 + data[24:]):
            with pytest.raises(BrokenImage):
                hash_pixels(broken)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_an_ai_label_says_the_source_type_the_tool_and_the_date_alone(self, kind):
        """Pillow and an XML parser find what shops and search engines ask for, and no prompt."""
        after = written(image(kind))
        properties = by_pillow(after)
        assert properties[f"{IPTC}DigitalSourceType"] == GENERATED
        assert properties[f"{XMP}CreatorTool"] == "batchgen 0.1.0"
        assert properties[f"{XMP}CreateDate"] == "2026-11-21T12:00:00Z"
        assert f"{OWN}Provenance" not in properties
        assert b"parameters" not in after

    @pytest.mark.parametrize("kind", FORMATS)
    def test_full_says_how_it_was_made_as_one_json_field(self, kind):
        """Any text comes back as it was, through Pillow, XML and JSON of others."""
        told = json.loads(by_pillow(written(image(kind), provenance()))[f"{OWN}Provenance"])
        assert (told["prompt"], told["negative_prompt"], told["seed"]) == (PROMPT, "text", 7)
        assert told["model"] == "stability.stable-image-core-v1:1"
        assert told["parameters"] == {"aspect_ratio": "1:1"}
        assert told["task_id"] == "1-" + "a" * 32

    def test_a_png_has_the_text_that_viewers_read(self):
        """The prompt, the negative one in a line of its own, and settings in one line."""
        told = provenance(prompt="a mug", parameters={"cfg_scale": 7, "aspect_ratio": "1:1"})
        with Image.open(io.BytesIO(written(image("png"), told))) as opened:
            assert opened.info["parameters"] == (
                "a mug\n"
                "Negative prompt: text\n"
                "CFG scale: 7, Seed: 7, Size: 40x30, "
                'Model: "stability.stable-image-core-v1:1", Aspect ratio: "1:1", '
                f"Task: 1-{'a' * 32}, Version: batchgen 0.1.0"
            )

    @given(prompt=st.text(max_size=100))
    def test_a_text_of_a_png_holds_no_control_characters(self, prompt):
        """A viewer prints it: what steers a terminal or ends a text early is replaced."""
        text = found(written(PNG, provenance(prompt=prompt))).parameters
        assert re.search("[\0-\x08\x0b-\x1f\x7f-\x9f]", text) is None

    @pytest.mark.parametrize("kind", FORMATS)
    def test_writing_again_takes_the_place_of_what_was_there(self, kind):
        """A file has one label; a second writing leaves nothing of the first."""
        data = image(kind)
        once = written(data, provenance(prompt="the first"))
        again = labelled(once, inspect_image(once), label(provenance(prompt="second"), data))
        assert b"the first" not in again
        assert again == written(data, provenance(prompt="second"))

    @pytest.mark.parametrize("kind", FORMATS)
    @pytest.mark.parametrize("length", [1_000, 12_000, 50_000, 2_000_000])
    def test_what_does_not_fit_is_cut_and_said_to_be(self, kind, length):
        """A JPEG takes 64 kB of XMP: the request goes first, then the ends of the texts."""
        prompt = "日本" * (length // 2)
        told = provenance(prompt=prompt, request={"prompt": prompt})
        read = found(written(image(kind), told)).provenance
        fits = length * 3 < (60_000 if kind == "jpeg" else 250_000)
        assert (read.prompt == prompt, read.truncated) == (fits, not fits)
        assert read.task_id == told.task_id
        assert (read.request is None) == (length * 6 > (60_000 if kind == "jpeg" else 250_000))

    def test_a_jpeg_keeps_its_exif_in_front(self):
        """JFIF's and Exif's segments have their place right behind the start of the file."""
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x010E] = "described"
        Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
        after = written(file.getvalue(), provenance())
        with Image.open(io.BytesIO(after)) as opened:
            assert opened.getexif()[0x010E] == "described"
        places = [after.index(mark) for mark in (b"JFIF", b"Exif\0", b"http://ns.adobe.com")]
        assert places == sorted(places)

    def test_an_extended_webp_keeps_its_chunks(self):
        """Alpha, profile and flags of a WebP that has them already stay."""
        file = io.BytesIO()
        picture = Image.new("RGBA", (9, 7), (1, 2, 3, 4))
        picture.save(file, "WEBP", icc_profile=b"a profile", exif=b"Exif\0\0data", lossless=False)
        after = written(file.getvalue(), provenance())
        with Image.open(io.BytesIO(after)) as opened:
            assert (opened.mode, opened.info["icc_profile"]) == ("RGBA", b"a profile")
        assert after[20] & 0x04
        assert after[20] | 0x04 == file.getvalue()[20] | 0x04

    @pytest.mark.parametrize("kind", FORMATS)
    def test_a_broken_file_is_not_written(self, kind):
        """What is no whole image is refused, whatever it was said to be."""
        data = image(kind)
        for broken in (b"", data[:20], b"x" * 50):
            with pytest.raises(BrokenImage):
                labelled(broken, inspect_image(data), label())


def through_pillow(path):
    """Source type, tool, date, JSON and text, as Pillow and an XML parser read them."""
    read = by_pillow(path.read_bytes())
    names = (f"{IPTC}DigitalSourceType", f"{XMP}CreatorTool", f"{XMP}CreateDate")
    with Image.open(path) as opened:
        text = opened.info.get("parameters")
    return (*map(read.get, names), json.loads(read[f"{OWN}Provenance"]), text)


def through_exiftool(path):
    """The same as exiftool reads them, which writes dates and IPTC's list in its own way."""
    run = subprocess.run(["exiftool", "-json", "-G1", path], capture_output=True, check=True)
    (read,) = json.loads(run.stdout)
    assert not any("Warning" in key or "Error" in key for key in read)
    source = read["XMP-iptcExt:DigitalSourceType"]
    source = GENERATED if "trained algorithm" in source.lower() else source
    day, _, time = read["XMP-xmp:CreateDate"].partition(" ")
    told = json.loads(read["XMP-batchgen:Provenance"])
    when = f"{day.replace(':', '-')}T{time}"
    return source, read["XMP-xmp:CreatorTool"], when, told, read.get("PNG:Parameters")


READERS = (through_pillow, *((through_exiftool,) if shutil.which("exiftool") else ()))
"""Other people's programs; exiftool where it is installed."""


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("reader", READERS)
def test_other_programs_read_all_of_it(reader, kind, tmp_path):
    """The labels by their names, the JSON whole, the text of a PNG, and nothing to warn of."""
    path = tmp_path / f"image.{kind.partition('-')[0]}"
    made = provenance(prompt="a „blue“ mug ]]> & <b>")
    path.write_bytes(written(image(kind), made))
    source, tool, date, told, text = reader(path)
    assert (source, tool, date) == (GENERATED, "batchgen 0.1.0", "2026-11-21T12:00:00Z")
    assert Provenance.model_validate(told) == made
    assert (text or "").startswith("a „blue“ mug") == (kind == "png")


PNG = image("png", (4, 4))


def png_with(*inserted):
    """A PNG with more chunks behind its header."""
    at = 8 + 25
    parts = (png._chunk(kind, body) for kind, body in inserted)
    return PNG[:at] + b"".join(parts) + PNG[at:]


def xmp_chunk(packet, flag=b"\0"):
    return (b"iTXt", b"XML:com.adobe.xmp\0" + flag + b"\0\0\0" + packet)


def packet(inner, head=""):
    return (
        f'{head}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF[1:-1]}">'
        f'<rdf:Description xmlns:xmp="{XMP[1:-1]}" xmlns:b="{OWN[1:-1]}" {inner}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


BOMB = packet(
    "><xmp:CreatorTool>&c;</xmp:CreatorTool>",
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>',
)
FETCHED = packet(
    "><xmp:CreatorTool>&c;</xmp:CreatorTool>",
    '<!DOCTYPE x [<!ENTITY c SYSTEM "file:///etc/passwd">]>',
)


class TestReading:
    def test_a_file_that_says_nothing_is_none(self, tmp_path):
        """Neither is a file that is no image, an empty one, or one of another kind."""
        path = tmp_path / "x.png"
        for data in (b"", b"x", b"GIF89a", PNG, image("jpeg"), image("webp"), b"\x89PNG", b"RIFF"):
            path.write_bytes(data)
            assert embedded(path) is None

    def test_links_and_folders_are_not_read(self, tmp_path):
        """A path may come from someone else."""
        (tmp_path / "link.png").symlink_to("/etc/passwd")
        for path in (tmp_path, tmp_path / "link.png", tmp_path / "none"):
            with pytest.raises(OSError, match=r"."):
                embedded(path)

    def test_properties_as_attributes_are_read_too(self):
        """Other programs write the same RDF in its shorter form."""
        read = found(png_with(xmp_chunk(packet('xmp:CreatorTool="another tool">'))))
        assert read == Embedded(creator_tool="another tool")

    def test_a_compressed_text_is_read(self):
        """Other programs may have compressed it."""
        inner = zlib.compress(packet('xmp:CreatorTool="another tool">'))
        assert found(png_with(xmp_chunk(inner, b"\1"))).creator_tool == "another tool"

    @pytest.mark.parametrize(
        ("hostile", "said"),
        [
            (BOMB, "document type"),
            (FETCHED, "document type"),
            (packet('xmp:CreatorTool="X">').replace(b"X", b"\xff"), "no XML"),
            (b"\xff\xfe<\0x\0", "no XML"),
            (b"", "no XML"),
            (b"<a>" * 100 + b"</a>" * 100, "deep"),
            (b"x" * (LONGEST + 1), "bytes"),
            (packet("><b:Provenance>{</b:Provenance>"), "cannot be read"),
            (packet('><b:Provenance>{"seed": 1}</b:Provenance>'), "cannot be read"),
            (packet(f"><b:Provenance>{'[' * 100_000}</b:Provenance>"), "cannot be read"),
            (packet(f"><b:Provenance>{'9' * 100_000}</b:Provenance>"), "cannot be read"),
        ],
    )  # fmt: skip
    def test_a_hostile_packet_is_a_problem_and_nothing_more(self, hostile, said):
        """No entity is expanded, nothing is fetched, nothing huge or deep is taken in."""
        read = found(png_with(xmp_chunk(hostile), (b"tEXt", b"parameters\0still read")))
        assert said in read.problem
        assert (read.creator_tool, read.provenance) == (None, None)
        assert read.parameters == "still read"

    def test_a_text_that_unpacks_to_a_gigabyte_is_not_unpacked(self):
        """A compressed megabyte of zeros is a small chunk."""
        inner = zlib.compress(b" " * (LONGEST * 20))
        assert "bytes" in found(png_with(xmp_chunk(inner, b"\1"))).problem

    @given(data=st.binary(max_size=300), kind=st.sampled_from((b"\x89PNG\r\n\x1a\n", b"\xff\xd8",
        b"RIFF\xff\0\0\0WEBP")), at=st.integers(0, 2_000), noise=st.binary(max_size=8))  # fmt: skip
    def test_no_bytes_raise(self, data, kind, at, noise):
        """Rubbish behind a right beginning, and flipped bytes in a labelled file."""
        found(kind + data)
        for whole in LABELLED:
            found(whole[:at] + noise + whole[at + len(noise) :])
            found(whole[:at])

    @pytest.mark.parametrize(
        "data",
        [
            png_with((b"caBX", b"jumb")),
            b"\xff\xd8\xff\xeb\x00\x14JP\0\x01\0\0\0\x01\0\0\0\x0ajumb" + image("jpeg")[2:],
            image("webp") + b"C2PA\x04\0\0\0jumb",
        ],
    )
    def test_content_credentials_are_noticed(self, data):
        """Whoever signed them."""
        if data.startswith(b"RIFF"):
            data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
        assert found(data).has_credentials


LABELLED = [written(image(kind, (3, 3)), provenance()) for kind in FORMATS]


def test_the_containers_know_each_other_apart():
    """Each reader refuses the files of the others."""
    for module in (png, jpeg, webp):
        refused = 0
        for data in LABELLED:
            try:
                list(module.segments(io.BytesIO(data)))
            except BrokenImage:
                refused += 1
        assert refused == len(LABELLED) - (2 if module is webp else 1)
