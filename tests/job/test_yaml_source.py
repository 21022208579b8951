import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen.errors import JobError
from batchgen.job import yaml_document
from batchgen.job.yaml_document import MAX_BYTES, Document


def parse(text):
    return yaml_document.parse("j.yaml", text if isinstance(text, bytes) else text.encode())


def refused(text):
    with pytest.raises(JobError) as caught:
        parse(text)
    return str(caught.value)


def said(text):
    """(line, text) of what is wrong with a file that could be read."""
    return [(each.line, each.text) for each in parse(text).complaints]


@pytest.mark.parametrize(
    "word", ["no", "on", "yes", "off", "12:30", "007", "0x1F", ".inf", "2024-01-31", "+1", "1_000"]
)
def test_plain_words_of_yaml_1_1_stay_text(word):
    assert parse(f"a: {word}").value == {"a": word}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("1e3", 1e3),
    ],
)
def test_constants_and_decimal_numbers_are_values(word, value):
    found = parse(f"a: {word}").value["a"]
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)


def test_a_float_keeps_how_it_was_written():
    value = parse("a: 1.10").value["a"]
    assert value == 1.1
    assert str(value) == "1.10"


def test_a_bom_of_utf_8_is_skipped():
    assert parse(codecs.BOM_UTF8 + b"a: 1").value == {"a": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_refused(encoding):
    assert "save it as UTF-8" in refused("a: 1".encode(encoding))


def test_a_byte_that_is_not_utf_8_is_named_with_its_line():
    assert (
        refused(b"a: 1\nb: \xff") == "j.yaml:2: the byte 0xFF is not UTF-8: save the file as UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: b\n\t- c", "j.yaml:2:1: a tab indents this line: YAML wants spaces"),
        ("a: b: c", 'j.yaml:1:5: a second ": " in one line'),
        ("a: 'b\n\n", "j.yaml:1:4: a quote is opened here and never closed"),
        ("a: 1\nb: @x", "j.yaml:2:4: a text that begins with @ must stand in quotes"),
        ("a: {b} c", "j.yaml:1:8: a text that begins with { must stand in quotes"),
        ('a: "\\q"', 'j.yaml:1:5: an unknown "\\" escape'),
        ('{"a": "\\ud83d\\ude00"}', "j.yaml:1:10: half a letter, as only JSON escapes one: write"),
        ("%YAML 3.0\n---\na: 1", "j.yaml:1:1: only YAML 1.1 and 1.2 can be read"),
        ("a: 1\n---\nb: 2", "j.yaml:2:1: a second document begins here"),
        ("? [a]\n: b", "j.yaml:1:3: a mapping or a list cannot be a key"),
        ("a: &a [*a]", 'j.yaml:1:8: the alias "a" has no anchor of that name'),
    ],
)
def test_what_is_no_job_yaml_is_one_sentence_with_its_line(text, sentence):
    message = refused(text)
    assert message.startswith(sentence)
    assert message.count("\n") == 2  # the line, and a caret


def test_a_control_character_is_named_where_it_stands_after_other_alphabets():
    """The C loader counts bytes, and we count characters."""
    assert refused("é: ü\nn: \x07x\n").startswith("j.yaml:2:4: the character U+0007 may not")


def test_a_long_alias_is_cut_in_the_message():
    assert len(refused("a: *" + "b" * 5_000)) < 300


def test_a_duplicate_key_is_named_with_both_lines():
    ((line, text),) = said("a: 1\nb: 2\na: 3")
    assert line == 3
    assert text == 'the key "a" stands twice in one mapping, first in line 1: remove one'


@pytest.mark.parametrize("key", ["1", "true", "~", "1.5"])
def test_a_key_that_is_no_text_is_refused_even_after_a_quoted_one(key):
    ((line, text),) = said(f"x: {{'{key}': a}}\ny: {{{key}: b}}")
    assert line == 2
    assert text.endswith("is no text: put it in quotes")


def test_a_tag_is_refused_by_name():
    ((line, text),) = said("a: !!python/name:os x")
    assert line == 1
    assert text.startswith('a tag such as "tag:yaml.org,2002:python/name:os" has no meaning here')


def test_merged_keys_do_not_win_over_own_ones():
    value = parse("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}").value
    assert value["b"] == {"x": 1, "y": 3}


def test_a_merge_of_no_mapping_is_refused():
    assert said("<<: 3") == [(1, '"<<" takes a mapping, or a list of them')]


def test_an_alias_bomb_ends_at_the_bound():
    rows = ["a0: &a0 [x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert "keys and values, all aliases written out" in refused("\n".join(rows))


@pytest.mark.parametrize("text", ["[" * 2_000, "{a: " * 2_000, "- " * 2_000 + "x"])
def test_depth_2000_is_one_sentence(text):
    assert "more than 32 mappings and lists inside each other" in refused(text)


def test_more_than_16_mb_is_refused():
    assert refused(b"#" * (MAX_BYTES + 1)) == "j.yaml: a job file may have 16 MB at most"


@pytest.mark.parametrize("text", ["", "# c", "---", "~", " \n"])
def test_an_empty_file_says_what_a_job_needs(text):
    assert refused(text).startswith("j.yaml: the file is empty")


def test_a_number_too_large_is_refused():
    assert said("a: 1e999") == [(1, "the number 1e999 is too large")]


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "catalog.yaml").touch()
    with pytest.raises(JobError, match=r"no such file; did you mean .*catalog\.yaml"):
        yaml_document.read(tmp_path / "catalgo.yaml")


def test_a_folder_is_no_job_file(tmp_path):
    with pytest.raises(JobError, match="this is a folder"):
        yaml_document.read(tmp_path)


@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!<'\"#|>%@\t\n ,?1\\", max_size=40))
@settings(max_examples=300)
def test_any_bytes_are_a_document_or_a_job_error(data):
    try:
        assert isinstance(parse(data), Document)
    except JobError as error:
        complaints = error.complaints
    else:
        return
    assert complaints
