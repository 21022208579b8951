"""Whatever a job says, `check`, `count`, `expand` and `task_ids` tell one story."""

from collections import Counter
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job
from batchgen.plan.file_names import comparable
from batchgen.task import task_id

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

    some = plan.expand(job, random_seed_key="k", wanted=picked.__contains__)
    assert list(some) == [tasks[index] for index in sorted(picked)]
    substitutes = plan.Substitutes(job)
    for task in tasks:
        for name in task.fallback:
            assert substitutes.of_model(task, task, name).model_id == name


def reasons_are_true(job, found):
    """A job is refused for something that shows when its tasks are made one by one."""
    clashes = [text for text in found if "write the same file" in text or "the same image" in text]
    if len(clashes) < len(found):
        return True  # a value that is wrong by itself, which other tests hold
    tasks = list(plan.expand(job, random_seed_key="k"))
    names = {comparable(task.file_stem) for task in tasks}
    return min(len(names), len({task.id for task in tasks})) < len(tasks)
