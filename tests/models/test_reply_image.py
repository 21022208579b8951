"""A large image is decoded where it lies in the body; nobody can tell that from the reply."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.models import FAMILIES, ReplyError, replies

LONG = base64.b64encode(bytes(range(256)) * 3).decode()
OTHER = base64.b64encode(b"another picture" * 9).decode()

TEXTS = st.sampled_from(
    [
        *(
            LONG,
            OTHER,
            LONG[:-1],
            LONG[:-4],
            LONG.replace("+", "-"),
            f"data:image/png;base64,{LONG}",
        ),
        *("", "AAAA", LONG + "\n", LONG + "é", '","images":["' + LONG, "\\", '"'),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
KEYS = ["images", "seeds", "finish_reasons", "artifacts", "base64", "seed", "finishReason", "x"]
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
ARTIFACTS = st.fixed_dictionaries(
    {},
    optional={
        "seed": VALUES,
        "base64": TEXTS,
        "finishReason": st.sampled_from(["SUCCESS", "CONTENT_FILTERED", "ERROR", None, 7]),
    },
)
REPLIES = st.one_of(
    OBJECTS,
    st.fixed_dictionaries(
        {"images": st.lists(TEXTS, max_size=3)},
        optional={
            "seeds": st.lists(st.integers(0, 9), max_size=3),
            "finish_reasons": st.lists(
                st.sampled_from([None, "Filter reason: prompt", "Inference error"]), max_size=3
            ),
        },
    ),
    st.fixed_dictionaries({"artifacts": st.lists(ARTIFACTS, max_size=3)}, optional={"x": OBJECTS}),
)


@st.composite
def bodies(draw):
    """Bodies as services, proxies and enemies send them."""
    fields = draw(REPLIES)
    pairs = draw(st.permutations(list(fields.items())))
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", "), (" :\n", "\t,")]))
    is_ascii = draw(st.booleans())

    def told(value):
        return json.dumps(value, separators=(comma, colon), ensure_ascii=is_ascii)

    twice = draw(st.sampled_from([[], pairs[:1]]))
    inside = comma.join(f"{told(key)}{colon}{told(value)}" for key, value in [*pairs, *twice])
    text = "{" + inside + "}"
    text = draw(st.sampled_from([text, text.replace("/", r"\/"), f"[{text}]", text + " <html>"]))
    data = bytearray(text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))))
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=1)):
        data[place] = draw(st.sampled_from(b'"\\[]{},:A\0\xff'))
    return bytes(data[: draw(st.none() | st.integers(0, len(data)))])


def parsed(family, body):
    """The reply, or the error."""
    try:
        return FAMILIES[family].parse(body)
    except ReplyError as error:
        return str(error)


PLAIN = json.dumps({"seeds": [7], "finish_reasons": [None], "images": [LONG]}).encode()


@pytest.mark.parametrize("family", ["stable-image", "sdxl"])
@given(body=bodies())
@example(body=PLAIN)
@example(body=json.dumps({"artifacts": [{"base64": LONG, "seed": 7}]}).encode())
@example(body=f'{{"images":["{LONG}"],"images":["{OTHER}"]}}'.encode())
@example(body=f'{{"x":{{"images":["{LONG}"]}},"images":["{OTHER}"]}}'.encode())
@example(body=f'{{"images":[["{LONG}"]],"x":"images"}}'.encode())
def test_both_ways_give_the_same_reply_or_the_same_error(family, body):
    """Whatever the body is: escapes, keys twice, several images, another order, cut, damaged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replies, "LARGE", 1 << 40)
        whole = parsed(family, body)
        patch.setattr(replies, "LARGE", 8)
        assert parsed(family, body) == whole


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_usual_reply_is_parsed_without_its_image(monkeypatch, separators):
    """No parser sees the megabytes."""
    seen, parse = [], replies.from_json
    monkeypatch.setattr(replies, "from_json", lambda body: (seen.append(len(body)), parse(body))[1])
    image = base64.b64encode(bytes(200_000)).decode()
    body = json.dumps({"seeds": [7], "images": [image]}, separators=separators).encode()
    (made,) = FAMILIES["stable-image"].parse(body).images
    body = json.dumps({"artifacts": [{"seed": 7, "base64": image}]}, separators=separators).encode()
    (other,) = FAMILIES["sdxl"].parse(body).images
    assert made.data == other.data == bytes(200_000)
    assert max(seen) < 200
