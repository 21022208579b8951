"""Which tasks a job makes: the same every time, lazily, in the order of its items."""

import tracemalloc
import unicodedata
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job, parse
from batchgen.models import FAMILIES, Prompts

CORE = "stability.stable-image-core-v1:1"
SDXL = "stability.stable-diffusion-xl-v1"


def job_of(*items, **changes):
    given_ = {"name": "catalog", "endpoint": "simulator", "model": CORE, "prompt": "a mug"}
    return Job(**{**given_, **changes}, items=items or (Item(id="mug"), Item(id="lamp")))


def test_derived_seeds_names_and_ids_never_change():
    """Golden values of a whole plan: with others, resuming would make every image again."""
    assert [(t.label, t.file_stem, t.seed, t.id) for t in plan.expand(job_of())] == [
        ("mug/1", "images/mug-1", 2485936607, "1-820e0b61d7d06141f01c66f4c15a1eb8"),
        ("lamp/1", "images/lamp-1", 2523252709, "1-2882eb3469a4afbde3f5d9ab3c3e0f9e"),
    ]


def test_the_order_of_items_and_the_layout_of_the_file_change_nothing():
    """A task is known by what it asks for."""
    head = "name: catalog\nendpoint: simulator\nmodel: " + CORE + "\nprompt: a mug\n"
    block = parse("a.yaml", (head + "items:\n- id: mug\n- id: lamp\n").encode())
    flow = parse("b.yaml", ("items: [{id: lamp}, {id: mug}]\n" + head).encode())

    assert set(plan.task_ids(block)) == set(plan.task_ids(flow)) == set(plan.task_ids(job_of()))


def test_another_job_item_or_variant_has_another_seed():
    """And adding variants leaves those that are there."""
    jobs = [job_of(variants=3), job_of(variants=2), job_of(name="other")]
    seeds = [[task.seed for task in plan.expand(job)] for job in jobs]

    assert len(set(seeds[0])) == 6
    assert [seeds[0][0], seeds[0][1], seeds[0][3], seeds[0][4]] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


def test_random_seeds_need_a_key_and_are_stable_with_it():
    """A run keeps its key, so that going on finds the same tasks."""
    job = job_of(seed="random")
    seeds = [[t.seed for t in plan.expand(job, random_seed_key=key)] for key in ("k", "k", "l")]

    assert seeds[0] == seeds[1] == [785180538, 4264745354]
    assert not set(seeds[0]) & set(seeds[2])
    for make in (plan.expand, plan.task_ids):
        with pytest.raises(ValueError, match="needs a random_seed_key"):
            next(make(job))


def test_a_fixed_seed_counts_up_over_the_variants_and_the_items_own_wins():
    """Variant 1 has the seed that is written."""
    job = job_of(Item(id="a", seed=9, variants=3), Item(id="b"), seed=5, variants=2)

    assert [task.seed for task in plan.expand(job)] == [9, 10, 11, 5, 6]


def test_placeholders_are_put_into_prompts_parameters_and_names():
    """The item's variables win; values are taken literally; live ones differ by variant."""
    job = job_of(
        Item(id="mug", vars={"thing": "{id} mug/cup"}),
        prompt="{thing} {id} {variant} {seed} {model} {{x}}",
        parameters={"negative_prompt": "no {bad} {variant}"},
        vars={"thing": "never", "bad": "fog", "unused": "x"},
        seed=7,
        variants=2,
        file_name="{thing}/{id}-{seed}-{variant}",
    )

    one, two = plan.expand(job)

    assert one.request["prompt"] == f"{{id}} mug/cup mug 1 7 {CORE} {{x}}"
    assert two.request["prompt"] == f"{{id}} mug/cup mug 2 8 {CORE} {{x}}"
    assert two.request["negative_prompt"] == "no fog 2"
    assert one.file_stem == "images/{id}-mug-cup/mug-7-1"
    assert one.vars == {"thing": "{id} mug/cup", "bad": "fog"}


def test_placeholders_are_put_into_nested_parameters():
    """At any depth."""
    prompts = [{"text": "{id} at night", "weight": 1.0}]
    job = job_of(Item(id="owl"), model=SDXL, prompt=None, parameters={"text_prompts": prompts})

    (task,) = plan.expand(job)

    assert task.request["text_prompts"][0]["text"] == "owl at night"


