"""Whole runs of jobs with steps: what is sent, when, what is on record and what it costs."""

import asyncio
import base64
import json
import os
from collections import Counter
from decimal import Decimal

import pytest
from fake_models import REFUSED, Models, job_of, run_of
from fakes import CORE, ULTRA, picture, reply
from virtual_time import virtual_time

from batchgen import plan
from batchgen.job import Job
from batchgen.record import Status
from batchgen.runner import chains
from batchgen.task import task_id

CUT = "us.stability.stable-image-remove-background-v1:0"
LARGE = "us.stability.stable-fast-upscale-v1:0"
PICTURE = reply(picture(size=(640, 640)))
STEPS = [
    {"id": "generate"},
    {"id": "cut", "model": CUT, "parameters": {"image": "@generate"}},
    {"id": "large", "model": LARGE, "parameters": {"image": "@cut"}},
]
PRICE = Decimal("0.14")


def shaded():
    """Pictures of one size, each another one."""
    shade = iter(range(1, 10_000))
    return lambda _: reply(picture(size=(640, 640), shade=next(shade) % 200))


def good(**scripts):
    """Models that make pictures which other models take; scripts by short names."""
    names = {"core": CORE, "cut": CUT, "large": LARGE}
    made = shaded()
    return Models({name: scripts.get(short, made) for short, name in names.items()})


def chain_job(folder, tasks=2, **changes):
    return job_of(folder, tasks, **{"steps": STEPS, **changes})


def last(ran):
    """Label -> its last record."""
    return {record["label"]: record for record in ran.lines("record")}


def counted(models):
    return Counter(call.model_id for call in models.calls)


@virtual_time
async def test_each_step_gets_the_image_of_its_parent(tmp_path):
    """The bytes as they are stored; the record names task, path and hash, and its id is theirs."""
    models = good()

    ran = await run_of(chain_job(tmp_path / "out"), models)

    assert ran.summary.exit_code == 0
    assert counted(models) == {CORE: 2, CUT: 2, LARGE: 2}
    records = last(ran)
    assert set(records) == {f"mug-{n}/1/{step['id']}" for n in range(2) for step in STEPS}
    for n in range(2):
        for parent, child in (("generate", "cut"), ("cut", "large")):
            above, below = records[f"mug-{n}/1/{parent}"], records[f"mug-{n}/1/{child}"]
            image = above["images"][0]
            assert below["request"]["image"] == {
                "task": above["task_id"],
                "path": image["path"],
                "sha256": image["sha256"],
            }
            assert image["path"] == f"images/mug-{n}-1-{parent}.png"
            assert below["task_id"] == task_id(below["model_id"], below["request"])
            data = base64.b64encode((ran.folder / image["path"]).read_bytes()).decode()
            assert data in [call.request.get("image") for call in models.calls]


@virtual_time
async def test_sizes_are_made_of_the_last_step(tmp_path):
    """Or as a step says; that one orders more later costs no call."""
    derive = [{"suffix": "-s", "width": 64}]
    await run_of(chain_job(tmp_path / "out", 1, derive=derive), good())

    def files():
        return sorted(each.name for each in (tmp_path / "out/images").glob("*-*-s.png"))

    assert files() == ["mug-0-1-large-s.png"]
    own = [{**STEPS[0], "derive": [{"suffix": "-s", "width": 32}]}, *STEPS[1:]]
    models = good()
    ran = await run_of(chain_job(tmp_path / "out", 1, derive=derive, steps=own), models)

    assert (models.calls, ran.summary.exit_code) == ([], 0)
    assert files() == ["mug-0-1-generate-s.png", "mug-0-1-large-s.png"]


class Late(Models):
    """The first picture is quick, all others of its model take long."""

    async def invoke(self, model_id, body):
        if model_id == CORE and json.loads(body)["prompt"] != "mug 0":
            await asyncio.sleep(500)
        return await super().invoke(model_id, body)


@virtual_time
async def test_a_step_starts_when_its_parent_is_done(tmp_path):
    """Not stage by stage: the first picture is cut out while others are still made."""
    models = Late(good().scripts)

    await run_of(chain_job(tmp_path / "out", 3, steps=STEPS[:2]), models)

    starts = sorted(call.at for call in models.calls if call.model_id == CUT)
    assert starts[0] < 100
    assert starts[1] >= 500


