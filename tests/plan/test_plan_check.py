"""The whole plan is checked before any call, and all that is wrong is said at once."""

from decimal import Decimal

import pytest

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job, parse
from batchgen.plan.templates import Template

CORE = "stability.stable-image-core-v1:1"
SD3 = "stability.sd3-large-v1:0"
CUSTOM = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc"


def job_of(*items, **changes):
    given = {"name": "catalog", "endpoint": "simulator", "model": CORE, "prompt": "a mug"}
    return Job(**{**given, **changes}, items=items or (Item(id="mug"), Item(id="lamp")))


def complaints(*items, against_aws=None, **changes):
    with pytest.raises(JobError) as error:
        plan.check(job_of(*items, **changes), against_aws=against_aws)
    return str(error.value).splitlines()


def test_one_name_for_all_is_right_for_one_image_and_a_clash_for_two():
    """A file name without placeholders is no fault of the program."""
    assert plan.check(job_of(Item(id="a"), file_name="same")).tasks == 1
    assert complaints(file_name="same") == [
        (
            'job catalog: items[1]: "lamp" variant 1 would write the same file as "mug" variant 1: '
            "images/same (upper and lower case are one); rename one"
        )
    ]


@pytest.mark.parametrize(
    ("items", "file_name"),
    [
        ([Item(id="Mug"), Item(id="mug")], "{id}-{variant}"),
        ([Item(id="\xe9"), Item(id="e\u0301")], "{id}-{variant}"),
        ([Item(id="stra\xdfe"), Item(id="STRASSE")], "{id}"),
        ([Item(id="a b"), Item(id="a/b")], "{id}"),
        ([Item(id="a", variants=11), Item(id="a1")], "{id}{variant}"),
        ([Item(id="a1"), Item(id="a", variants=11)], "{id}{variant}"),
        ([Item(id="x", variants=11), Item(id="x1")], "x{variant}"),
        ([Item(id="a", seed=11), Item(id="a1", seed=1)], "{id}{seed}"),
    ],
)
def test_two_tasks_never_write_one_file(items, file_name):
    """Between items and their variants, by case and by Unicode form; both places are named."""
    (first, *_) = complaints(*items, file_name=file_name)

    assert first.startswith("job catalog: items[1]: ")
    assert " would write the same file as " in first
    assert first.count(" variant ") == 2


def test_two_tasks_never_make_one_image():
    """Not even by the seeds of variants that meet."""
    items = Item(id="a", seed=5, variants=3), Item(id="b", seed=7)

    assert complaints(*items) == [
        (
            'job catalog: items[1]: "b" variant 1 would make the same image as "a" variant 3: '
            "model, texts, parameters and seed are the same; change or remove one"
        )
    ]


