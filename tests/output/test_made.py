"""What the audit of earlier images reads of a record, and of what is none any more."""

import json

import pytest
from fakes import NOON, make_image, make_record
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.output.made import read_made
from batchgen.output.manifest import parse_object

RECORD = make_record(images=(make_image(), make_image(path="images/other.webp", format="webp")))
LINE = RECORD.to_json()


def told(made):
    """As the fields of a line tell it."""
    return [(each.path, each.sha256, each.bytes, each.format) for each in made.images]


def test_it_is_what_the_record_says():
    """Of each image the file, and when the line was written."""
    made = read_made(LINE)

    assert told(made) == [
        (each.path, each.sha256, each.bytes, each.format) for each in RECORD.images
    ]
    assert made.finished_at == NOON


@given(st.integers(0, len(LINE)), st.integers(0, 2), st.binary(max_size=2))
@example(LINE.index(b"run-1"), 1, b"\xff")
@example(LINE.index(b"run-1"), 0, b"\n")
@example(LINE.index(b"run-1"), 1, b"\\ud800")
@example(LINE.index(b"run_id"), 1, b"\\ud800")
@example(LINE.index(b"width"), 1, b"\\ud800")
@example(LINE.index(b'"sha256"'), 0, b"\0")
def test_a_damaged_line_is_no_record(at, gone, come):
    """Whatever bytes are lost or changed, also in what is not looked at: all of it must be JSON."""
    line = LINE[:at] + come + LINE[at + gone :]

    made, fields = read_made(line), parse_object(line)

    if made is not None:
        images = [(each["path"], each["sha256"], each["bytes"], each["format"])
                  for each in fields["images"]]  # fmt: skip
        assert told(made) == images


def test_a_line_that_is_too_deep_is_no_record():
    """In a field that nobody knows, too: it is as if the line were torn."""
    depth = 100_000
    line = LINE[:-2] + b', "more": ' + b"[" * depth + b"]" * depth + b"}\n"

    assert read_made(line) is None


@pytest.mark.parametrize("text", ["a \ud800", "ä", "\x00"])
def test_texts_that_few_parsers_take_damage_nothing(text):
    """Half a letter in the message of a service is no reason to make an image again."""
    fields = {**json.loads(LINE), "label": text}

    for line in (json.dumps(fields), json.dumps(fields, ensure_ascii=False)):
        data = line.encode(errors="surrogatepass")
        assert (read_made(data) is None) == (parse_object(data) is None)


@pytest.mark.parametrize(
    "change",
    [{"images": []}, {"images": [1]}, {"images": None}, {"finished_at": "2026-11-21T12:00:00"}],
)
def test_what_names_no_files_is_none(change):
    """So the file under the name of its task is looked at instead."""
    assert read_made(json.dumps({**json.loads(LINE), **change}).encode()) is None
