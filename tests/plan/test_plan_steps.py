"""Steps in the plan: what is refused, in which order they come, what they cost and are called."""

import pytest
from fakes import picture

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import Item, Job, load, parse

CORE = "stability.stable-image-core-v1:1"
CUT = "us.stability.stable-image-remove-background-v1:0"
LARGE = "us.stability.stable-fast-upscale-v1:0"
GENERATE = {"id": "generate"}


def cut(image, **changes):
    return {"id": "cut", "model": CUT, "parameters": {"image": image}, **changes}


def job_of(*steps, items=("mug", "lamp"), **changes):
    rows = [{"id": name, "prompt": f"a {name}"} for name in items]
    return Job.model_validate(
        {"name": "shop", "model": CORE, "items": rows, "steps": list(steps), **changes}
    )


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([GENERATE, cut("@generat")], "names no step of the job"),
        ([GENERATE, cut("@item:mugg/generate")], "names no item of the job; did you mean"),
        ([GENERATE, cut("@item:mug/cutt")], "names no step of the job"),
        ([GENERATE, cut("@item:mug")], 'it is written "@item:ITEM/STEP"'),
        ([GENERATE, cut("@cut")], "closes a circle: cut needs cut"),
        (
            [cut("@large"), {"id": "large", "model": LARGE, "parameters": {"image": "@cut"}}],
            "closes a circle: cut needs large needs cut",
        ),
        ([GENERATE, cut("@item:mug/cut")], "closes a circle"),
        ([GENERATE, {"id": "cut", "model": CUT}], '"image" is missing'),
        ([GENERATE, {"id": "more", "parameters": {"image": "@generate"}}], "does not take"),
        ([GENERATE, {"id": "generate"}], "is the id of steps[0] already"),
        ([GENERATE, cut("@generate", prompt="a mug")], "takes no prompt"),
        ([GENERATE, cut("@generate", model="stability.cut")], "stability.cut"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(steps, said):
    """With the place of the step."""
    with pytest.raises(JobError) as error:
        plan.check(job_of(*steps))

    assert said in str(error.value)
    assert "steps[" in str(error.value)


def test_an_image_that_is_certain_to_be_too_large_is_said(tmp_path):
    """Where the size of the first image is known; before anything is paid for."""
    (tmp_path / "photo.png").write_bytes(picture(size=(400, 300)))
    steps = f"""\
name: shop
items: [{{id: mug}}]
steps:
  - {{id: more, model: {LARGE}, parameters: {{image: "@large"}}}}
  - {{id: large, model: {LARGE}, parameters: {{image: photo.png}}}}
"""
    (tmp_path / "job.yaml").write_text(steps)
    said = 'steps.0..parameters.image: .* "@large" of 1600x1200 pixels; allowed: 32 to 1,536'
    with pytest.raises(JobError, match=said):
        plan.check(load(tmp_path / "job.yaml"))

    (tmp_path / "photo.png").write_bytes(picture(size=(200, 300)))
    assert plan.check(load(tmp_path / "job.yaml")).tasks == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("steps: [{id: a/b}]", "steps[0].id: cannot be"),
        ("steps: [{prompt: x}]", "steps[0].id: is missing: every step"),
        ('steps: [{id: a}]\nparameters: {image: "@a", strength: 0.4}', "a step alone name a step"),
    ],
)
def test_one_slip_is_one_complaint(changes, said):
    """In its own words."""
    text = "name: shop\nmodel: stability.stable-image-ultra-v1:1\n"
    with pytest.raises(JobError) as error:
        plan.check(parse("job.yaml", f"{text}items: [{{id: mug, prompt: x}}]\n{changes}".encode()))
    assert len(error.value.complaints) == 1
    assert said in str(error.value)


def test_an_anchor_must_be_one_picture():
    """Of several combinations nobody knows which is meant."""
    matrix = {"style": ["studio", "evening"]}
    steps = [GENERATE, cut("@item:mug/generate")]
    fields = {"matrix": matrix, "file_name": "{id}-{style}-{variant}"}
    with pytest.raises(JobError, match="2 combinations of the matrix: exclude all but one"):
        plan.check(job_of(*steps, **fields))

    one = job_of(*steps, **fields, exclude=[{"id": "mug", "style": "evening"}])
    with pytest.raises(JobError, match="names an item that exclude or sample leaves out"):
        plan.check(job_of(*steps, **fields, exclude=[{"id": "mug"}]))
    # All cut the same picture out, which is one request.
    with pytest.raises(JobError, match="would make the same image as"):
        plan.check(one)


