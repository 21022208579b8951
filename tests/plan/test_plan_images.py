"""Input images in a plan: checked before the run, counted in the id by their bytes."""

import json

import pytest
from fakes import picture

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import load
from batchgen.task import task_id

CUT = "us.stability.stable-image-remove-background-v1:0"
JOB = """\
name: edit
endpoint: simulator
model: stability.stable-image-ultra-v1:1
prompt: "the same mug on a table"
parameters: {{image: "photos/{{id}}.png"{more}}}
items:
  - id: blue
  - id: sand
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a job file and two photographs."""
    (tmp_path / "photos").mkdir()
    for shade, name in enumerate(("blue", "sand")):
        (tmp_path / f"photos/{name}.png").write_bytes(picture(size=(640, 480), shade=shade))
    return tmp_path


def job_in(folder, more="", text=JOB):
    """The job, from its file."""
    (folder / "job.yaml").write_text(text.format(more=more))
    return load(folder / "job.yaml", defer=True)


def tasks_in(folder, **options):
    job = job_in(folder, **options)
    plan.check(job)
    return list(plan.expand(job))


def complaints(folder, **options):
    with pytest.raises(JobError) as error:
        plan.check(job_in(folder, **options))
    return [(each.line, each.text) for each in error.value.complaints]


def test_a_path_may_hold_placeholders(folder):
    """The request names the file by path and hash; the id is that of this request."""
    blue, sand = tasks_in(folder)

    assert blue.request["image"]["path"] == "photos/blue.png"
    assert sand.request["image"]["path"] == "photos/sand.png"
    assert blue.id == task_id(blue.model_id, json.loads(json.dumps(blue.request)))
    assert [blue.id, sand.id] == list(plan.task_ids(job_in(folder)))


def test_the_id_counts_the_bytes_and_not_the_name(folder):
    """A file that moves is the same image, one with other bytes is another."""
    before = [task.id for task in tasks_in(folder)]
    (folder / "photos").rename(folder / "pictures")
    moved = JOB.replace("photos/", "pictures/")

    assert [task.id for task in tasks_in(folder, text=moved)] == before
    (folder / "pictures/blue.png").write_bytes(picture(size=(640, 480), shade=7))
    blue, sand = tasks_in(folder, text=moved)
    assert blue.id != before[0]
    assert sand.id == before[1]


def test_what_is_wrong_with_a_file_is_said_with_the_line(folder):
    """Missing, cut, of a wrong size: all at once."""
    (folder / "photos/blue.png").unlink()
    (folder / "photos/sand.png").write_bytes(picture(size=(60, 480)))

    (line, missing), (also, small) = complaints(folder)

    assert line == also == 5
    assert missing.startswith('"image": there is no file "photos/blue.png" in ')
    assert "(in items[0])" in missing
    assert '"photos/sand.png" of 60x480 pixels; allowed: 64 or more pixels a side' in small


def test_a_path_that_is_not_known_is_not_looked_for(folder):
    """One sentence about the placeholder, none about a file of another name."""
    unknown = JOB.replace("{{id}}", "{{stem}}")

    ((_, text),) = complaints(folder, text=unknown)

    assert text.startswith('"{stem}" has no value')


def test_what_cannot_stand_together_is_said_beside_it(folder):
    """A shape beside an image, and a file that is no image."""
    (folder / "photos/blue.png").write_text("no image")

    texts = [text for _, text in complaints(folder, more=', aspect_ratio: "1:1"')]

    assert any("no readable PNG, JPEG or WebP" in text for text in texts)
    assert any('"aspect_ratio" cannot stand beside "image"' in text for text in texts)


def test_a_path_counts_from_the_file_that_it_stands_in(folder):
    """Of an included file, too; one that is a variable's counts from the job file, as it does."""
    (folder / "shared").mkdir()
    (folder / "photos").rename(folder / "shared/photos")
    text = JOB.format(more="")
    (folder / "shared/defaults.yaml").write_text(text)
    (folder / "job.yaml").write_text("include: shared/defaults.yaml\n")

    paths = [task.request["image"]["path"] for task in plan.expand(load(folder / "job.yaml"))]

    assert paths == ["shared/photos/blue.png", "shared/photos/sand.png"]
    by_rows = text.replace("photos/{id}.png", "{path}").split("items:")[0]
    (folder / "shared/defaults.yaml").write_text(by_rows)
    rows = 'include: shared/defaults.yaml\nitems_from: "shared/photos/*.png"\n'
    (folder / "job.yaml").write_text(rows)
    assert paths == [
        task.request["image"]["path"] for task in plan.expand(load(folder / "job.yaml"))
    ]


def test_a_file_that_changes_in_mid_plan_changes_no_task(folder):
    """Every walk of one job finds the same tasks; a run that starts later finds others."""
    job = job_in(folder)
    plan.check(job)
    before = list(plan.task_ids(job))
    (folder / "photos/blue.png").unlink()

    assert [task.id for task in plan.expand(job)] == before


def test_equal_photographs_are_one_image_where_no_seed_tells_them_apart(folder):
    """Both rows are named, and why; so are the variants of one photograph."""
    text = JOB.replace("stability.stable-image-ultra-v1:1", CUT).replace('prompt: "the', '# "')
    (folder / "photos/sand.png").write_bytes((folder / "photos/blue.png").read_bytes())

    ((_, said),) = complaints(folder, text=text)
    assert said == (
        '"sand" variant 1 would make the same image as "blue" variant 1: Stable Image Remove '
        "Background takes no seed; model, texts, parameters, input images (by their bytes) are "
        "the same; remove one"
    )
    said = complaints(folder, text=text.replace("  - id: sand", "variants: 2"))
    assert said[0][1].endswith(
        "takes no seed, so all variants of an item are one: leave variants out"
    )
    assert len(tasks_in(folder)) == 2
