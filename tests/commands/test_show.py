"""`show`: how an image was made, found by its bytes; and what past runs came to."""

import hashlib
import json
import os
import shutil
from types import SimpleNamespace

import pytest
from certificates import write_pair
from fakes import NOON, make_record, make_task, picture
from outputs import Lost, Output, end_line, provenance, run_line, sound, talking

from batchgen.cli import main
from batchgen.output import Label, SourceType, inspect_image, labelled, open_signer
from batchgen.record import ErrorInfo, Served, Status


@pytest.fixture
def show(capsys, tmp_path, monkeypatch):
    """Runs `show` in an empty folder."""
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.chdir(place)

    def run(*arguments):
        code = main(["show", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return SimpleNamespace(code=code, out=out, err=err, lines=out.splitlines())

    return run


def unmade(status, code, message="words", **changes):
    error = ErrorInfo(type="Any", code=code, message=message, retryable=False)
    return make_record(status=status, images=(), cost_usd=0.0, error=error, **changes)


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path / "project/out/shop")


def test_the_first_line_says_which_seed_made_a_file(show, output):
    """Seed, model and time in one line; prompt, parameters, cost and run below it."""
    record = output.add()
    folder = output.write()

    shown = show(folder / record.images[0].path)

    assert shown.code == 0
    assert f"seed {record.seed}, {record.model_id}, made 2026-11-21" in shown.lines[0]
    assert f"  prompt: {record.request['prompt']}" in shown.lines
    assert "  cost: 0.04 USD (simulated)" in shown.lines


def test_a_price_that_nobody_knows_is_no_sum(show, output):
    """What was made without one stands beside the cost of the night."""
    output.add()
    output.add(cost_usd=None)
    folder = output.write()

    assert "cost 0.04 USD, 1 task of unknown price" in show(folder).out
    assert json.loads(show(folder, "--json").out)["nights"][0]["unpriced"] == 1


@pytest.mark.parametrize("place", ["project/out/shop/x.png", "project/best/a/b.png", "project/c"])
def test_an_image_is_known_by_its_bytes(show, output, tmp_path, place):
    """Renamed or copied, in the output, or in a folder beside it."""
    record = output.add()
    output.add()
    folder = output.write()
    copy = tmp_path / place
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / record.images[0].path, copy)

    shown = json.loads(show(copy, "--json").out)

    assert (shown["seed"], shown["found_by"]) == (record.seed, "sha256")
    assert shown["manifest"] == str(folder / "manifest.jsonl")
    assert shown["record"]["task_id"] == record.task_id


def test_an_image_far_away_needs_its_manifest_named(show, output, tmp_path):
    """Without it nothing is known; with it everything."""
    record = output.add()
    folder = output.write()
    copy = tmp_path / "a/b/c/d/e/f.png"
    copy.parent.mkdir(parents=True)
    shutil.copy(folder / record.images[0].path, copy)

    assert show(copy).code == 2
    assert show(copy, "--manifest", folder).code == 0


def test_an_altered_image_is_known_by_its_name_alone(show, output):
    """Said first, and with another exit code."""
    record = output.add()
    folder = output.write()
    for data in (b"", picture(shade=77), b"\x00\xff"):
        image = output.put(record.images[0].path, data)

        shown = show(image)

        assert shown.code == 5
        assert "is not as it was made" in shown.lines[0]
    assert json.loads(show(folder / record.images[0].path, "--json").out)["is_altered"]


def test_an_image_that_moved_is_told_where_it_is_now(show, tmp_path):
    """A record's path is no longer its own after a move."""
    output = sound(tmp_path / "out")
    moved = next(iter((output.folder / "superseded").iterdir()))

    shown = json.loads(show(moved, "--json").out)

    assert shown["path"] == f"superseded/{moved.name}"


