"""Whatever a job says, `check`, `count`, `expand` and `task_ids` tell one story."""

from collections import Counter
from decimal import Decimal
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job
from batchgen.models import FAMILIES, MODELS
from batchgen.plan import prepare
from batchgen.plan.file_names import comparable
from batchgen.task import compact, task_id

CORE = "stability.stable-image-core-v1:1"
SD3_5 = "stability.sd3-5-large-v1:0"
XL = "stability.stable-diffusion-xl-v1"

texts = st.sampled_from(
    [
        "a mug",
        "a {thing}",
        "{id} {variant}",
        "seed {seed}",
        "{{brace}}",
        "{thing}{variant}",
        "Ä",
        "",
    ]
)
seeds = st.integers(1, 5) | st.sampled_from([4_294_967_290, 4_294_967_295])
models = st.sampled_from([CORE, SD3_5, XL])
parameters = st.sampled_from(
    [{}, {"negative_prompt": "fog"}, {"negative_prompt": "fog {seed}"}, {"aspect_ratio": "{shape}"}]
)
items = st.builds(
    Item,
    id=st.sampled_from(["a", "A", "b", "b-1", "mug", "mug-1", "É"]),
    prompt=st.none() | texts.filter(bool),
    model=st.none() | models,
    seed=st.none() | seeds,
    variants=st.none() | st.integers(1, 12),
    parameters=parameters,
    vars=st.sampled_from([{}, {"thing": "mug"}, {"shape": "16:9"}, {"thing": "a/b", "shape": "x"}]),
)
jobs = st.builds(
    Job,
    name=st.just("j"),
    endpoint=st.just("simulator"),
    model=models,
    prompt=texts.filter(bool),
    items=st.lists(items, min_size=1, max_size=5, unique_by=lambda item: item.id).map(tuple),
    seed=st.sampled_from(["derived", "random", 1, 7]),
    variants=st.integers(1, 4),
    fallback=st.sampled_from([(), (SD3_5,), (XL, CORE)]),
    vars=st.sampled_from([{}, {"thing": "cup", "shape": "1:1"}]),
    file_name=st.sampled_from(
        ["{id}-{variant}", "{id}{variant}", "{thing}/{id}-{seed}", "{id}-{seed}-{variant}", "{id}"]
    ),
)


def complaints(call):
    """What a job is refused for; empty if it is not."""
    try:
        call()
    except JobError as error:
        return [each.text for each in error.complaints]
    return []


@settings(max_examples=120, deadline=None)
@given(jobs)
def test_a_job_that_is_right_is_one_story(job):
    """Counts, ids, prices and seeds agree; no two tasks share a file or a request."""
    found = complaints(lambda: plan.check(job, random_seed_key="k"))
    if found:
        assert reasons_are_true(job, found)
        return
    summary = plan.check(job, random_seed_key="k")
    tasks = list(plan.expand(job, random_seed_key="k"))

    assert summary.tasks == plan.count(job) == len(tasks)
    assert [task.id for task in tasks] == list(plan.task_ids(job, random_seed_key="k"))
    assert all(task.id == task_id(task.model_id, task.request) for task in tasks)
    assert all(task.seed == task.request["seed"] > 0 for task in tasks)
    assert summary.price_usd == sum((task.price_usd for task in tasks), Decimal(0))
    assert {each.model_id: each.tasks for each in summary.models} == Counter(
        task.model_id for task in tasks
    )
    assert len({task.id for task in tasks}) == len(tasks)
    assert len({comparable(task.file_stem) for task in tasks}) == len(tasks)


@settings(max_examples=60, deadline=None)
@given(jobs, st.data())
def test_tasks_that_are_picked_are_those_of_the_whole(job, data):
    """`wanted` leaves out, and changes nothing else; what a fallback may make, it can make."""
    if complaints(lambda: plan.check(job, random_seed_key="k")):
        return
    tasks = list(plan.expand(job, random_seed_key="k"))
    picked = data.draw(st.sets(st.integers(0, len(tasks) - 1)))

    def wanted(start, end):
        return sorted(index for index in picked if start <= index < end)

    some = plan.expand(job, random_seed_key="k", wanted=wanted)
    assert list(some) == [tasks[index] for index in sorted(picked)]
    files = plan.JobPlan(job).files(random_seed_key="k", wanted=wanted)
    expected = [
        (index, compact(tasks[index].id), tasks[index].file_stem) for index in sorted(picked)
    ]
    assert list(files) == expected
    substitutes = plan.Substitutes(job)
    for task in tasks:
        for name in task.fallback:
            assert substitutes.of_model(task, task, name).model_id == name


