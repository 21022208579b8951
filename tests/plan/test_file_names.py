"""Which file names are refused, and in which words; which values are changed, and into what."""

import unicodedata
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgen.plan import file_names

RANGES = [
    (0x00, 0x1F),
    (0x7F, 0xA0),
    (0xAD, 0xAD),
    (0x600, 0x605),
    (0x61C, 0x61C),
    (0x6DD, 0x6DD),
    (0x70F, 0x70F),
    (0x890, 0x891),
    (0x8E2, 0x8E2),
    (0x1680, 0x1680),
    (0x180E, 0x180E),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x3000, 0x3000),
    (0xD800, 0xDFFF),
    (0xFDD0, 0xFDEF),
    (0xFEFF, 0xFEFF),
    (0xFFF0, 0xFFFF),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1345F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
]
"""First and last code point of what no name may hold, from the tables of Unicode."""
FORBIDDEN = '<>:"\\|?*'
DEVICES = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
DEVICES += [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789\xb9\xb2\xb3"]


def is_safe(name):
    """Whether Windows, macOS and Linux all take it, below a folder (an independent statement)."""
    parts = name.split("/")
    return len(name.encode(errors="surrogatepass")) <= 1_000 and all(
        is_safe_part(part, is_last=index == len(parts) - 1) for index, part in enumerate(parts)
    )


def is_safe_part(part, *, is_last):
    if not part or len(part.encode(errors="surrogatepass")) > 200:
        return False
    if part.startswith((".", "-", "~", " ")) or part.endswith((".", " ")):
        return False
    if any(each in FORBIDDEN or is_invisible(each) for each in part):
        return False
    stem = part.split(".", maxsplit=1)[0].rstrip(" ").upper()
    if stem in DEVICES:
        return False
    extension = part.rpartition(".")[2].lower() if "." in part else ""
    return is_last or extension not in ("png", "jpg", "jpeg", "webp")


def is_invisible(character):
    point = ord(character)
    return any(first <= point <= last for first, last in RANGES)


CHARACTERS = st.one_of(
    st.sampled_from("ab1CONcomlpt.-~ /\\:*$é\u0301\xb9\u202e\x00\u212a\U0001f600漢"),
    st.characters(),
)
NAMES = st.one_of(
    st.text(CHARACTERS, max_size=30),
    st.lists(
        st.sampled_from(["..", ".", "", "a", "CON", "nul.txt", "com1", "x.png", "images", "é"]),
        max_size=4,
    ).map("/".join),
    st.tuples(st.sampled_from(DEVICES), st.sampled_from(["", ".", " ", ".txt", " .x", "x"])).map(
        "".join
    ),
)


@given(NAMES)
@example("con .txt")
@example("a/../b")
@example("x.PNG/a")
def test_a_name_passes_exactly_if_every_file_system_takes_it(name):
    """The check agrees with a predicate that was written without it."""
    assert (file_names.problem(name) is None) == is_safe(name)


@given(st.text(CHARACTERS, max_size=60))
def test_a_portable_value_is_one_part_and_stays_as_it_is_the_second_time(value):
    """What comes of a value holds no separator and nothing unseen, and has the same length."""
    made = file_names.portable(value)

    assert len(made) == len(value)
    assert not any(each in FORBIDDEN + " /~" or is_invisible(each) for each in made)
    assert file_names.portable(made) == made
    # With a letter before and after, only its length or nothing can be wrong with it.
    assert file_names.problem(f"x{made}x") is None or len(made.encode()) > 198


@pytest.mark.parametrize(("first", "last"), RANGES)
def test_what_cannot_be_seen_is_refused_from_the_first_to_the_last_of_its_range(first, last):
    """Each range ends where it ends: its neighbours are taken."""
    for point in (first, (first + last) // 2, last):
        assert file_names.portable(f"a{chr(point)}b") == "a-b"
        assert file_names.problem(f"a{chr(point)}b")
    for point in (first - 1, last + 1):
        if 0 < point < 0x110000 and not is_invisible(chr(point)) and chr(point) not in " ~":
            assert file_names.portable(f"a{chr(point)}b") == f"a{chr(point)}b"
            assert file_names.problem(f"a{chr(point)}b") is None


def test_no_control_format_or_separator_of_unicode_passes():
    """The written list leaves out none that this Python knows, but soft variation marks."""
    passing = [
        hex(point)
        for point in range(0x110000)
        if unicodedata.category(chr(point)) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
        and point != 0x20
        and file_names.portable(chr(point)) != "-"
    ]

    assert passing == []


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("blue mug", "blue-mug"),
        ("../../etc/passwd", "..-..-etc-passwd"),
        ("C:\\a", "C--a"),
        ("~me", "-me"),
        ('<>:"\\|?*', "--------"),
        ("a\r\nb\tc\x00d", "a--b-c-d"),
        ("evil\u202egnp", "evil-gnp"),
        ("Käse 漢字 \U0001f600", "Käse-漢字-\U0001f600"),
        ("a_b.c-d!&'()+,;=@[]^`{}#$%", "a_b.c-d!&'()+,;=@[]^`{}#$%"),
        ("", ""),
    ],
)
def test_values_are_made_portable_character_by_character(value, made):
    """A dash for each character that some file system refuses, and nothing else changes."""
    assert file_names.portable(value) == made