def test_an_image_that_no_manifest_knows_tells_itself(show, tmp_path):
    """What is embedded in it is shown, cleaned, and said to be its own word."""
    task = make_task(label="\x1b[31mred")
    image = tmp_path / "x.png"
    image.write_bytes(talking(picture(size=(31, 17)), provenance(task)))

    shown = show(image)

    assert shown.code == 0
    assert f"seed {task.seed}, {task.model_id}, made 2026-11-21" in shown.lines[0]
    assert shown.lines[-1].endswith("this is what the file says of itself")
    assert all(line.isprintable() for line in shown.lines)
    fields = json.loads(show(image, "--json").out)
    assert (fields["found_by"], fields["seed"]) == ("embedded", task.seed)
    assert fields["prompt"] == task.request["prompt"]


def test_content_credentials_are_told_with_what_they_are_worth(show, tmp_path):
    """Who signed, whether anything was changed since, and never more trust than there is."""
    data = picture(size=(37, 17))
    label = Label(
        creator_tool="batchgen 0.1.0",
        created_at=NOON,
        source_type=SourceType.GENERATED,
        received_sha256=hashlib.sha256(data).hexdigest(),
        model="the-model",
        seed=77,
    )
    signer = open_signer(*write_pair(tmp_path))
    image = tmp_path / "signed.png"
    signed = signer.signed(labelled(data, inspect_image(data), label), "png", label)
    image.write_bytes(signed)

    said = next(line for line in show(image).lines if "Content Credentials" in line)

    assert "intact, signed by A signer, untrusted" in said
    assert said.endswith("model the-model, seed 77")
    fields = json.loads(show(image, "--json").out)["credentials"]
    assert (fields["is_intact"], fields["is_trusted"], fields["seed"]) == (True, False, 77)
    at = signed.index(b"IDAT") + 10
    image.write_bytes(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])
    assert "not intact" in show(image).out


def test_a_label_that_came_later_hides_nothing(show, output, tmp_path):
    """The bytes that the service sent are named in the label: their record is found by them."""
    record = output.add(picture(size=(33, 17)))
    folder = output.write()
    image = folder / "labelled.png"
    image.write_bytes(talking(picture(size=(33, 17)), None))

    assert json.loads(show(image, "--json").out)["task_id"] == record.task_id


def test_an_image_without_its_label_is_known(show, tmp_path):
    """A record of a labelled image has the hash of what came, too."""
    output = Lost(tmp_path / "out")
    record = output.tell()
    received = picture(shade=0)
    known = record.images[0].model_copy(
        update={"received_sha256": hashlib.sha256(received).hexdigest()}
    )
    output.lines[0] = record.model_copy(update={"images": (known,)})
    folder = output.write()
    bare = output.put("bare.png", received)

    assert json.loads(show(bare, "--json").out)["task_id"] == record.task_id
    shown = show(folder)
    assert (shown.code, "None" in shown.out) == (0, False)


def test_an_adopted_manifest_names_no_job(show, output):
    """Its images do not say which it was, and the line that opened the run is lost."""
    output.add()
    manifest = output.write() / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(line for line in lines if b'"kind": "run"' not in line))

    assert ": unknown job, tasks: 1 succeeded" in show(manifest).lines[0]


def test_what_was_sent_counts(show, output):
    """A task that another model made shows that model, and its seed and prompt."""
    served = Served(reason="denied", model_id="other", seed=5, request={"prompt": "a cup"})
    record = output.add(served=served)
    folder = output.write()

    shown = json.loads(show(folder / record.images[0].path, "--json").out)

    assert (shown["model_id"], shown["seed"], shown["prompt"]) == ("other", 5, "a cup")


def test_nothing_of_a_manifest_steers_a_terminal(show, output):
    """Labels, prompts and parameters are escaped and cut."""
    evil = "\x1b[31m\u202e" + "x" * 100_000
    task = make_task(label=evil, request={"prompt": evil, evil: evil, "seed": 1})
    record = output.add(task=task, region=evil, request_id=evil)
    output.lines.append(unmade(Status.FAILED, evil, evil, finish_reasons=(evil,)))
    folder = output.write()

    shown = [show(folder / record.images[0].path), show(folder), show(folder, "--failed")]

    for each in shown:
        assert each.code == 0
        assert all(line.isprintable() for line in each.lines)
        assert len(each.out) < 20_000