ODD = {
    "id": ["com", "a/..", "~", "é", "y" * 199],
    "prompt": ["a cup", "{thing} {thing}", "{seed}", "a {", "{no}", " ", "x" * 10_001],
    "negative_prompt": ["", "fog", "{thing}", "{", "{seed}", "x" * 10_001],
    "model": [CORE, XL, "no.such-model-v1:0"],
    "family": ["sdxl", CORE],
    "seed": [3, 4_294_967_290, 4_294_967_295],
    "variants": [1, 7],
    "fallback": [(), (XL,), (SD3_5,)],
    "parameters": [
        {"mode": "text-to-image"},
        {"mode": "image-to-image"},
        {"negative_prompt": "rain"},
        {"mode": "fog"},
        {"steps": 30},
        {"steps": 50},
        {"steps": True},
        {"cfg_scale": 0.0},
        {"cfg_scale": -0.0},
        {"text_prompts": [{"text": "a dog"}]},
    ],
    "vars": [{}, {"shape": "4:5"}, {"thing": "/"}, {"thing": "y" * 600_000}],
}
"""Values of an item, each of which may make it another kind of item, or a wrong one."""
BASES = (
    {},
    {"prompt": "a plate"},
    {"negative_prompt": "snow", "fallback": (XL,)},
    {"parameters": {"negative_prompt": "fog"}, "vars": {"thing": "jug"}, "seed": 4_294_967_289},
)
JOBS = (
    {"prompt": "a mug", "vars": {"thing": "cup"}},
    {"prompt": "a {thing} of {id}", "on_filtered": {"fallback_prompt": "a {thing} {seed}"}},
    {"prompt": "{id}", "model": XL, "file_name": "{thing}/{id}"},
    {"prompt": "{id}{id}{thing}", "file_name": "{variant}{id}", "seed": 7, "variants": 2},
)
pairs = st.tuples(
    st.sampled_from(JOBS),
    st.sampled_from(BASES),
    st.lists(
        st.sampled_from([(key, value) for key, values in ODD.items() for value in values]),
        min_size=1,
        max_size=2,
    ),
)


def job_of(settings, base, odd):
    """Two items that are alike, then one with each odd value, and one with all of them."""
    usual = {"vars": {"thing": "mug"}, **base}
    rest = [{**usual, "id": f"c{number}", key: value} for number, (key, value) in enumerate(odd)]
    items = [{**usual, "id": "a"}, {**usual, "id": "b"}, *rest, {**usual, "id": "d", **dict(odd)}]
    named = {"name": "j", "endpoint": "simulator", "model": CORE, "items": items}
    return Job(**{**named, **settings})


def story(job):
    """All that a plan says of a job: its complaints, or its summary and its tasks."""
    try:
        return plan.check(job, random_seed_key="k"), list(plan.expand(job, random_seed_key="k"))
    except JobError as error:
        return error.complaints


def both_stories(job):
    """What a plan says, and what it would say if it planned each item as if it were the first."""
    told = story(job)
    with mock.patch.object(prepare, "MOST_KINDS", 0):
        return told, story(job)


def test_an_item_that_is_like_others_makes_what_it_makes_by_itself():
    """What is worked out once for all items of a kind changes no complaint, no id and no price."""
    for job, base in ((0, 0), (0, 3), (1, 0), (1, 2), (2, 1), (3, 0), (3, 3)):
        for key, values in ODD.items():
            for value in values:
                told, by_itself = both_stories(job_of(JOBS[job], BASES[base], [(key, value)]))
                assert told == by_itself, (job, base, key, value)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_odd_items_change_nothing_of_others(pair):
    """Whatever two of them bring together."""
    told, by_itself = both_stories(job_of(*pair))
    assert told == by_itself


def test_most_items_of_a_long_job_are_planned_as_like_another_one():
    """The parameters that all share are looked at once."""
    job, family = (
        job_of(JOBS[3], BASES[0], [("seed", 3), ("variants", 1)]),
        FAMILIES[MODELS[CORE].family],
    )
    with mock.patch.object(family, "problems", wraps=family.problems) as looked_at:
        plan.check(job)
    assert looked_at.call_count == 1


def reasons_are_true(job, found):
    """A job is refused for something that shows when its tasks are made one by one."""
    clashes = [text for text in found if "write the same file" in text or "the same image" in text]
    if len(clashes) < len(found):
        return True  # a value that is wrong by itself, which other tests hold
    tasks = list(plan.expand(job, random_seed_key="k"))
    names = {comparable(task.file_stem) for task in tasks}
    return min(len(names), len({task.id for task in tasks})) < len(tasks)
