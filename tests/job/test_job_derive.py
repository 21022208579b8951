"""What a job says of sizes and formats that are derived of its images."""

import pytest

from batchgen import job, plan
from batchgen.errors import JobError
from batchgen.job import Derivative, Job, Steps
from batchgen.text import dotted

HEAD = "name: a\nmodel: stability.stable-image-core-v1:1\nitems: [{id: a, prompt: a}]\n"


def read(text):
    return job.parse("job.yaml", (HEAD + text).encode())


def wrong(text):
    """Path, line and text of each complaint."""
    with pytest.raises(JobError) as caught:
        plan.check(read(text))
    return [(dotted(each.path), each.line, each.text) for each in caught.value.complaints]


def test_the_example_of_the_contract():
    """All keys of one entry; what is left out is not ordered."""
    text = 'derive: [{suffix: "-800", width: 800, format: webp, quality: 82}]'
    (found,) = read(text).derive
    assert found == Derivative(suffix="-800", width=800, format="webp", quality=82)
    assert found.settings == {"width": 800, "format": "webp", "quality": 82, "fit": "contain"}


def test_a_suffix_without_quotes_is_a_text():
    """For YAML, -800 is a number."""
    (found,) = read("derive: [{suffix: -800, width: 800}]").derive
    assert found.suffix == "-800"


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", "#ffffff"), ("'#EEE'", "#eeeeee"), ("'#f4F4f4'", "#f4f4f4"), ("Grey", "#808080")],
)
def test_colours(text, colour):
    """By name, or in three or six digits; one form for all."""
    (found,) = read(f"derive: [{{suffix: x, width: 8, background: {text}}}]").derive
    assert found.background == colour


def test_ids_of_tasks_do_not_depend_on_it():
    """They are pure functions of the request."""
    one, other = (
        [task.id for task in plan.expand(read(text))]
        for text in ("", "derive: [{suffix: x, width: 8}]")
    )
    assert one == other


@pytest.mark.parametrize(
    ("entry", "key", "said"),
    [
        ("{width: 8}", "derive[0].suffix", "is missing"),
        ("{suffix: a/b, width: 8}", "derive[0].suffix", "no . at the end"),
        ("{suffix: '..', width: 8}", "derive[0].suffix", "no . at the end"),
        ("{suffix: '', width: 8}", "derive[0].suffix", "no . at the end"),
        ("{suffix: x, width: 0}", "derive[0].width", "1 to 16,383"),
        ("{suffix: x, height: 8.5}", "derive[0].height", "1 to 16,383"),
        ("{suffix: x, width: 8, format: jpg}", "derive[0].format", "png, jpeg or webp"),
        ("{suffix: x, width: 8, quality: 101}", "derive[0].quality", "1 to 100"),
        ("{suffix: x, width: 8, format: png, quality: 9}", "derive[0].quality", "no meaning"),
        ("{suffix: x, width: 8, fit: covr}", "derive[0].fit", 'did you mean "cover"?'),
        ("{suffix: x, width: 8, fit: cover}", "derive[0].fit", "needs a width and a height"),
        ("{suffix: x, width: 8, background: '#12'}", "derive[0].background", "a colour in quotes"),
        ("{suffix: x, width: 8, widht: 9}", "derive[0].widht", 'did you mean "width"?'),
        ("{suffix: x}", "derive[0]", "changes nothing"),
        ("{suffix: x, width: 16000, height: 9000, fit: cover}", "derive[0]", "at most 64,000,000"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(entry, key, said):
    """As of every other key."""
    ((found, line, text),) = wrong(f"derive:\n  - {entry}")
    assert (found, line) == (key, 5)
    assert said in text


def test_a_suffix_stands_once():
    """Upper and lower case are one for some file systems."""
    ((found, line, text),) = wrong(
        "derive:\n  - {suffix: -X, width: 8}\n  - {suffix: -x, width: 9}"
    )
    assert (found, line) == ("derive[1].suffix", 6)
    assert "derive[0]" in text


@pytest.mark.parametrize("text", ["derive: 5", "derive: {suffix: x}", "derive:"])
def test_it_is_a_list(text):
    """Anything else is refused."""
    ((found, line, _),) = wrong(text)
    assert (found, line) == ("derive", 4)


def test_of_a_chain_the_last_image_counts_or_what_a_step_orders():
    """What other steps of the item take is not finished; what only other items take is."""
    cut = {"model": "us.stability.stable-image-remove-background-v1:0"}
    job = Job(
        name="a",
        model="m",
        items=[{"id": "a"}],
        steps=[
            {"id": "one"},
            {"id": "two", **cut, "parameters": {"image": "@one"}},
            {"id": "three", **cut, "parameters": {"image": "@two"}},
            {"id": "four", **cut, "parameters": {"image": "@item:a/three"}, "derive": []},
            {"id": "five", **cut, "derive": [{"suffix": "y", "width": 9}]},
        ],
        derive=[{"suffix": "x", "width": 8}],
    )
    found = {step: [each.suffix for each in made] for step, made in Steps(job).derived.items()}
    assert found == {"one": [], "two": [], "three": ["x"], "four": [], "five": ["y"]}


@pytest.mark.parametrize(
    ("derive", "key", "said"),
    [
        ("{suffix: x}", "steps[0].derive", "allowed: a list of mappings"),
        ("[{suffix: x}]", "steps[0].derive[0]", "changes nothing"),
        ("[{width: 5}]", "steps[0].derive[0].suffix", "is missing"),
        ("[{suffix: x, widht: 5}]", "steps[0].derive[0].widht", 'did you mean "width"?'),
    ],
)
def test_what_is_wrong_of_a_step_is_said(derive, key, said):
    """With its place."""
    ((found, _, text),) = wrong(f"steps:\n  - {{id: one, derive: {derive}}}")
    assert found == key
    assert said in text


def test_a_program_may_order_it_too():
    """With the same values."""
    found = Job(name="a", model="m", items=[{"id": "a"}], derive=[{"suffix": "x", "width": 8}])
    assert found.derive[0].width == 8
