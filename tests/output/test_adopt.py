"""A lost manifest comes back from images that say how they were made; others stay as they are."""

import json
from contextlib import suppress

import pytest
from fakes import NOON, make_task, picture
from outputs import Lost, end_line, provenance, run_line, talking

from batchgen.errors import ManifestError
from batchgen.output import (
    load_history,
)
from batchgen.record import AttemptLine, Served, Status


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out/images").mkdir(parents=True)
    return Lost(tmp_path / "out")


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
async def test_a_lost_manifest_comes_back(output, lose):
    """Every record as it was, but for what only the run knew; the account begins anew."""
    before = [output.tell(kind) for kind in ("png", "jpeg", "webp")]
    output.write()
    lose(output.manifest)

    adopted = await output.adopt()

    assert (adopted.records, adopted.left, output.findings()) == (3, [], {})
    found = {record.task_id: record for record in output.records()}
    for record in before:
        again = found[record.task_id]
        same = {"label", "item_id", "vars", "seed", "request", "model_id", "run_id", "attempts"}
        same |= {"started_at", "endpoint", "region", "request_id", "latency_ms", "cost_usd"}
        assert again.model_dump(include=same) == record.model_dump(include=same)
        assert (again.images[0].path, again.images[0].sha256) == (
            record.images[0].path,
            record.images[0].sha256,
        )
        assert again.images[0].received_sha256 is not None
    history = load_history(output.manifest)
    assert (history.spent, len(history)) == (0, 3)
    assert {history.status(record.task_id) for record in before} == {Status.SUCCEEDED}


async def test_what_was_sent_in_place_comes_back(output):
    """The task keeps its own request and id; what made the image is told beside it."""
    task, other = make_task(), make_task()
    asked = {"reason": "denied", "model": task.model_id, "seed": task.seed}
    told = provenance(other, task_id=task.id, asked={**asked, "request": dict(task.request)})
    output.tell(task=task, **{**told, "label": task.label})
    (output.folder / "images").mkdir(exist_ok=True)

    await output.adopt()

    (record,) = output.records()
    assert (record.task_id, record.request) == (task.id, task.request)
    assert record.served == Served(
        reason="denied", model_id=other.model_id, seed=other.seed, request=dict(other.request)
    )
    assert output.findings() == {}


async def test_a_request_that_had_no_room_is_put_together(output):
    """From prompt, parameters and seed: the id tells whether that is all of it."""
    output.tell(request=None)
    output.tell(request=None, prompt="cut…", truncated=True)

    adopted = await output.adopt()

    assert adopted.records == 1
    ((_, reason),) = adopted.left
    assert "does not give the id" in reason
    assert output.findings() == {"stray": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"task_id": f"1-{'0' * 32}"},
        {"model": "another"},
        {"request": {"prompt": "another", "seed": 1}},
        {"task_id": "../../x"},
    ],
)
async def test_what_does_not_fit_together_is_not_believed(output, changes):
    """Anybody may have written it: the id must be that of model and request."""
    output.tell()
    output.tell(**changes)

    adopted = await output.adopt()

    assert (adopted.records, len(adopted.left)) == (1, 1)


async def test_silent_and_broken_images_stay_strays(output):
    """Without a label, with half of the pixels, and the second image of one task."""
    record = output.tell()
    output.put("images/silent.png", picture())
    whole = (output.folder / record.images[0].path).read_bytes()
    output.put("images/z-copy.png", whole)
    output.put("images/cut.jpg", talking(picture("jpeg"), provenance(make_task()))[:-40])

    adopted = await output.adopt()

    assert adopted.records == 1
    assert dict(adopted.left).keys() == {"images/silent.png", "images/z-copy.png", "images/cut.jpg"}
    assert output.findings() == {"stray": 3}


async def test_a_manifest_that_lost_some_lines_gets_them_back(output):
    """What is on record stays as it is, and so does what was spent."""
    kept, lost = output.tell(), output.tell()
    output.lines.remove(lost)
    output.write()
    with output.manifest.open("ab") as file:
        file.write(run_line("run-2").to_json() + end_line("run-2", 3, billed_usd=1.5).to_json())

    adopted = await output.adopt()

    assert (adopted.records, output.findings()) == (1, {})
    history = load_history(output.manifest)
    assert float(history.spent) == 1.5
    assert history.record(kept.task_id) == kept
    assert (await output.adopt()).records == 0


async def test_nothing_is_adopted_into_a_run_that_was_killed(output):
    """Its own images would be taken for others; the next run knows better."""
    output.tell()
    output.write()
    attempt = AttemptLine(
        run_id="run-2", task_id=make_task().id, attempt=1, seed=1, price_usd=0.04, started_at=NOON
    )
    with output.manifest.open("ab") as file:
        file.write(run_line("run-2").to_json() + attempt.to_json())
    before = output.manifest.read_bytes()
    output.tell()

    with pytest.raises(ManifestError, match="was killed"):
        await output.adopt()

    assert output.manifest.read_bytes() == before


async def test_where_no_image_says_anything_nothing_is_written(output):
    """An empty manifest would hide that it was lost."""
    output.put("images/silent.png", picture())

    with pytest.raises(ManifestError, match=r"metadata: full` in the job\. Put manifest"):
        await output.adopt()
    assert not output.manifest.exists()
    output.write()
    with pytest.raises(ManifestError, match=r"metadata: full` in the job$"):
        await output.adopt()  # nothing is lost, and nothing needs to be made again


@pytest.mark.parametrize("label", ["\x1b[31m", "x" * 100_000, "é\u202e", "</x:xmpmeta>"])
async def test_hostile_texts_become_data(output, label):
    """Whatever a file says is written as JSON in ASCII, and read again as it was."""
    output.tell(label=label)

    with suppress(ManifestError):
        adopted = await output.adopt()
        lines = output.manifest.read_bytes().splitlines()
        assert all(json.loads(line) for line in lines)
        assert all(line.isascii() for line in lines)
        assert adopted.records + len(adopted.left) == 1
