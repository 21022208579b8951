"""Templates take plain names and nothing else, and values are taken literally."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.plan.templates import PlaceholderError, compiled, compiled_nested, unknown

ONLY = "only a plain name may stand in braces, such as {id}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{a}", "A"),
        ("{a}{b}", "AB"),
        ("x {a} y {b} z {a}", "x A y B z A"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{A}"),
        ("{{", "{"),
        ("}}", "}"),
        ("{{}}", "{}"),
        ("{straße}-{a-b}-{_x}", "S-AB-X"),
    ],
)
def test_names_are_replaced_and_doubled_braces_are_braces(text, expected):
    """The whole language, in one table."""
    values = {"a": "A", "b": "B", "straße": "S", "a-b": "AB", "_x": "X"}

    assert compiled(text).render(values) == expected


@pytest.mark.parametrize(
    "inside",
    [
        "",
        " ",
        "a.b",
        "a[0]",
        "a!r",
        "a:>9",
        "a:9999999999",
        "0",
        "1a",
        " a",
        "a ",
        "a\n",
        "-a",
        "__class__.__init__.__globals__",
        "a b",
        "a()",
        "a|upper",
    ],
)
def test_what_is_no_plain_name_is_refused(inside):
    """No attributes, indices, conversions or formats: each of them would be code."""
    with pytest.raises(PlaceholderError) as refused:
        compiled(f"x{{{inside}}}")

    assert str(refused.value).endswith(f" is no placeholder: {ONLY}")


@pytest.mark.parametrize(
    ("text", "brace", "at"),
    [
        ("{", "{", 1),
        ("ab}", "}", 3),
        ("{a", "{", 1),
        ("{a{b}", "{", 1),
        ("{a}}", "}", 4),
        ("{{{", "{", 3),
        ("a" * 1000 + "}", "}", 1001),
    ],
)
def test_a_brace_without_a_partner_is_refused_with_its_place(text, brace, at):
    """And the sentence says how to write the brace itself."""
    with pytest.raises(PlaceholderError) as refused:
        compiled(text)

    assert str(refused.value) == (
        f"the {brace} at character {at:,} has no partner; write {brace * 2} for the brace itself"
    )


@given(st.text())
def test_a_value_is_never_read_as_a_template(value):
    """Braces in a value stay braces."""
    assert compiled("<{a}|{b}>").render({"a": value, "b": "{a}"}) == f"<{value}|{{a}}>"


@given(st.text())
def test_doubling_the_braces_of_any_text_gives_the_text(text):
    """So that everything can be said."""
    doubled = text.replace("{", "{{").replace("}", "}}")

    assert compiled(doubled).render({}) == text


@given(st.text(alphabet="{}ab.-[ 1"))
def test_any_text_is_a_template_or_refused(text):
    """Never another error; and what is a template renders."""
    try:
        template = compiled(text)
    except PlaceholderError:
        return
    assert len(template.literals) == len(template.names) + 1
    assert template.render(dict.fromkeys(template.names, "")) == "".join(template.literals)


def test_a_name_without_a_value_is_an_error():
    """Not an empty text."""
    with pytest.raises(KeyError):
        compiled("{a}").render({})


def test_binding_leaves_only_the_names_without_a_value():
    """And what is rendered later is the same as if rendered at once."""
    template = compiled("1{a}2{b}3{a}4")
    bound = template.bind({"a": "{b}"})

    assert (bound.literals, bound.names) == (("1{b}2", "3{b}4"), ("b",))
    assert bound.render({"b": "B"}) == template.render({"a": "{b}", "b": "B"})


def test_an_unknown_name_is_told_with_the_nearest():
    """Each unknown name has a sentence of its own."""
    said = unknown(compiled("{produkt} {id} {zzz}"), ["product", "id"])

    assert said == {
        "produkt": '"{produkt}" has no value; allowed: id, product; did you mean "{product}"?',
        "zzz": '"{zzz}" has no value; allowed: id, product',
    }


def test_a_complaint_lists_thirty_names_at_most():
    """A job may have thousands of variables."""
    allowed = [f"v{number:04}" for number in range(1_031)]

    said = unknown(compiled("{zzz}"), allowed)["zzz"]

    assert said.endswith(", v0029 and 1,001 more")
    assert unknown(compiled("{zzz}"), allowed[:30])["zzz"].endswith(", v0029")


def test_every_text_of_a_nested_value_is_a_template():
    """Keys and what is no text stay; each leaf knows its place."""
    value = {"a": ["{x}", 1, None, {"b": "-{x}-", "{x}": True}], "c": "{{}}", "d": 1.5}

    made = compiled_nested(value)

    assert made.render({"x": "X"}) == {
        "a": ["X", 1, None, {"b": "-X-", "{x}": True}],
        "c": "{}",
        "d": 1.5,
    }
    assert [leaf.path for leaf in made.leaves] == [("a", 0), ("a", 3, "b")]
    assert made.errors == ()


def test_what_is_no_template_in_a_nested_value_is_told_with_its_place():
    """All of it at once."""
    made = compiled_nested({"a": ["{", "ok"], "b": {"c": "{x.y}"}})

    assert [error.path for error in made.errors] == [("a", 0), ("b", "c")]
    assert made.render({}) == {"a": ["{", "ok"], "b": {"c": "{x.y}"}}


@given(st.lists(st.sampled_from(["{{", "}}", "{a}", "{b}", "x", ""])))
def test_what_is_bound_renders_as_what_is_not(parts):
    """A value that is known before the others changes nothing in the end."""
    template = compiled("".join(parts))
    values = {"a": "A{", "b": "B"}

    assert template.bind({"a": "A{"}).render(values) == template.render(values)


@pytest.mark.parametrize("text", ["{{", "x{{y}}", "{a}"])
def test_a_long_text_takes_as_long_as_it_is(text):
    """A job file may hold 16 MB in one text; ten times as much takes ten times as long."""

    def steps(count):
        began = time.process_time()
        compiled(text * count).bind({"a": "A"}).render({})
        return time.process_time() - began

    assert min(steps(100_000) for _ in range(3)) < 60 * max(steps(10_000) for _ in range(3)) + 0.1
