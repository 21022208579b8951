"""`batchgen plan`: what a run would make, for how much and until when; nothing is called."""

import json
from datetime import datetime

from shell import CORE

ULTRA = "stability.stable-image-ultra-v1:1"


def write(batchgen, more=""):
    """A job of four tasks over a CSV, of which one has a price of its own."""
    (batchgen.folder / "job.yaml").write_text(
        f"name: shop\nendpoint: {batchgen.service.url}\nmodel: {CORE}\noutput: out\n"
        f'prompt: "{{product}} in {{style}}"\nitems_from: rows.csv\n'
        "matrix: {style: [oak, slate]}\n"
        f"exclude: [{{id: lamp, style: oak}}]\n{more}",
        "utf-8",
    )
    (batchgen.folder / "rows.csv").write_text(
        f"id,product,model\nmug,a blue mug,\nlamp,a lamp,{ULTRA}\nvase,a vase that is tall,\n",
        "utf-8",
    )


def plan(batchgen, *options):
    ended = batchgen("plan", "job.yaml", *options)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_a_plan_tells_tasks_cost_time_and_stages_and_makes_nothing(batchgen):
    """By model; exactly what a run is charged; and in the same figures for a program."""
    write(batchgen, "limits: {budget_usd: 0.2}\n")

    page = plan(batchgen, "--explain")
    fields = json.loads(plan(batchgen, "--json"))

    assert "shop: 5 tasks, 0 made already, 5 to make for 0.30 USD (simulated)." in page
    assert f"{ULTRA}: 1 task, 0 made, 1 to make, 0.14 USD" in page
    assert "Budget: 0.20 USD left, which covers about 3 tasks." in page
    assert '28 characters: vase/slate/1: "a vase that is tall in slate"' in page
    assert fields["stages"] == {
        "rows": 3,
        "matrix": 6,
        "zip": 6,
        "exclude": 5,
        "override": 5,
        "sample": 5,
        "variants": 5,
    }
    counts = [int(line.split()[1]) for line in page.splitlines()[1:8]]
    assert counts == list(fields["stages"].values())
    assert (fields["cost_usd"], fields["budget"]["covers"]) == (0.3, 3)
    assert fields["first_tasks"][0]["request"]["prompt"] == "a blue mug in oak"
    assert batchgen.service.charged() == 0
    assert sorted(path.name for path in batchgen.folder.iterdir()) == ["job.yaml", "rows.csv"]


def test_every_task_is_a_line_of_json(batchgen):
    """With what becomes of it: its request, its file, and whether it is still to be made."""
    write(batchgen)
    batchgen.run("--only=mug")

    tasks = [json.loads(line) for line in plan(batchgen, "--tasks").splitlines()]

    assert [(task["label"], task["to_make"]) for task in tasks] == [
        ("mug/oak/1", False),
        ("mug/slate/1", False),
        ("lamp/slate/1", True),
        ("vase/oak/1", True),
        ("vase/slate/1", True),
    ]
    assert tasks[2]["path"] == "images/lamp-slate-1.png"
    assert tasks[2]["price_usd"] == 0.14


def test_what_is_made_again_says_what_changed(batchgen):
    """Field by field against the older record of the same item; the rest is counted as made."""
    write(batchgen)
    batchgen.run()
    write(batchgen, "override: [{when: {id: mug}, set: {parameters: {aspect_ratio: '4:5'}}}]\n")

    fields = json.loads(plan(batchgen, "--explain", "--json"))
    page = plan(batchgen, "--explain")

    assert (fields["made"], fields["to_make"], fields["cost_usd"]) == (3, 2, 0.08)
    assert [(each["label"], each["fields"]) for each in fields["changed"]] == [
        ("mug/oak/1", {"aspect_ratio": [None, "4:5"]}),
        ("mug/slate/1", {"aspect_ratio": [None, "4:5"]}),
    ]
    assert '    aspect_ratio: nothing -> "4:5"' in page
    assert batchgen.service.charged() == 5


def test_a_new_combination_of_an_item_is_not_one_that_changed(batchgen):
    """The older ones are still wanted; one that is not is what a new one is held against."""
    write(batchgen)
    batchgen.run()
    job = batchgen.folder / "job.yaml"
    text = job.read_text("utf-8")

    job.write_text(text.replace("[oak, slate]", "[oak, slate, white]"), "utf-8")
    assert json.loads(plan(batchgen, "--explain", "--json"))["changed"] == []

    job.write_text(text.replace("[oak, slate]", "[oak, stone]"), "utf-8")
    changed = json.loads(plan(batchgen, "--explain", "--json"))["changed"]
    assert next((each["label"], each["fields"]["prompt"]) for each in changed) == (
        "mug/stone/1",
        ["a blue mug in slate", "a blue mug in stone"],
    )