def test_the_first_task_of_a_huge_job_comes_at_once_and_memory_stays_the_same():
    """10,000 tasks and 200,000 take the same room, and so do those that are not wanted."""

    def peak(variants):
        job = job_of(Item(id="a", variants=variants))
        tracemalloc.start()
        some = plan.expand(job, wanted=lambda start, end: range(start, end, 20))
        assert sum(1 for _ in some) == variants // 20
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert next(plan.expand(job_of(variants=1_000_000))).label == "mug/1"
    assert peak(200_000) < peak(10_000) + 50_000


def test_tasks_that_are_not_wanted_are_not_made_and_keep_their_numbers():
    """`wanted` is asked for the running indices of each item once."""
    job, seen = job_of(Item(id="a", variants=3), Item(id="b"), Item(id="c", variants=2)), []

    def wanted(start, end):
        seen.append((start, end))
        return (index for index in (1, 4, 5) if start <= index < end)

    assert [t.label for t in plan.expand(job, wanted=wanted)] == ["a/2", "c/1", "c/2"]
    assert seen == [(0, 3), (3, 4), (4, 6)]
    assert plan.count(job) == 6


def test_a_wrong_item_is_raised_when_its_turn_comes():
    """Those before it are made."""
    tasks = plan.expand(job_of(Item(id="a"), Item(id="b", prompt="{nope}")))

    assert next(tasks).label == "a/1"
    with pytest.raises(JobError, match="nope"):
        next(tasks)


def test_patterns_choose_by_item_or_label():
    """And no pattern chooses all."""
    task = next(plan.expand(job_of()))

    assert [
        plan.matches(task, p) for p in ([], ["m*"], ["mug/1"], ["x", "mug"], ["MUG"], ["ug"])
    ] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]


IDS = st.one_of(
    st.sampled_from(["a", "A", "a1", "a-1", "a11", "1", "é", "e\u0301", "com", "ß", "ss"]),
    st.text("ab1-é漢", min_size=1, max_size=3),
)
ITEMS = st.builds(
    Item,
    id=IDS,
    prompt=st.sampled_from([None, "p", "q", "p {variant}", "{id}", "{seed}"]),
    seed=st.sampled_from([None, None, 1, 2]),
    variants=st.sampled_from([None, 1, 2, 12]),
    model=st.sampled_from([None, None, SDXL]),
    parameters=st.sampled_from([{}, {}, {"negative_prompt": "n {variant}"}]),
)
NAMES = [
    "{id}-{variant}",
    "{id}{variant}",
    "{variant}{id}",
    "{id}-{seed}",
    "{variant}",
    "x",
    "{id}",
]
NAMES += ["{id}_{variant}1", "{id}/{variant}-b", "{seed}{variant}", "{id}{variant}-{id}"]
JOBS = st.builds(
    lambda items, name, seed: job_of(*items, file_name=name, seed=seed, prompt="p"),
    st.lists(ITEMS, min_size=1, max_size=4, unique_by=lambda item: item.id),
    st.sampled_from(NAMES),
    st.sampled_from(["derived", 1]),
)


def folded(name):
    form = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", form)


@settings(max_examples=400)
@given(JOBS)
def test_a_job_that_passes_has_nothing_twice_and_one_with_something_twice_does_not(job):
    """Names (as file systems compare them) and requests are each unique, or `check` says so."""
    try:
        tasks = list(plan.expand(job))
    except JobError:
        with pytest.raises(JobError):
            plan.check(job)
        return
    names, ids = {folded(task.file_stem) for task in tasks}, {task.id for task in tasks}

    assert list(plan.task_ids(job)) == [task.id for task in tasks]
    try:
        summary = plan.check(job)
    except JobError as error:
        assert min(len(names), len(ids)) < len(tasks), error  # noqa: PT017 - both ways are right
    else:
        assert len(names) == len(ids) == len(tasks) == summary.tasks == plan.count(job)
        assert {task.seed for task in tasks} >= {task.request["seed"] for task in tasks}
        assert all(task.seed > 0 for task in tasks)


def test_every_request_of_a_plan_is_accepted_by_its_family():
    """What was checked before the seed was put in holds for what is sent."""
    job = job_of(Item(id="a", variants=3), prompt="{seed} {variant}")
    for task in islice(plan.expand(job), 3):
        rest = {k: v for k, v in task.request.items() if k not in ("prompt", "seed")}
        prompts = Prompts(prompt=task.request["prompt"], negative_prompt=None)
        model = plan.check(job).models[0].model
        assert list(FAMILIES[task.family].problems(model, prompts, rest)) == []
