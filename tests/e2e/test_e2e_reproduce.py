"""`batchgen reproduce`: images made again, judged, and paid for once."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections import Counter

import pytest
from fakes import picture
from shell import Service, Shell, until

import batchgen as library
from batchgen import Choice

SD35 = "stability.sd3-5-large-v1:0"


@pytest.fixture(scope="module")
def painter():
    """A simulator that paints: each seed has a picture of its own."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    options = ["--latency=0", "--meter=none"]
    with subprocess.Popen(
        command + options, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Service(json.loads(process.stdout.readline())["url"])
        process.stdin.close()


@pytest.fixture
def shop(tmp_path, painter, capsys, monkeypatch):
    """The command in an empty folder, and the simulator that paints, with empty books."""
    monkeypatch.chdir(tmp_path)
    painter.reset()
    return Shell(tmp_path, painter, capsys)


def reproduce(shell, *arguments, manifest="out/manifest.jsonl"):
    """The command to its end, and its object."""
    ended = shell("reproduce", manifest, "--rpm=60000", "--json", *arguments)
    return ended.code, json.loads(ended.out)


def records(shell, folder="out-reproduced"):
    """The records of an output by their labels."""
    lines = (shell.folder / folder / "manifest.jsonl").read_text("utf-8").splitlines()
    found = [line for line in map(json.loads, lines) if line["kind"] == "record"]
    return {record["label"]: record for record in found}


def edit(shell, label, change, folder="out"):
    """Change a record of a manifest by hand."""
    path = shell.folder / folder / "manifest.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        if line["kind"] == "record" and line["label"] == label:
            change(line)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def by_label(said):
    """Label -> what is said of that image."""
    return {each["label"]: each for each in said["images"]}


def verdicts(said):
    """Label -> verdict."""
    return {label: each["verdict"] for label, each in by_label(said).items()}


@pytest.mark.parametrize(
    ("image_format", "suffix"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp")]
)
def test_images_come_out_identical(shop, image_format, suffix):
    """Without the job: the same requests and seeds; the records name the originals."""
    shop.job("a mug", "a lamp", parameters={"output_format": image_format, "aspect_ratio": "16:9"})
    assert shop.run().code == 0
    (shop.folder / "job.yaml").unlink()
    first = Counter(entry["body_sha256"] for entry in shop.service.ledger())

    code, said = reproduce(shop)

    assert code == said["exit_code"] == 0
    assert said["verdicts"]["identical"] == said["originals"] == 2
    assert Counter(entry["body_sha256"] for entry in shop.service.ledger()) == first + first
    made = records(shop)
    for label, original in records(shop, "out").items():
        (image,), (again,) = original["images"], made[label]["images"]
        data = (shop.folder / "out-reproduced" / again["path"]).read_bytes()
        assert again["path"].endswith(suffix)
        assert hashlib.sha256(data).hexdigest() == image["sha256"] == again["sha256"]
        assert made[label]["original"] == {
            "task_id": original["task_id"],
            "run_id": original["run_id"],
            "path": image["path"],
            "sha256": image["sha256"],
        }


def alter(record):
    record["seed"] += 1
    record["request"]["seed"] += 1


def test_an_altered_seed_is_found(shop):
    """That one is different, by its pixels and with its distance; all others are identical."""
    shop.job("a mug", "a lamp", "a pot")
    assert shop.run().code == 0
    edit(shop, "item-2/1", alter)

    code, said = reproduce(shop)

    assert code == 5
    assert verdicts(said) == {
        "item-1/1": "identical",
        "item-2/1": "different",
        "item-3/1": "identical",
    }
    assert by_label(said)["item-2/1"]["distance"] > said["threshold"]
    page = (shop.folder / said["page"]).read_text("utf-8")
    assert 'src="../out/images/item-2-1.png"' in page
    assert 'src="images/item-2-1.png"' in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert "item-1" not in page


def test_the_bar_is_the_users(shop):
    """`--at-least different` bears another picture; a person reads what is worse, and why."""
    shop.job("a mug")
    assert shop.run().code == 0
    edit(shop, "item-1/1", alter)

    assert reproduce(shop, "--at-least=different")[0] == 0

    ended = shop("reproduce", "out", "--rpm=60000", "--quiet", "--at-least=same-pixels")

    assert ended.code == 5
    first, *_, counts, worse = ended.out.splitlines()
    assert first.startswith("item-1/1: different (distance ")
    assert counts == (
        "1 image: 0 identical, 0 same pixels, 0 similar, 1 different, 0 not reproducible."
    )
    assert worse == "Worse than same pixels: 1."


def test_killed_and_continued_pays_nothing_twice(batchgen):
    """The same command goes on: what was delivered is not called again."""
    batchgen.job(*(f"a mug {n}" for n in range(8)))
    assert batchgen.run().code == 0
    batchgen.service.reset()
    batchgen.service.script("late", seconds=0.2)
    command = ["reproduce", "out/manifest.jsonl", "--rpm=60000", "--concurrency=2"]
    process = batchgen.start(*command)
    manifest = batchgen.folder / "out-reproduced/manifest.jsonl"
    until(lambda: manifest.exists() and manifest.read_text("utf-8").count('"kind": "record"') >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: batchgen.service.in_flight() == 0)
    done = len(records(batchgen))

    code, said = reproduce(batchgen)

    assert code == 0
    assert said["verdicts"]["identical"] == 8
    paid = Counter(entry["body_sha256"] for entry in batchgen.service.ledger())
    assert len(paid) == 8
    assert sum(paid.values()) <= 8 + 2  # what was in flight at the kill
    assert sum(count == 1 for count in paid.values()) >= done
    before = batchgen.service.charged()
    assert reproduce(batchgen)[0] == 0
    assert batchgen.service.charged() == before


def test_stopped_by_its_budget_it_says_so_and_goes_on(batchgen):
    """Exit 3, the rest not made yet; the next command makes just that."""
    batchgen.job("one", "two", "three")
    assert batchgen.run().code == 0
    batchgen.service.reset()

    code, said = reproduce(batchgen, "--max-cost=0.08")

    assert code == 3
    assert (said["verdicts"]["identical"], said["open"]) == (2, 1)
    assert reproduce(batchgen)[0] == 0
    assert batchgen.service.charged() == 3


def test_another_model_gets_the_same_prompts_and_seeds(shop):
    """As a fallback would: the parameters in its words, into an output of its own."""
    shop.job("a mug", "a lamp", parameters={"aspect_ratio": "4:5"})
    assert shop.run().code == 0

    code, said = reproduce(shop, f"--model={SD35}", "--at-least=different")

    assert code == 0
    assert said["output"] == "out-reproduced-stability.sd3-5-large-v1-0"
    originals = records(shop, "out")
    for label, record in records(shop, said["output"]).items():
        assert record["model_id"] == SD35
        for key in ("prompt", "seed", "aspect_ratio"):
            assert record["request"][key] == originals[label]["request"][key]


def test_input_images_are_sent_again(shop):
    """By path and hash from the folder of the job file; one that changed is a reason, and free."""
    (shop.folder / "photo.png").write_bytes(picture(size=(128, 128)))
    shop.job("a mug", "a lamp", model=SD35, parameters={"image": "photo.png", "strength": 0.6})
    assert shop.run().code == 0
    first = Counter(entry["body_sha256"] for entry in shop.service.ledger())

    code, said = reproduce(shop)

    assert (code, said["verdicts"]["identical"]) == (0, 2)
    assert Counter(entry["body_sha256"] for entry in shop.service.ledger()) == first + first
    (shop.folder / "photo.png").write_bytes(picture(size=(128, 128), shade=9))
    code, said = reproduce(shop, "--output=third")
    assert (code, said["verdicts"]["not reproducible"]) == (5, 2)
    assert "has changed since" in said["images"][0]["reason"]
    assert len(shop.service.ledger()) == 4


def test_steps_get_the_images_of_their_parents_again(shop):
    """Wherever these lie by now: moved aside for another picture, or in a merged manifest."""
    shaped = "us.stability.stable-image-control-structure-v1:0"
    steps = [
        {"id": "generate"},
        {"id": "up", "model": shaped, "prompt": "glass", "parameters": {"image": "@generate"}},
    ]
    keys = {"steps": steps, "derive": [{"suffix": "-s", "width": 64}]}
    shop.job("a mug", **keys)
    assert shop.run().code == 0
    first = Counter(entry["body_sha256"] for entry in shop.service.ledger())
    (run,) = shop.lines("run")
    shop.job("a cup", **keys)
    assert shop.run().code == 0
    assert (shop.folder / "out/superseded/item-1-1-generate~1.png").exists()
    shop.service.reset()

    code, said = reproduce(shop, "--run", run["run_id"])

    assert (code, said["verdicts"]["identical"]) == (0, 2)
    assert Counter(entry["body_sha256"] for entry in shop.service.ledger()) == first
    again = asyncio.run(library.reproduce(shop.folder / "out", choice=Choice(run_id=run["run_id"])))
    assert [each.verdict for each in again.images] == ["identical", "identical"]
    merged = "merged.jsonl"
    assert shop("manifest", "merge", "out", "--output", merged).code == 0
    assert shop("verify", merged).code == 0
    lines = [json.loads(line) for line in (shop.folder / merged).read_text("utf-8").splitlines()]
    images = [image for line in lines for image in line.get("images", ())]
    assert all((shop.folder / each["path"]).exists() for each in images[-1]["derived"])
    code, said = reproduce(shop, "--dry-run", manifest=merged)
    assert (code, said["to_make"], said["not_reproducible"]) == (0, 4, {})


def test_a_dry_run_tells_and_makes_nothing(shop):
    """How many, what they cost and how long they take; nothing is called or written."""
    shop.job("a mug", "a lamp", "a pot")
    assert shop.run().code == 0
    shop.service.reset()
    before = shop.files()

    code, said = reproduce(shop, "--dry-run", "--only=item-[12]")

    assert code == 0
    assert (said["tasks"], said["to_make"], said["cost_usd"]) == (2, 2, 0.08)
    assert "minutes" in said
    assert shop.service.ledger() == []
    assert shop.files() == before


def test_a_part_of_a_manifest(batchgen):
    """By pattern, by number, by status and by run; a pattern that fits nothing is a slip."""
    batchgen.job("one", "two", "three [filtered]")
    assert batchgen.run().code in (0, 1)
    (run_id,) = {line["run_id"] for line in batchgen.lines("run")}

    for options, label in (
        (["--limit=1"], batchgen.lines("record")[0]["label"]),
        (["--only=item-2"], "item-2/1"),
        (["--run", run_id, "--only=item-1/*"], "item-1/1"),
    ):
        code, said = reproduce(batchgen, *options)
        assert code == 0
        assert list(by_label(said)) == [label]


def test_without_an_endpoint_it_is_that_of_the_records(batchgen):
    """A manifest of the simulator never goes to AWS by itself, and mixed ones are refused."""
    batchgen.job("one", "two")
    assert batchgen.run().code == 0
    edit(batchgen, "item-2/1", lambda record: record.update(endpoint="aws"))
    batchgen.service.reset()

    ended = batchgen("reproduce", "out")

    assert ended.code == 2
    assert "--endpoint" in ended.err
    assert batchgen.service.ledger() == []
    edit(batchgen, "item-2/1", lambda record: record.update(endpoint="gopher://x"))
    assert batchgen("reproduce", "out", "--only=item-2").code == 2
    code, said = reproduce(batchgen, f"--endpoint={batchgen.service.url}")
    assert (code, said["verdicts"]["identical"]) == (0, 2)


def test_an_original_that_is_gone_or_altered_does_not_matter_to_its_hash(shop):
    """The record knows the hash: identical bytes are identical. Others cannot be compared."""
    shop.job("a mug", "a lamp", "a pot", "a fork")
    assert shop.run().code == 0
    images = shop.folder / "out/images"
    (images / "item-1-1.png").unlink()
    (images / "item-2-1.png").write_bytes(b"")
    (images / "item-3-1.png").write_bytes((images / "item-4-1.png").read_bytes())
    edit(shop, "item-3/1", alter)

    code, said = reproduce(shop)

    assert code == 5
    assert verdicts(said) == {
        "item-1/1": "identical",
        "item-2/1": "identical",
        "item-3/1": "different",
        "item-4/1": "identical",
    }
    assert "cannot be compared by its pixels" in by_label(said)["item-3/1"]["reason"]
