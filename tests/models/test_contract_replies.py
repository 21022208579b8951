"""One suite for every family: what `models.base.Family` promises of replies."""

import base64
import json

import pytest
from documented import DOCUMENTED, every_family, few, json_values
from hypothesis import given
from hypothesis import strategies as st

from batchgen.models import FAMILIES, Family, Reply, ReplyError


class TestParse:
    @every_family
    @given(
        body=st.binary() | st.text().map(str.encode) | json_values.map(json.dumps).map(str.encode)
    )
    def test_any_bytes_are_a_reply_or_a_reply_error(self, name, body):
        """Nothing that a network can deliver makes parsing fail in another way."""
        parses_or_complains(FAMILIES[name], body)

    @every_family
    @few
    @given(data=st.data())
    def test_any_values_in_the_places_of_the_right_ones_are_no_failure(self, name, data):
        """A reply of the right keys with anything at them is a Reply or a ReplyError."""
        values = st.one_of(
            json_values,
            st.lists(json_values | st.sampled_from(["aGk=", "Filter reason: x"]), max_size=3),
        )
        keys = ["seeds", "finish_reasons", "images", "result", "error", "artifacts"]
        artifact = st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["seed", "base64", "finishReason"], json_values)
        )
        reply = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values)))
        if data.draw(st.booleans()):
            reply["artifacts"] = data.draw(st.lists(artifact, max_size=3))
        parses_or_complains(FAMILIES[name], json.dumps(reply).encode())

    @every_family
    @given(image=st.binary(min_size=1), seed=st.integers(1, 2**32 - 1))
    def test_an_image_arrives_byte_by_byte(self, name, image, seed):
        """The image of a good reply is decoded exactly, with the seed beside it."""
        body = json.dumps(DOCUMENTED[name].reply(image, seed, None)).encode()
        reply = FAMILIES[name].parse(body)
        [artifact] = reply.images
        assert (artifact.data, artifact.seed) == (image, seed)
        assert (reply.filtered, reply.inference_error, reply.withheld) == (False, False, 0)

    @every_family
    def test_a_reply_cut_anywhere_is_a_reply_error(self, name):
        """A body that ends early is never taken for a whole one."""
        body = json.dumps(DOCUMENTED[name].reply(b"\x89PNG" * 9, 7, None)).encode()
        for end in range(len(body)):
            with pytest.raises(ReplyError):
                FAMILIES[name].parse(body[:end])

    @every_family
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><body>502 Bad Gateway</body></html>",
            b"null",
            b"[]",
            b'"images"',
            b"{}",
            b"[" * 100_000,
            b'{"images":' * 100_000,
            b'{"images": ' + b"9" * 100_000 + b"}",
            b'\xff\xfe{"images": []}',
            b'{"message": "Internal error"}',
        ],
    )
    def test_what_is_no_reply_is_a_reply_error(self, name, body):
        """Nothing, HTML, another type, no image, depth and size: a short printable sentence."""
        with pytest.raises(ReplyError) as caught:
            FAMILIES[name].parse(body)
        assert str(caught.value).isprintable()
        assert 10 < len(str(caught.value)) < 300

    @every_family
    @pytest.mark.parametrize("image", ["####", "aGk", "aG k=", "é", "", 7, True, ["aGk="], {}])
    def test_an_image_that_cannot_be_decoded_is_a_reply_error(self, name, image):
        """Broken base64, an empty image and another type are not delivered as a picture."""
        reply = json.dumps(DOCUMENTED[name].reply(b"hi", 7, None))
        body = reply.replace('"aGk="', json.dumps(image)).encode()
        with pytest.raises(ReplyError, match="an image of the reply"):
            FAMILIES[name].parse(body)

    @every_family
    @pytest.mark.parametrize("seed", [None, "", "x", "-1", "٣", "9" * 5000, 1.5, True, [7], {}])
    def test_an_odd_seed_does_not_cost_the_image(self, name, seed):
        """A seed that is no whole number is unknown; the image stays."""
        body = json.dumps(DOCUMENTED[name].reply(b"hi", seed, None)).encode()
        [artifact] = FAMILIES[name].parse(body).images
        assert artifact.seed is None

    @every_family
    def test_a_seed_may_come_as_a_text(self, name):
        """AWS types seeds as texts while it shows numbers: both are read."""
        body = json.dumps(DOCUMENTED[name].reply(b"hi", "4294967295", None)).encode()
        assert FAMILIES[name].parse(body).images[0].seed == 4_294_967_295

    @every_family
    def test_unknown_fields_are_ignored(self, name):
        """A reply may say more than it does today."""
        reply = {**DOCUMENTED[name].reply(b"hi", 7, None), "new": {"a": [1]}, "error": None}
        assert len(FAMILIES[name].parse(json.dumps(reply).encode()).images) == 1

    @every_family
    def test_an_image_beside_a_filter_reason_is_not_kept(self, name):
        """Moderation refused it: whatever came with the refusal, broken or not, is no picture."""
        family = DOCUMENTED[name]
        reply = json.dumps(family.reply(b"hi", 7, family.filter_reason))
        for text in (reply, reply.replace("aGk=", "####")):
            parsed = FAMILIES[name].parse(text.encode())
            assert parsed == Reply(
                images=(),
                finish_reasons=(family.filter_reason,),
                filtered=True,
                inference_error=False,
                withheld=1,
            )

    @every_family
    @pytest.mark.parametrize(
        ("reason", "filtered"),
        [
            ("Filter reason: prompt", True),
            ("FILTER REASON: INPUT IMAGE", True),
            ("CONTENT_FILTERED", True),
            ("Content moderation", True),
            ("Inference error", False),
            ("inference ERROR", False),
            ("ERROR", False),
            ("Something new", False),
        ],
    )
    def test_a_reason_is_moderation_or_a_failure(self, name, reason, filtered):
        """Words of filters and moderation are final; every other word is a failed generation."""
        body = json.dumps(DOCUMENTED[name].reply(b"hi", 7, reason)).encode()
        reply = FAMILIES[name].parse(body)
        assert (reply.filtered, reply.inference_error) == (filtered, not filtered)
        assert reply.images == ()
        assert reply.finish_reasons == (reason,)


