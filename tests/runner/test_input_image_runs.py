"""Runs whose tasks send images: what the service gets, and what the manifest keeps."""

import base64
import json

import pytest
from fake_models import Models, run_of
from fakes import picture

from batchgen.job import load
from batchgen.task import task_id

ULTRA = "stability.stable-image-ultra-v1:1"
JOB = f"""\
name: edit
endpoint: simulator
model: {ULTRA}
output: OUTPUT
limits: {{requests_per_minute: 60000}}
prompt: "the same mug on a table"
parameters: {{image: "photos/{{id}}.png"}}
items: [{{id: blue}}, {{id: sand}}]
"""


@pytest.fixture
def job(tmp_path):
    """A job over two photographs beside it."""
    (tmp_path / "photos").mkdir()
    for shade, name in enumerate(("blue", "sand")):
        (tmp_path / f"photos/{name}.png").write_bytes(picture(size=(640, 480), shade=shade))
    (tmp_path / "job.yaml").write_text(JOB.replace("OUTPUT", str(tmp_path / "out")))
    return load(tmp_path / "job.yaml")


async def test_the_bytes_are_sent_and_the_hash_is_kept(job, tmp_path):
    """The service gets base64; the record names path and sha256, and its id is made of those."""
    models = Models()

    ran = await run_of(job, models)

    sent = {call.request["image"] for call in models.calls}
    files = [tmp_path / "photos/blue.png", tmp_path / "photos/sand.png"]
    assert sent == {base64.b64encode(file.read_bytes()).decode() for file in files}
    records = ran.lines("record")
    assert [record["status"] for record in records] == ["succeeded"] * 2
    for record in records:
        assert record["request"]["image"].keys() == {"path", "sha256"}
        assert record["task_id"] == task_id(ULTRA, record["request"])
    assert len(json.dumps(ran.lines("record"))) < 4_000


async def test_a_file_that_changes_after_the_plan_fails_its_task_alone(job, tmp_path):
    """With a sentence, unsent and unpaid; the next run plans with what is there."""

    def changing(_):
        (tmp_path / "photos/sand.png").write_bytes(picture(size=(640, 480), shade=9))
        (tmp_path / "photos/blue.png").write_bytes(picture(size=(640, 480), shade=8))

    changed = job.model_copy(update={"limits": job.limits.model_copy(update={"concurrency": 1})})
    models = Models({ULTRA: [changing]})

    ran = await run_of(changed, models)

    first, second = ran.lines("record")
    assert (first["status"], second["status"]) == ("succeeded", "failed")
    assert second["error"]["code"] == "InputChanged"
    assert "has changed since the job was planned and was not sent" in second["error"]["message"]
    assert (second["cost_usd"], second["maybe_billed"]) == (0.0, 0)
    assert len(models.calls) == 1

    again = await run_of(load(tmp_path / "job.yaml"), Models())
    assert [record["status"] for record in again.lines("record")[2:]] == ["succeeded"] * 2