@virtual_time
async def test_a_second_run_makes_nothing(tmp_path):
    """Nothing is called, nothing is written twice."""
    job = chain_job(tmp_path / "out")
    await run_of(job, good())
    models = good()

    ran = await run_of(job, models)

    assert models.calls == []
    assert (ran.summary.exit_code, ran.summary.earlier_succeeded) == (0, 6)


@pytest.mark.parametrize(
    ("answer", "status", "again"), [(REFUSED, "filtered", 0), (b"{}", "failed", 1)]
)
@virtual_time
async def test_a_parent_that_was_not_made(tmp_path, answer, status, again):
    """Its children are skipped with the reason, unpaid; they are made once it is."""
    retry = {"ambiguous": "fail"}
    job = chain_job(tmp_path / "out", 1, retry=retry)
    models = good(core=answer)

    ran = await run_of(job, models)

    records = last(ran)
    assert counted(models) == {CORE: 1}
    assert records["mug-0/1/generate"]["status"] == status
    for step, parent in (("cut", f"generate was {status}"), ("large", "cut was skipped")):
        record = records[f"mug-0/1/{step}"]
        assert (record["status"], record["attempts"], record["cost_usd"]) == ("skipped", 0, 0.0)
        assert record["images"] == []
        assert f"mug-0/1/{parent}" in record["error"]["message"]
    assert (ran.summary.exit_code, ran.summary.skipped) == (1, 2)
    assert not list(ran.folder.glob("images/*"))

    models = good()
    second = await run_of(job, models)
    assert counted(models) == ({CORE: 1, CUT: 1, LARGE: 1} if again else {})
    assert second.summary.exit_code == (0 if again else 1)
    if not again:
        earlier = second.summary.to_json()["earlier"]
        assert earlier == {"succeeded": 0, "filtered": 1, "skipped": 2}
        assert len(second.lines("record")) == 3
        third = await run_of(job, good(), retry_filtered=True)
        assert third.summary.exit_code == 0


@virtual_time
async def test_a_middle_step_that_fails(tmp_path):
    """What is above it stays; the next run makes it and what is below."""
    job = chain_job(tmp_path / "out", 1, retry={"ambiguous": "fail"})
    await run_of(job, good(cut=b"{}"))
    models = good()

    ran = await run_of(job, models)

    assert counted(models) == {CUT: 1, LARGE: 1}
    assert ran.summary.exit_code == 0


@virtual_time
async def test_an_anchor_comes_before_those_that_take_its_picture(tmp_path):
    """Wherever it stands among the items."""
    steps = [
        {"id": "generate"},
        {
            "id": "styled",
            "model": "us.stability.stable-style-transfer-v1:0",
            "parameters": {"init_image": "@generate", "style_image": "@item:mug-2/generate"},
        },
    ]
    models = good()
    models.scripts["us.stability.stable-style-transfer-v1:0"] = shaded()
    job = chain_job(tmp_path / "out", 3, steps=steps)

    ran = await run_of(job, models)

    records = last(ran)
    anchor = records["mug-2/1/generate"]
    assert ran.summary.exit_code == 0
    assert len(records) == 6
    for n in range(3):
        request = records[f"mug-{n}/1/styled"]["request"]
        assert request["style_image"]["task"] == anchor["task_id"]
        assert request["style_image"]["sha256"] == anchor["images"][0]["sha256"]
        assert request["init_image"]["task"] == records[f"mug-{n}/1/generate"]["task_id"]


@virtual_time
async def test_anchors_that_need_each_other(tmp_path):
    """By different steps, so that it is no circle; whichever of them stands first."""
    style = "us.stability.stable-style-transfer-v1:0"
    steps = [
        {"id": "a"},
        {
            "id": "b",
            "model": style,
            "parameters": {"init_image": "@a", "style_image": "@item:mug-2/a"},
        },
        {
            "id": "c",
            "model": style,
            "parameters": {"init_image": "@a", "style_image": "@item:mug-1/b"},
        },
    ]
    models = Models({name: shaded() for name in (CORE, style)})
    job = chain_job(tmp_path / "out", 4, steps=steps)

    first = await run_of(job, models, limit=3)
    assert (first.summary.succeeded, first.summary.left_elsewhere) == (3, 9)
    ran = await run_of(job, models)

    assert (ran.summary.exit_code, ran.summary.succeeded) == (0, 9)
    assert counted(models) == {CORE: 4, style: 8}


