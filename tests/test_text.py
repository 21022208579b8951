"""The words of a complaint."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.text import closest, did_you_mean, duration, escaped, quoted, usd

NAMES = ("aspect_ratio", "negative_prompt", "id", "png", "jpeg", "K_EULER", "photographic")


class TestNearest:
    @pytest.mark.parametrize(
        ("given_name", "meant"),
        [
            ("aspect-ratio", "aspect_ratio"),
            ("ASPECT RATIO", "aspect_ratio"),
            ("aspectRatio", "aspect_ratio"),
            ("apsect_ratio", "aspect_ratio"),
            ("negativ_promt", "negative_prompt"),
            ("di", "id"),
            ("gpn", "png"),
            ("PNG", "png"),
            ("jpg", "jpeg"),
            ("k-euler", "K_EULER"),
            ("photografic", "photographic"),
        ],
    )
    def test_a_slip_finds_the_name(self, given_name, meant):
        """Case, joints, swapped, missing and wrong letters find the name that was meant."""
        assert closest(given_name, NAMES) == meant

    @pytest.mark.parametrize("name", ["", "colour", "x", "🎨", "\x1b[2J", "--"])
    def test_a_stranger_finds_none(self, name):
        """What resembles no name is not guessed at."""
        assert closest(name, NAMES) is None

    def test_nothing_allowed_is_near_nothing(self):
        """Without names there is no nearest one."""
        assert closest("aspect_ratio", ()) is None

    @given(st.text(), st.lists(st.text(max_size=20), max_size=10))
    def test_the_answer_is_one_of_the_allowed(self, name, allowed):
        """Any text and any names give one of the names or none; a name itself is near to a name."""
        answer = closest(name, iter(allowed))
        assert answer is None or answer in allowed
        if allowed and len(allowed[0]) <= 20:
            assert closest(allowed[0], allowed) is not None

    def test_a_huge_name_is_cut_before_it_is_compared(self):
        """A megabyte in the place of a name answers at once, and with none."""
        assert closest("x" * 1_000_000, NAMES) is None


class TestShown:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("1:2", '"1:2"'),
            ("", '""'),
            ("Käse 漢字", '"Käse 漢字"'),
            ("a\x1b[31mb", r'"a\x1b[31mb"'),
            ("a\r\nb\u2028", r'"a\r\nb\u2028"'),
            ("\u202eabc\ud800", r'"\u202eabc\ud800"'),
            (None, "null"),
            (True, "true"),
            (False, "false"),
            (7, "7"),
            (1.5, "1.5"),
            (float("nan"), "nan"),
            ([1, "a"], "[1, 'a']"),
            ({}, "{}"),
        ],
    )
    def test_a_value_is_shown_as_it_was_written(self, value, text):
        """Texts in quotes with harmless escapes, the rest as in YAML or Python."""
        assert quoted(value) == text

    def test_a_long_value_is_cut(self):
        """Sixty characters tell which value is meant, or as many as the caller asks for."""
        assert quoted("x" * 61) == '"' + "x" * 60 + '…"'
        assert quoted("x" * 60) == '"' + "x" * 60 + '"'
        assert quoted("x" * 61, longest=100) == '"' + "x" * 61 + '"'
        assert quoted(12345, longest=5) == "12345"
        assert quoted(12345, longest=4) == "1234…"
        assert len(quoted(list(range(10**5)))) <= 61

    def test_no_value_is_too_odd(self):
        """Numbers too long to write, cycles and depth are shown without a failure."""
        cycle: list[object] = []
        cycle.append(cycle)
        deep: list[object] = []
        for _ in range(10_000):
            deep = [deep]
        for value in (10**5000, cycle, deep, [10**5000], object(), b"\x00"):
            assert quoted(value).isprintable()
            assert len(quoted(value)) <= 61


@given(st.text(st.characters()))
def test_a_printable_text_steers_no_terminal(text):
    """What is left is printable; what was printable is left as it was."""
    assert escaped(text).isprintable()
    assert all(character in escaped(text) for character in text if character.isprintable())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (40, "40 s"),
        (59.6, "1 min"),
        (540, "9 min"),
        (545, "9 min 5 s"),
        (3_599.6, "1 h"),
        (3_905, "1 h 5 min"),
        (93_600, "26 h"),
    ],
)
def test_a_length_of_time(seconds, text):
    """Whole numbers and their units, of two units at most."""
    assert duration(seconds) == text


def test_an_amount_of_money():
    """Two decimals and the currency; one that is not known is said to be that."""
    assert usd(Decimal("0.4")) == "0.40 USD"
    assert usd(None) == "an unknown sum"


def test_a_name_that_was_probably_meant():
    """The end of a sentence, where there is one."""
    assert did_you_mean("seed") == '; did you mean "seed"?'
    assert did_you_mean(None) == ""