MUST = "where the name of a folder or a file must stand"
NOT_EVERY = "which not every file system takes"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", f'"" has "" {MUST}'),
        (".", f'"." has "." {MUST}'),
        ("..", f'".." has ".." {MUST}'),
        ("../a", f'"../a" has ".." {MUST}'),
        ("a/../b", f'"a/../b" has ".." {MUST}'),
        ("a/./b", f'"a/./b" has "." {MUST}'),
        ("a//b", f'"a//b" has "" {MUST}'),
        ("a/", f'"a/" has "" {MUST}'),
        ("/etc/x", '"/etc/x" begins with /: it must stay inside the output'),
        ("/\x00", '"/\\x00" begins with /: it must stay inside the output'),
        ("C:x", f'"C:x" has ":", {NOT_EVERY}'),
        ("a\\b", f'"a\\b" has "\\", {NOT_EVERY}'),
        ("a\x00b", f'"a\\x00b" has "\\x00", {NOT_EVERY}'),
        ("a\x1b[31m", f'"a\\x1b[31m" has "\\x1b", {NOT_EVERY}'),
        ("a\u202eb", f'"a\\u202eb" has "\\u202e", {NOT_EVERY}'),
        ("a\ud800b", f'"a\\ud800b" has "\\ud800", {NOT_EVERY}'),
        ("a?", f'"a?" has "?", {NOT_EVERY}'),
        (".a", '".a" has a part that begins with ".": put something before it'),
        ("-a", '"-a" has a part that begins with "-": put something before it'),
        ("~a", '"~a" has a part that begins with "~": put something before it'),
        (" a", '" a" has a part that begins with " ": put something before it'),
        ("b/-a", '"b/-a" has a part that begins with "-": put something before it'),
        ("-b/a", '"-b/a" has a part that begins with "-": put something before it'),
        ("a.", '"a." has a part that ends with ".": put something after it'),
        ("a ", '"a " has a part that ends with " ": put something after it'),
        ("a./b", '"a./b" has a part that ends with ".": put something after it'),
        ("CON", '"CON" has the part "CON", which is a device on Windows'),
        ("con.txt", '"con.txt" has the part "con.txt", which is a device on Windows'),
        ("a/nul/b", '"a/nul/b" has the part "nul", which is a device on Windows'),
        ("COM\xb9", '"COM\xb9" has the part "COM\xb9", which is a device on Windows'),
        ("x.png/a", '"x.png/a" has the folder "x.png", which looks like an image'),
        ("b/x.JPeG/a", '"b/x.JPeG/a" has the folder "x.JPeG", which looks like an image'),
    ],
)
def test_a_refusal_says_what_is_wrong_where(name, reason):
    """The sentence repeats the name, safe for a terminal, and the part that is wrong."""
    assert file_names.problem(name) == f"the file name {reason}"


@pytest.mark.parametrize("device", DEVICES)
def test_devices_of_windows_are_refused_with_every_extension_and_in_every_case(device):
    """Windows opens the device whatever follows a dot ("Naming files, paths, and namespaces")."""
    tails = ("", ".txt", ".tar.gz", " .x", ".\u00e9")
    for form, tail in product((device, device.lower(), device.title()), tails):
        part = form + tail
        expected = f'the file name "{part}" has the part "{part}", which is a device on Windows'
        assert file_names.problem(part) == expected
        assert file_names.problem(f"{part}/x") is not None
        assert file_names.problem(f"x/{part}") is not None


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "_",
        "mug-1",
        "a-",
        "a_",
        "a.b",
        "a b",
        "a~b",
        "a/b/c",
        "CONX",
        "XCON",
        "con-1",
        "CON1",
        "COM",
        "COM10",
        "COM-1",
        "LPT",
        "COM\u2074",
        "conin",
        "nul_",
        "x.con",
        "a/x.png",
        "x.pngs/a",
        "x.gif/a",
        "xpng/a",
        "x.jg/a",
        "\U0001f600",
        "\u6f22\u5b57",
        "\u05d0\u05d1",
        "Ka\u0308se",
    ],
)
def test_names_that_every_file_system_takes_pass(name):
    """Letters of every script and pictures are names; so is what only resembles a device."""
    assert file_names.problem(name) is None


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.jpeg", "x.webp", "x.WEBP", "x.Jpg"])
def test_a_folder_may_not_look_like_an_image_and_a_file_may(name):
    """A folder of that name would stand in the way of the image of another task."""
    expected = f'the file name "{name}/a" has the folder "{name}", which looks like an image'
    assert file_names.problem(name) is None
    assert file_names.problem(f"{name}/a") == expected