def test_a_manifest_shows_its_nights(show, output):
    """Counts, cost, seeds, finish reasons, errors and the slowest; simulated money is called so."""
    output.add(label="lamp/1", latency_ms=31_000)
    output.lines.append(
        unmade(Status.FILTERED, "CONTENT_FILTERED", finish_reasons=("Filter reason: prompt",))
    )
    output.lines.append(unmade(Status.FAILED, "ValidationException"))
    folder = output.write()

    shown = show(folder)

    assert shown.code == 0
    assert "1 succeeded, 1 filtered, 1 failed" in shown.lines[0]
    assert "1 made, 1 filtered, 1 failed, cost 0.04 USD (simulated)" in shown.lines[1]
    text = "\n".join(shown.lines)
    assert "finish reasons: Filter reason: prompt 1" in text
    assert "errors: CONTENT_FILTERED 1, ValidationException 1" in text
    assert "slowest: lamp/1 31.0 s" in text
    fields = json.loads(show(folder / "manifest.jsonl", "--json").out)
    assert fields["nights"][0]["billed_usd"] == 0.04
    assert fields["nights"][0]["simulated"] is True
    assert fields["tasks"] == {"succeeded": 1, "filtered": 1, "failed": 1, "skipped": 0}


def test_the_last_run_alone(show, output):
    """What did last night cost: the first line says it."""
    output.add()
    output.lines += [end_line(), run_line("run-2")]
    output.add(run_id="run-2")
    output.add(run_id="run-2")
    folder = output.write()

    shown = show(folder, "--last-run")

    assert "2 made, 0 filtered, 0 failed, cost 0.08 USD (simulated); run run-2" in shown.lines[0]


def test_which_were_filtered_and_why(show, output):
    """One line each, of tasks whose last record says so; those made since are not among them."""
    output.add()
    made_since = unmade(Status.FILTERED, "CONTENT_FILTERED", "once", label="made-since")
    output.lines.append(made_since)
    output.lines.append(make_record(task_id=made_since.task_id))
    output.lines.append(unmade(Status.FILTERED, "CONTENT_FILTERED", "a knife", label="knife/1"))
    output.lines.append(unmade(Status.FAILED, "ValidationException", "no", label="bad/1"))
    folder = output.write()

    filtered, failed = show(folder, "--filtered"), show(folder, "--failed")

    assert len(filtered.lines) == 1
    assert "knife/1: filtered" in filtered.out
    assert "CONTENT_FILTERED: a knife" in filtered.out
    assert [line.split(":")[0] for line in failed.lines] == ["bad/1"]
    both = json.loads(show(folder, "--filtered", "--failed", "--json").out)
    assert [task["label"] for task in both["tasks"]] == ["knife/1", "bad/1"]
    assert show(folder, "--failed", "--last-run").lines == failed.lines


@pytest.mark.parametrize("data", [b"", b"\x00\xff\xfe", b'{"kind": "rec', b"[]\n", b"{}\n"])
def test_what_is_no_manifest_is_said_in_a_sentence(show, tmp_path, data):
    """Empty, binary, torn, or something else in JSON."""
    (tmp_path / "manifest.jsonl").write_bytes(data)

    shown = show(tmp_path)

    assert (shown.code, shown.out) == (2, "")
    assert len(shown.err.splitlines()) == 1


def test_odd_files_are_refused(show, tmp_path):
    """Pipes, links, missing ones and folders without a manifest: exit code 2 and no hanging."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.png").write_bytes(b"noise")

    for name in ("pipe.png", "link.png", "missing.png", "empty", "noise.png"):
        assert show(tmp_path / name).code == 2


def test_a_later_format_is_refused(show, output):
    """In a sentence that names both versions."""
    output.add()
    output.lines.append(run_line(version=99))
    folder = output.write()

    shown = show(folder)

    assert shown.code == 2
    assert "format 99" in shown.err