WORDED = {
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "Latin-1 in a text": lambda text: text.replace("{", '{"note": "\xfc",', 1).encode("latin-1"),
    "a control in a text": lambda text: text.replace("{", '{"note": "\x01",', 1).encode(),
    "more behind it": lambda text: text.encode() + b"\n<!-- proxy -->",
}
SPELT = {
    "lines": lambda text: f"{text[:2]}\r\n{text[2:]}\n",
    "a data URL": lambda text: f"data:image/png;base64,{text}",
    "the alphabet of URLs": lambda text: text.replace("+", "-").replace("/", "_"),
}
DATA = b"\xfb\xff\xfehi"


class TestWhatWasPaidFor:
    """An image that can be read is not given up, and paid for again, over how it was written."""

    @every_family
    @pytest.mark.parametrize("how", WORDED)
    def test_odd_json(self, name, how):
        """As some proxy rewrote it."""
        text = json.dumps(DOCUMENTED[name].reply(DATA, 7, None), ensure_ascii=False)
        (image,) = FAMILIES[name].parse(WORDED[how](text)).images
        assert image.data == DATA

    @every_family
    @pytest.mark.parametrize("how", SPELT)
    def test_odd_base64(self, name, how):
        """The same bytes, spelt otherwise."""
        text = json.dumps(DOCUMENTED[name].reply(DATA, 7, None))
        encoded = base64.b64encode(DATA).decode()
        assert encoded in text
        odd = text.replace(encoded, json.dumps(SPELT[how](encoded))[1:-1])
        (image,) = FAMILIES[name].parse(odd.encode()).images
        assert image.data == DATA


def test_what_a_reply_says_is_bounded():
    """A hundred thousand reasons, each of a megabyte, would stand in a line of the manifest."""
    body = {"images": [], "finish_reasons": ["Filter reason: " + "x" * 1_000] * 100_000}
    reply = FAMILIES["stable-image"].parse(json.dumps(body).encode())
    assert reply.filtered
    assert sum(map(len, filter(None, reply.finish_reasons))) <= 10_000


def parses_or_complains(family: Family, body: bytes) -> None:
    """A reply of one outcome, or a ReplyError; any other exception is a failure of the test."""
    try:
        reply = family.parse(body)
    except ReplyError:
        return
    assert sum([bool(reply.images), reply.filtered, reply.inference_error]) == 1
    assert all(artifact.data for artifact in reply.images)
    assert len(reply.finish_reasons) >= len(reply.images)
