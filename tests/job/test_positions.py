"""Where a complaint points: the line of a key, however its value came into the document."""

import pytest

from batchgen.job import yaml_document

TEXT = """\
name: a
vars: &vars
  x: 1
  "y": 2
more: &more {z: 3, <<: *vars}
items:
- id: a
  vars: *vars
- id: b
  vars:
    <<: *more
    y: 4
- {id: c, vars: {<<: [*vars, *more]}}
-
  - deep: [1,
      2]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("name",), 1),
        (("vars", "y"), 4),
        (("items",), 6),
        (("items", 0), 7),
        (("items", 0, "vars"), 8),
        (("items", 0, "vars", "x"), 3),
        (("items", 1, "vars", "y"), 12),
        (("items", 1, "vars", "z"), 5),
        (("items", 1, "vars", "x"), 3),
        (("items", 2, "vars", "y"), 4),
        (("items", 2, "vars", "z"), 5),
        (("items", 3, 0, "deep", 1), 16),
        (("items", 0, "prompt"), 7),
        (("items", 9), 6),
        (("items", 0, "id", "x", 3), 7),
        (("nothing", "here"), 1),
    ],
)
def test_a_path_has_the_line_of_its_key_or_of_the_nearest_thing_around_it(path, line):
    assert yaml_document.parse("j.yaml", TEXT.encode()).source.positions.line(path) == line


def test_of_a_key_that_stands_twice_the_last_one_counts():
    document = yaml_document.parse("j.yaml", b"a: {x: 1}\nb: 1\na: {x: 2}\n")
    assert document.source.positions.line(("a", "x")) == 3


def test_lines_are_counted_as_editors_do():
    """By line feeds, not by what else YAML takes for the end of a line."""
    document = yaml_document.parse("j.yaml", 'a: "x\u2028y"\r\nb: "\u0085"\r\nc: 1'.encode())
    assert document.source.positions.line(("c",)) == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n  b: {c: 1}\n  d: [1, {e: 1}]\n  b: 2\n", 2),
        ('a:\n  "<<": 1\n  <<: {b: 1}\n  c: 1\n  <<: {d: 1}\n', 3),
        ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: 1\n", 3),
    ],
)
def test_a_key_that_stands_twice_says_where_it_stood_first(text, line):
    """`<<` in quotes is a key like any other."""
    (found, *_) = yaml_document.parse("j.yaml", text.encode()).complaints
    assert f"stands twice in one mapping, first in line {line}" in found.text


def test_many_keys_that_stand_twice_are_found_in_one_walk():
    """Each says where it stood first; looking for that anew took a minute for a hundred KB."""
    names = [f"k{number}: 1" for number in range(6_000)]
    text = "\n".join([*names, *names[-3_000:], *names[-3_000:]])
    (first, *_) = yaml_document.parse("j.yaml", text.encode()).complaints
    assert (first.line, first.text) == (
        6_001,
        'the key "k3000" stands twice in one mapping, first in line 3001: remove one',
    )
