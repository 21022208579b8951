"""Content Credentials: signed with a certificate of the job's own, read from any file."""

import io
import sys
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from certificates import KEYS, write_pair
from PIL import Image, PngImagePlugin

from batchgen.output import (
    CredentialsUnusable,
    Label,
    SourceType,
    embedded,
    hash_pixels,
    inspect_image,
    labelled,
    open_signer,
    read_credentials,
)

MODEL = "stability.stable-image-core-v1:1"
KINDS = ("png", "jpeg", "webp")


def image(kind):
    """A picture of noise."""
    file = io.BytesIO()
    Image.effect_noise((60, 40), 90).convert("RGB").save(file, kind)
    return file.getvalue()


def label(data, source_type=SourceType.GENERATED):
    return Label(
        creator_tool="batchgen 0.1.0",
        created_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        source_type=source_type,
        received_sha256=sha256(data).hexdigest(),
        model=MODEL,
        seed=4_294_967_295,
    )


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return open_signer(*write_pair(tmp_path_factory.mktemp("own")))


@pytest.fixture
def signed(signer, tmp_path):
    """A labelled and signed file, and what came."""

    def sign(kind):
        data = image(kind)
        told = label(data)
        path = tmp_path / f"image.{kind}"
        path.write_bytes(signer.signed(labelled(data, inspect_image(data), told), kind, told))
        return path, data

    return sign


class TestSigning:
    @pytest.mark.parametrize("kind", KINDS)
    def test_source_type_model_and_seed_are_signed(self, signed, kind):
        """The action says how the picture came to be; the XMP before it still stands."""
        path, _ = signed(kind)
        found = read_credentials(path)
        assert (found.is_intact, found.problems) == (True, ())
        assert (found.source_type, found.model) == (SourceType.GENERATED.value, MODEL)
        assert (found.seed, found.signed_by) == (4_294_967_295, "A signer")
        read = embedded(path)
        assert read.has_credentials
        assert read.source_type == SourceType.GENERATED.value

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_certificate_of_ones_own_is_not_trusted(self, signed, kind):
        """Nobody vouches for it, whatever its signature is worth."""
        assert read_credentials(signed(kind)[0]).is_trusted is False

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_picture_is_the_same_and_the_file_little_larger(self, signed, kind):
        """No thumbnail: a few kilobytes, and no pixel touched."""
        path, data = signed(kind)
        assert hash_pixels(path.read_bytes()) == hash_pixels(data)
        assert len(path.read_bytes()) - len(data) < 6_000

    @pytest.mark.parametrize("kind", KINDS)
    def test_any_change_afterwards_breaks_them(self, signed, kind):
        """A flipped pixel, and a byte of the label."""
        path, data = signed(kind)
        whole, middle = path.read_bytes(), len(data) // 2
        for part in (b"trainedAlgorithmicMedia", data[middle : middle + 16]):
            at = whole.index(part)
            path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
            found = read_credentials(path)
            assert not found.is_intact
            assert found.problems

    @pytest.mark.parametrize("kind", sorted(KEYS))
    def test_the_kinds_of_keys_that_sign(self, kind, tmp_path):
        """The certificate says which, not the job."""
        data = image("png")
        signed = open_signer(*write_pair(tmp_path, kind)).signed(data, "png", label(data))
        (tmp_path / "a.png").write_bytes(signed)
        assert read_credentials(tmp_path / "a.png").is_intact


class TestRefused:
    def test_what_cannot_sign_is_said_before_the_first_image(self, tmp_path):
        """Files that are not there, no PEM, have a password or belong to another pair."""
        own, other = write_pair(tmp_path / "a"), write_pair(tmp_path / "b")
        locked = write_pair(tmp_path / "c", password=b"secret")
        (tmp_path / "text").write_text("no certificate")
        for certificate, key, said in (
            (tmp_path / "none.pem", own[1], "none.pem cannot be read: No such file"),
            (tmp_path, own[1], "Is a directory"),
            (tmp_path / "text", own[1], "is no PEM file"),
            (own[1], own[1], "cannot sign"),
            (own[0], own[0], "the key cannot be read"),
            (own[0], other[1], "do not make a valid signature"),
            (own[0], locked[1], "the key cannot be read"),
        ):
            with pytest.raises(CredentialsUnusable, match=said):
                open_signer(certificate, key)

    def test_without_the_extra_the_command_is_named(self, tmp_path, monkeypatch):
        """What to install stands in the sentence."""
        monkeypatch.setitem(sys.modules, "c2pa", None)
        pair = write_pair(tmp_path)
        with pytest.raises(CredentialsUnusable, match=r"pip install 'batchgen\[c2pa\]'"):
            open_signer(*pair)


class TestReading:
    def test_a_file_without_any_is_none(self, tmp_path):
        """A picture that nobody signed."""
        for kind in KINDS:
            (tmp_path / kind).write_bytes(image(kind))
            assert read_credentials(tmp_path / kind) is None

    def test_rubbish_in_their_place_is_said(self, tmp_path):
        """A chunk that claims to hold some."""
        chunk = PngImagePlugin.PngInfo()
        chunk.add(b"caBX", b"\0\0\0\x20jumb" + b"x" * 40)
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=chunk)
        assert embedded(tmp_path / "a.png").has_credentials
        with pytest.raises(CredentialsUnusable, match="cannot be read"):
            read_credentials(tmp_path / "a.png")

    def test_links_are_not_followed(self, tmp_path):
        """A path may come from someone else."""
        (tmp_path / "link.png").symlink_to("/etc/passwd")
        with pytest.raises(OSError, match="link"):
            read_credentials(tmp_path / "link.png")