def test_an_end_and_its_deadline_have_their_day(batchgen):
    """A deadline of tomorrow is not before an end of today; a program reads instants and odds."""
    write(batchgen, "limits: {until: '00:00'}\n")

    fields = json.loads(plan(batchgen, "--json"))
    dry = json.loads(batchgen("run", "job.yaml", "--dry-run", "--json").out)

    assert f"the deadline at {fields['until'][:10]} 00:00" in plan(batchgen)
    ends = fields["ends"]
    first, middle, last = map(
        datetime.fromisoformat, (ends["earliest_at"], fields["ends_at"], ends["latest_at"])
    )
    assert first <= middle <= last
    assert middle.tzinfo is not None
    assert ends["probability"] == 0.9
    assert 0 <= fields["before_until_probability"] <= 1
    assert dry["ends"] == {**ends, **{at: dry["ends"][at] for at in ("earliest_at", "latest_at")}}


def test_a_chain_tells_its_steps_and_what_is_derived(batchgen):
    """By step and model; derived files are counted, and free."""
    write(batchgen)
    cut = "us.stability.stable-image-remove-background-v1:0"
    job = batchgen.folder / "job.yaml"
    steps = f"steps: [{{id: make}}, {{id: cut, model: '{cut}', parameters: {{image: '@make'}}}}]\n"
    derive = "derive: [{suffix: -s, width: 64}, {suffix: -m, width: 128}]\n"
    job.write_text(job.read_text("utf-8") + steps + derive, "utf-8")

    page, fields = plan(batchgen), json.loads(plan(batchgen, "--json"))

    assert f"  step make: 4 tasks, 0 made, 4 to make, by {CORE}" in page
    assert f"  step make: 1 task, 0 made, 1 to make, by {ULTRA}" in page
    assert f"  step cut: 5 tasks, 0 made, 5 to make, by {cut}" in page
    derived = (
        "Derived files: 2 of each image of cut, 10 to make on this machine; they cost nothing."
    )
    assert derived in page
    assert [(each["step"], each["to_make"]) for each in fields["steps"]] == [
        ("make", 4),
        ("make", 1),
        ("cut", 5),
    ]
    assert fields["derivatives"] == {
        "of_each": [{"step": "make", "count": 0}, {"step": "cut", "count": 2}],
        "files": 10,
        "cost_usd": 0.0,
    }
    assert fields["cost_usd"] == 0.65


def test_nothing_at_all_is_touched(batchgen):
    """Neither a file nor a folder nor their times, beside an output that is there."""
    write(batchgen)
    batchgen.run("--limit=2")
    charged = batchgen.service.charged()

    def seen():
        return {path: path.stat().st_mtime_ns for path in sorted(batchgen.folder.rglob("*"))}

    before = seen()
    for options in ((), ("--explain",), ("--tasks",), ("--json",)):
        plan(batchgen, *options)
    batchgen("run", "job.yaml", "--dry-run")
    plan(batchgen, "--output=elsewhere", "--fresh")
    assert seen() == before
    assert batchgen.service.charged() == charged


def test_an_unknown_price_is_unknown(batchgen):
    """Never nothing; a price of the job counts over the list."""
    arn = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abc"
    job = batchgen.folder / "job.yaml"
    text = (
        f"name: shop\nendpoint: {batchgen.service.url}\nmodel: '{arn}'\nfamily: stable-image\n"
        "items: [{id: a, prompt: x}]\n"
    )
    job.write_text(text, "utf-8")
    assert "1 to make for an unknown sum" in plan(batchgen)
    assert json.loads(plan(batchgen, "--json"))["cost_usd"] is None

    job.write_text(text + f"prices: {{'{arn}': 0.5}}\n", "utf-8")
    assert "1 to make for 0.50 USD" in plan(batchgen)


def test_a_wrong_job_ends_with_every_complaint(batchgen):
    """As `run` and `validate` do."""
    write(batchgen, "max_tasks: 3\n")

    ended = batchgen("plan", "job.yaml")

    assert (ended.code, ended.out) == (2, "")
    assert "max_tasks: the job would make 5 images; max_tasks allows 3" in ended.err


def test_the_rest_of_chains_whose_first_step_is_done(batchgen):
    """What is left is planned, and what it costs and when it ends is said."""
    cutter = "us.stability.stable-image-remove-background-v1:0"
    cut = {"id": "cut", "model": cutter, "parameters": {"image": "@generate"}}
    steps = [{"id": "generate"}, cut]
    batchgen.job("a mug", "a lamp", steps=steps, limits={"budget_usd": 0.12})
    assert batchgen.run().code == 3
    assert batchgen.service.charged() == 2

    planned, dry = batchgen("plan", "job.yaml"), batchgen.run("--dry-run")

    assert (planned.code, dry.code) == (0, 0)
    assert "4 tasks, 2 made already, 2 to make for 0.14 USD" in planned.out
    assert dry.out.startswith("2 of 4 tasks would be made for 0.14 USD")