def test_the_order_of_the_list_says_nothing():
    """Parents come first in the plan, and ids are the same."""
    large = {"id": "large", "model": LARGE, "parameters": {"image": "@cut"}}
    steps = [GENERATE, cut("@generate"), large]
    tasks = list(plan.expand(job_of(*steps)))
    turned = list(plan.expand(job_of(*reversed(steps))))

    assert [task.id for task in tasks] == [task.id for task in turned]
    for number, task in enumerate(tasks):
        assert task.number == number
        assert all(
            tasks[parent].id == task.request[name]["task"] and parent < number
            for name, parent in task.parents.items()
        )


def test_counts_prices_and_names():
    """By model and by step; a file name with the step in it, or behind it."""
    job = job_of(GENERATE, cut("@generate"), variants=2)
    outline = plan.check(job)

    assert outline.tasks == 8
    assert outline.steps == {"generate": 4, "cut": 4}
    assert float(outline.price_usd) == pytest.approx(4 * 0.04 + 4 * 0.07)
    assert list(outline.stages)[-2:] == ["steps", "variants"]
    stems = [task.file_stem for task in plan.expand(job)][:4]
    assert stems == [f"images/mug-{n}-{step}" for step in ("generate", "cut") for n in (1, 2)]
    named = job.model_copy(update={"file_name": "{step}/{id}-{variant}"})
    assert next(iter(plan.expand(named))).file_stem == "images/generate/mug-1"


def test_models_are_compared_through_a_chain():
    """The value of the axis stands in every name, whichever model a step calls."""
    axis = {"model": [CORE, "stability.stable-image-ultra-v1:1"]}
    job = job_of(GENERATE, cut("@generate"), items=("mug",), matrix=axis, model=None)

    assert plan.check(job).tasks == 4
    stems = [task.file_stem.removeprefix("images/mug-stability.") for task in plan.expand(job)]
    core, ultra = "stable-image-core-v1-1-1", "stable-image-ultra-v1-1-1"
    assert stems == [f"{core}-generate", f"{core}-cut", f"{ultra}-generate", f"{ultra}-cut"]


def test_a_change_above_changes_what_is_below():
    """And nothing else."""
    large = {"id": "large", "model": LARGE, "parameters": {"image": "@cut"}}
    before = {t.label: t.id for t in plan.expand(job_of(GENERATE, cut("@generate"), large))}
    changed = cut("@generate")
    changed["parameters"]["output_format"] = "webp"
    after = {t.label: t.id for t in plan.expand(job_of(GENERATE, changed, large))}

    same = {label for label, task_id in before.items() if after[label] == task_id}
    assert same == {"mug/1/generate", "lamp/1/generate"}


def test_rows_of_a_data_file_and_an_anchor_among_them(tmp_path):
    """The anchor is made first, on whichever line it stands; one that is on none is said."""
    (tmp_path / "rows.csv").write_text("id,product\nmug,mug\nlamp,lamp\nhero,vase\n")
    text = f"""\
name: shop
model: {CORE}
prompt: "a {{product}}"
items_from: rows.csv
steps:
  - {{id: generate}}
  - id: styled
    model: us.stability.stable-style-transfer-v1:0
    parameters: {{init_image: "@generate", style_image: "@item:hero/generate"}}
"""
    (tmp_path / "job.yaml").write_text(text)
    job = load(tmp_path / "job.yaml")
    assert plan.check(job).tasks == 6
    tasks = list(plan.expand(job))
    assert [task.item_id for task in tasks] == ["hero", "hero", "mug", "mug", "lamp", "lamp"]
    assert {task.parents["style_image"] for task in tasks if task.step == "styled"} == {0}
    assert tasks[3].request["prompt"] == "a mug"

    (tmp_path / "job.yaml").write_text(text.replace("hero/", "heron/"))
    with pytest.raises(JobError, match="names no item of the job"):
        plan.check(load(tmp_path / "job.yaml"))


def test_a_variable_called_step_is_refused_wherever_it_is_set():
    """`{step}` is the id of the step: a variable of that name would never be seen."""
    job = job_of(
        GENERATE,
        vars={"step": "a"},
        items=("mug",),
        matrix={"x": [{"name": "a", "step": "b"}, "b"], "step": ["c"]},
        override=[{"when": {"id": "mug"}, "set": {"vars": {"step": "d"}}}],
    ).model_copy(update={"items": (Item(id="mug", prompt="a {x} {step}", vars={"step": "e"}),)})
    with pytest.raises(JobError) as error:
        plan.check(job)

    said = {each.path for each in error.value.complaints if "{step} is the id" in each.text}
    assert said == {
        ("vars", "step"),
        ("items", 0, "vars", "step"),
        ("matrix", "x", 0, "step"),
        ("matrix", "step"),
        ("override", 0, "set", "vars", "step"),
    }