@pytest.mark.parametrize("letter", ["x", "\xe9", "\u6f22", "\U0001f600"])
def test_a_part_has_at_most_200_bytes_whatever_its_script(letter):
    """Bytes of UTF-8 count, not characters."""
    fits = letter * (200 // len(letter.encode()))
    fits += "x" * (200 - len(fits.encode()))
    shown = fits[:60] if len(fits) + 1 > 60 else fits + "x"
    more = "\u2026" if len(fits) + 1 > 60 else ""

    assert file_names.problem(fits) is None
    assert file_names.problem(f"{fits}/{fits}") is None
    assert file_names.problem(f"{fits}x") == (
        f'the file name "{shown}{more}" has a part of 201 bytes; at most 200 fit'
    )
    assert file_names.problem(f"{fits}x/a") is not None


def test_the_figures_of_a_long_part_have_their_separators():
    """Four digits read better with a comma."""
    name = file_names.problem("x" * 1_000)

    assert name is not None
    assert name.endswith("has a part of 1,000 bytes; at most 200 fit")


def test_a_path_has_at_most_1000_bytes():
    """Exactly as many fit, and one more does not."""
    fits = "/".join(["\xe9" * 99] * 4 + ["x" * 199, "b" * 4])
    assert len(fits.encode()) == 1_000

    assert file_names.problem(fits) is None
    assert str(file_names.problem(f"{fits}b")).endswith(" has 1,001 bytes; at most 1,000 fit")


@pytest.mark.parametrize("length", [1, 2, 99, 100, 101])
def test_plain_names_pass_at_every_length(length):
    """The quick way for plain names and the full check meet without a gap."""
    assert file_names.problem("x" * length) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mug", "mUG"),
        ("\xe9", "e\u0301"),
        ("\xc9", "e\u0301"),
        ("stra\xdfe", "STRASSE"),
        ("\ufb01sh", "fish"),
        ("\u212aelvin", "kelvin"),
        ("\uff21", "a"),
        ("\u03c2", "\u03a3"),
        ("\u0345", "\u03b9"),
        ("\u1e9b\u0323", "\u1e69"),
    ],
)
def test_names_that_some_file_system_takes_for_one_compare_equal(one, other):
    """By case (Windows, macOS) or by Unicode form (macOS)."""
    assert file_names.comparable(one) == file_names.comparable(other)


@pytest.mark.parametrize(
    ("name", "form"),
    [("Mug-1", "mug-1"), ("\xc9", "\xe9"), ("\uff21\xdf", "ass"), ("a/B", "a/b"), ("a", "a")],
)
def test_the_form_in_which_names_are_compared(name, form):
    """Folded and composed; what differs otherwise stays different."""
    assert file_names.comparable(name) == form


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
@example("\u0345")
@example("\u1e9b\u0323")
def test_comparing_does_not_depend_on_the_form_that_was_written(name):
    """All four Unicode forms of a name, and the folded name, are one."""
    form = file_names.comparable(name)

    assert form == file_names.comparable(form)
    assert form == file_names.comparable(file_names.normalised(name))
    assert form == file_names.comparable(unicodedata.normalize("NFD", name))
    assert form == file_names.comparable(unicodedata.normalize("NFKC", name))


@pytest.mark.parametrize(
    ("name", "form"), [("mug", "mug"), ("e\u0301", "\xe9"), ("\ufb01", "\ufb01"), ("Mug", "Mug")]
)
def test_names_are_stored_composed(name, form):
    """NFC, and no letter becomes another one."""
    assert file_names.normalised(name) == form


@pytest.mark.parametrize("name", ["com", "COM7", "lpt1", "a/com1", "a/LPT", "Compass"])
def test_what_a_digit_could_make_a_device_is_suspect(name):
    """At the beginning of any part, in any case."""
    assert file_names.may_be_reserved(name) is True


@pytest.mark.parametrize("name", ["", "a", "xcom1", "a-com1", "con", "a/xlpt", "co/m1", "XX"])
def test_what_no_digit_makes_a_device_is_not_suspect(name):
    """Most names: they are checked once and not ten times."""
    assert file_names.may_be_reserved(name) is False