@pytest.mark.parametrize(
    ("count", "changes"),
    [(10_000, {"seed": 3}), (1_000, {"file_name": "same"}), (10_000, {"model": "nope"})],
)
def test_ten_thousand_equal_mistakes_make_a_short_list(count, changes):
    """The rest is a number."""
    found = complaints(*(Item(id=f"x{n}") for n in range(count)), **changes)

    assert len(found) <= 102
    assert len(found) == 1 or " more" in found[-1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt": None}, "items[0].prompt: there is no prompt"),
        ({"model": None}, "model: is missing: name the model"),
        ({"model": "stability.stable-image-cor-v1:1"}, f'did you mean "{CORE}"?'),
        ({"prompt": "x" * 10_001}, 'prompt: "prompt" has 10,001 characters'),
        ({"prompt": "{produkt}", "vars": {"product": "x"}}, 'did you mean "{product}"?'),
        ({"parameters": {"aspect_ratio": "{x.y}"}}, "parameters.aspect_ratio: "),
        ({"parameters": {"aspect_ratio": "9:7"}}, "parameters.aspect_ratio: "),
        ({"file_name": "../{id}"}, 'file_name: the file name "../zz" has ".."'),
        ({"file_name": "/{id}"}, "must stay inside the output"),
        ({"file_name": "{id.x}"}, 'file_name: "{id.x}" is no placeholder'),
        ({"file_name": "{id}", "variants": 2}, "file_name: gives all variants of an item one"),
        ({"seed": 4_294_967_295, "variants": 2}, "seed: variant 2 would have the seed 4,294,967,"),
        ({"prices": {"stability.stable-image-cor-v1:1": 1}}, "no model of this job has that name"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(changes, expected):
    """One clear sentence."""
    assert any(expected in line for line in complaints(**changes))


@pytest.mark.parametrize("item_id", ["con", "COM\xb9", ".hidden", "\xe9" * 150])
def test_an_id_that_makes_an_unsafe_name_is_told_at_the_id(item_id):
    """The template is right, so the item is named."""
    (only,) = complaints(Item(id=item_id), file_name="{id}")

    assert only.startswith("job catalog: items[0].id: the file name ")


def test_a_number_that_makes_a_device_is_found():
    """`com` and variant 1."""
    assert "device on Windows" in complaints(Item(id="com"), file_name="{id}{variant}")[0]


def test_problems_of_a_family_have_the_line_of_their_parameter():
    """The item's own, or the job's."""
    text = f"""name: n
model: {CORE}
prompt: p
parameters:
  output_format: gif
items:
- id: a
  parameters:
    aspect_ratio: "9:7"
"""
    with pytest.raises(JobError) as error:
        plan.check(parse("j.yaml", text.encode()))

    places = [(each.line, each.path) for each in error.value.complaints]
    assert places == [
        (5, ("parameters", "output_format")),
        (9, ("items", 0, "parameters", "aspect_ratio")),
    ]


def test_a_retired_model_is_refused_by_aws_alone_and_unless_allowed():
    """Elsewhere it is a warning."""
    (only,) = complaints(model=SD3, against_aws=True)
    assert "job catalog: model: " in only
    assert "set allow_retired: true" in only
    for job, aws in (job_of(model=SD3), None), (job_of(model=SD3, allow_retired=True), True):
        (warning,) = plan.check(job, against_aws=aws).warnings
        assert "past its end of life" in warning
    assert complaints(model=SD3, endpoint="aws") == [only]


def test_a_budget_needs_the_price_of_every_model_and_the_job_may_give_it():
    """An unknown price is refused, and a given one counts."""
    given = {"model": CUSTOM, "family": "stable-image", "limits": {"budget_usd": 5}}

    assert "limits.budget_usd: cannot be kept: nobody knows" in complaints(**given)[0]
    known = plan.check(job_of(**given, prices={CUSTOM: 0.5}))
    assert known.price_usd == Decimal("1.0")
    assert plan.check(job_of(model=CUSTOM, family="stable-image")).price_usd is None
    assert plan.check(job_of(prices={CORE: 0.5})).price_usd == Decimal("1.0")


def test_more_tasks_than_a_job_may_have_are_refused_without_a_walk():
    """At once."""
    items = [Item(id=f"i{n}", variants=1_000_000) for n in range(11)]

    (only,) = complaints(*items)
    assert only.startswith("job catalog: items: the job would make 11,000,000 images; 10,000,000 ")


@pytest.mark.parametrize(
    "where",
    [
        {"prompt": "{v}" * 400},
        {"parameters": {"negative_prompt": "{v}" * 400}},
        {"file_name": "{id}" + "{v}" * 400},
        {"on_filtered": {"fallback_prompt": "{v}" * 400}},
    ],
)
def test_a_value_that_would_fill_the_memory_is_counted_before_it_is_filled_in(where, monkeypatch):
    """A few megabytes in a job file must not become gigabytes; every item is told of."""
    longest = []
    render = Template.render
    monkeypatch.setattr(
        Template, "render", lambda *given: longest.append(render(*given)) or longest[-1]
    )
    found = complaints(Item(id="a", variants=3), Item(id="b"), vars={"v": "x" * 10_000}, **where)

    text = "its texts would have 4,000,0"
    assert [line for line in found if text in line and "1,000,000 is the most" in line][1:]
    assert max(map(len, longest)) < 10_000