@virtual_time
async def test_only_a_late_step_makes_what_it_needs(tmp_path):
    """`--only` of a step brings its parents along, and nothing else."""
    models = good()

    ran = await run_of(chain_job(tmp_path / "out"), models, only=["mug-1/1/cut"])

    assert set(last(ran)) == {"mug-1/1/generate", "mug-1/1/cut"}
    assert ran.summary.left_elsewhere == 4


@virtual_time
async def test_a_limit_counts_tasks(tmp_path):
    """In the order of the plan; the rest is made later."""
    job, models = chain_job(tmp_path / "out"), good()
    ran = await run_of(job, models, limit=2)
    assert set(last(ran)) == {"mug-0/1/generate", "mug-0/1/cut"}

    models = good()
    await run_of(job, models)
    assert counted(models) == {CORE: 1, CUT: 1, LARGE: 2}


@virtual_time
async def test_a_new_seed_above_makes_all_below_anew(tmp_path):
    """The parent has another id, and so have its children."""
    job = chain_job(tmp_path / "out")
    await run_of(job, good())
    models = good()

    await run_of(job, models, reseed=True, only=["mug-0/1/generate"])
    assert counted(models) == {CORE: 1}
    models = good()
    ran = await run_of(job, models)

    assert counted(models) == {CUT: 1, LARGE: 1}
    assert ran.summary.exit_code == 0


@virtual_time
async def test_a_parent_that_was_made_again_makes_its_children_again(tmp_path):
    """With the same id and another picture: what was made of the old one is no picture of it."""
    job = chain_job(tmp_path / "out")
    await run_of(job, good())
    different = good(core=lambda _: reply(picture(size=(640, 640), shade=222)))
    await run_of(job, different, fresh=True, only=["mug-0/1/generate"])
    models = good(cut=lambda _: reply(picture(size=(640, 640), shade=223)))

    await run_of(job, models)
    ran = await run_of(job, models)

    assert counted(models) == {CUT: 1, LARGE: 1}
    record = last(ran)["mug-0/1/cut"]
    assert (
        record["request"]["image"]["sha256"] == last(ran)["mug-0/1/generate"]["images"][0]["sha256"]
    )


@virtual_time
async def test_an_image_that_is_gone_is_made_before_its_children(tmp_path):
    """Behind all others, in the same run."""
    job = chain_job(tmp_path / "out")
    await run_of(job, good(), only=["*/generate"])
    (tmp_path / "out/images/mug-0-1-generate.png").unlink()
    models = good()

    ran = await run_of(job, models)

    assert counted(models) == {CORE: 1, CUT: 2, LARGE: 2}
    assert ran.summary.exit_code == 0


@pytest.mark.parametrize("only", [(), ("*/cut", "*/large")])
@virtual_time
async def test_an_image_that_was_altered_unseen_is_made_before_its_children(tmp_path, only):
    """With its size and time as they were, or where nobody asked for it: the child reads it."""
    job = chain_job(tmp_path / "out")
    await run_of(job, good(), only=["*/generate"])
    path = tmp_path / "out/images/mug-0-1-generate.png"
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    models = good()

    ran = await run_of(job, models, only=only)

    assert counted(models) == {CORE: 1, CUT: 2, LARGE: 2}
    assert ran.summary.exit_code == 0
    assert ran.summary.total == (5 if only else 6)
    assert any("Missing or altered images of earlier runs: 1;" in each for each in ran.notices)


@virtual_time
async def test_a_picture_that_the_next_model_does_not_take(tmp_path):
    """Nothing is sent: the step fails with the limit in its sentence."""
    models = good(core=reply(picture(size=(2000, 2000))))
    ran = await run_of(
        chain_job(
            tmp_path / "out",
            1,
            steps=[STEPS[0], {"id": "large", "model": LARGE, "parameters": {"image": "@generate"}}],
        ),
        models,
    )

    record = last(ran)["mug-0/1/large"]
    assert counted(models) == {CORE: 1}
    assert (record["status"], record["attempts"], record["cost_usd"]) == ("failed", 0, 0.0)
    assert "2000x2000" in record["error"]["message"]


