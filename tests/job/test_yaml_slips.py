"""What is no YAML is one complaint with line, column, a caret and advice by the commonest slips."""

import pytest

from batchgen import job
from batchgen.errors import JobError


def complaint(text):
    with pytest.raises(JobError) as caught:
        job.parse("j.yaml", text.encode())
    (found,) = caught.value.complaints
    return found


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("prompt: Sale: a mug", (1, 13), 'put a text that has ": " in quotes'),
        ("items:\n- {id: a, prompt: Sale: mug}", (2, 23), 'put a text that has ": " in quotes'),
        ("prompt: Note:\nname: a", (1, 13), 'put a text that has ": " in quotes'),
        ('prompt: "a "blue" mug"', (1, 13), 'inside it, write \\" for "'),
        ("prompt: 'it's blue'", (1, 13), "inside it, write '' for '"),
        ('- {id: a, prompt: "a "blue" mug"}', (1, 23), 'inside it, write \\" for "'),
        ("limits:\n\tconcurrency: 1", (2, 1), "a tab indents this line"),
        ("items:\n- id: a\n\tprompt: b", (3, 1), "a tab indents this line"),
        ("items:\n  - id: a\n     prompt: b", (3, 12), "indented further than the key above"),
        ("items:\n  - id: a\n prompt: b", (3, 2), "indented otherwise than the keys above"),
        ("limits:\n    until: x\n  concurrency: 2", (3, 3), "indented otherwise"),
        ("items:\n  - id: a\n  prompt: b", (3, 3), 'without "- ": check the indent'),
        ("prompt: {product} on white", (1, 19), "a text that begins with { must stand in quotes"),
        ("prompt: *star* mug", (1, 9), "a text that begins with * must stand in quotes"),
        ("prompt: *star", (1, 9), "a text that begins with * must stand in quotes"),
        ("prompt: & Sons", (1, 9), "a text that begins with & must stand in quotes"),
        ("prompt: @home", (1, 9), "a text that begins with @ must stand in quotes"),
        ("prompt: `x`", (1, 9), "a text that begins with ` must stand in quotes"),
        ("prompt: > 3 mugs", (1, 9), "a text that begins with > must stand in quotes"),
        ("vars: {a: b\n", (1, 7), "a { is opened here and never closed"),
        ("name\nmodel: b", (2, 6), 'the line above has no ": "'),
    ],
)
def test_a_slip_has_its_place_and_its_advice(text, place, advice):
    found = complaint(text)
    assert (found.line, found.column) == place
    assert advice in found.text


def test_the_caret_stands_below_the_character():
    """Also where the line is cut, has wide letters, or what is escaped."""
    for before in ("", "茶" * 9, "\\t" * 9, "mug " * 99):
        found = complaint(f"a: 1\nb: '{before}'@x' y\nc: 1\n")
        line, caret = found.excerpt.split("\n")
        wide = sum(line.count(each) for each in "茶")
        assert line[caret.index("^") - wide] == "@"
        assert len(line) < 100


def test_an_anchor_that_nobody_names_was_meant_as_a_text():
    """YAML would drop it without a word: `&Co mugs` is "mugs"."""
    found = complaint("name: a\nmodel: m\nprompt: &Co mugs\nitems: [{id: a}]")
    assert found.line == 3
    assert "put a text that begins with & in quotes" in found.text


def test_an_anchor_that_is_named_is_none():
    made = job.parse("j.yaml", b"name: a\nmodel: m\nprompt: &p mug\nitems: [{id: a, prompt: *p}]")
    assert made.items[0].prompt == "mug"