@pytest.mark.parametrize("whole", [False, True])
@virtual_time
async def test_a_budget_for_whole_chains(tmp_path, whole):
    """Begins no chain that it cannot pay to its end; without it, the first steps eat the money."""
    limits = {"budget_usd": 0.42, "whole_chains": whole, "concurrency": 2}
    models = good()

    ran = await run_of(chain_job(tmp_path / "out", 20, limits=limits), models)

    assert ran.summary.exit_code == 3
    assert models.may_cost() <= Decimal("0.42")
    made = counted(models)
    if whole:
        assert made == {CORE: 3, CUT: 3, LARGE: 3}
        again = await run_of(chain_job(tmp_path / "out", 20, limits=limits), good())
        assert again.summary.succeeded == 0
    else:
        assert made[CORE] > 3


@virtual_time
async def test_the_rest_of_a_chain_is_paid_before_a_new_one(tmp_path):
    """A budget that has no room for a whole chain has some for the last step of one."""
    limits = {"budget_usd": 0.14, "whole_chains": True}
    job = chain_job(tmp_path / "out", 3)
    await run_of(job, good(), only=["mug-2/1/cut"])
    models = good()

    ran = await run_of(chain_job(tmp_path / "out", 3, limits=limits), models)

    assert counted(models) == {LARGE: 1}
    assert (ran.summary.exit_code, ran.summary.stopping.cause) == (3, "budget")


@virtual_time
async def test_chains_of_one_model_with_more_variants_than_are_read_ahead(tmp_path, monkeypatch):
    """What is set aside is for steps far behind the first ones; nothing waits for ever."""
    monkeypatch.setattr(chains, "MOST_WAITING", 2)
    steps = [
        {"id": "one"},
        {"id": "two", "parameters": {"image": "@one", "strength": 0.5}},
    ]
    limits = {"budget_usd": 0.56, "whole_chains": True}
    models = Models({ULTRA: shaded()})
    job = chain_job(tmp_path / "out", 1, steps=steps, limits=limits, variants=9, model=ULTRA)

    ran = await run_of(job, models)

    assert ran.summary.exit_code == 3
    assert Counter("image" in call.request for call in models.calls) == {False: 2, True: 2}


@virtual_time
async def test_more_chains_than_are_read_ahead(tmp_path, monkeypatch):
    """What waits for a parent takes little memory, and holds nobody up for ever."""
    monkeypatch.setattr(chains, "MOST_WAITING", 3)
    steps = [{**STEPS[0]}, {**STEPS[1]}, {**STEPS[2], "parameters": {"image": "@generate"}}]
    models = good()

    ran = await run_of(chain_job(tmp_path / "out", 40, steps=steps), models)

    assert ran.summary.exit_code == 0
    assert counted(models) == {CORE: 40, CUT: 40, LARGE: 40}


@virtual_time
async def test_an_anchor_far_behind_those_that_wait_for_it(tmp_path, monkeypatch):
    """In the queue of its model: it is read, however many wait before it."""
    monkeypatch.setattr(chains, "MOST_WAITING", 2)
    steps = [
        {"id": "a"},
        {"id": "b", "parameters": {"image": "@item:mug-1/a", "strength": 0.5}},
        {"id": "c", "parameters": {"image": "@item:mug-0/a", "strength": 0.6}},
    ]
    models = Models({ULTRA: shaded()})
    job = chain_job(tmp_path / "out", 2, steps=steps, variants=4, model=ULTRA)

    ran = await run_of(job, models)

    assert (ran.summary.exit_code, len(models.calls)) == (0, 24)


def test_jobs_without_steps_are_as_they_were():
    """A step more changes neither seed nor id of the first one."""
    items = [{"id": "mug", "prompt": "a mug"}]
    plain = Job(name="shop", model=CORE, items=items)
    chained = Job(name="shop", model=CORE, items=items, steps=STEPS)
    (own,) = plan.expand(plain)
    first, *others = plan.expand(chained)

    assert (first.id, first.seed) == (own.id, own.seed)
    assert [task.label for task in others] == ["mug/1/cut", "mug/1/large"]
    assert Status.SKIPPED == "skipped"
