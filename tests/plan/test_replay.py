"""From records to the tasks that make their images again."""

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from fakes import CORE, ULTRA, make_image, make_record, make_task, picture
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import InputError
from batchgen.job import Limits
from batchgen.plan import Choice, Replay
from batchgen.plan.choice import choose, replay_job
from batchgen.record import Served, Status
from batchgen.task import compact, task_id

SD35 = "stability.sd3-5-large-v1:0"
RETIRED = "stability.sd3-large-v1:0"
PROFILE = "arn:aws:bedrock:us-west-2:1:provisioned-model/abc"


class Records(list):
    """Records in memory, as a manifest gives them."""

    def read(self, indices=None):
        return iter([self[index] for index in (range(len(self)) if indices is None else indices)])


def replay(*records, job_files=None, limits=None, **choice):
    chosen = choose(Records(records), Choice(**choice))
    job = replay_job(chosen, Path("out/shop"), "shop")
    if limits is not None:
        job = job.model_copy(update={"limits": limits})
    return Replay(job, chosen, job_files or {})


def tasks(plan):
    return list(plan.expand(random_seed_key=""))


def reason(record, **options):
    (planned,) = replay(record, **options).planned()
    assert planned.task is None
    return planned.reason


def altered(record, **request):
    return record.model_copy(update={"request": {**record.request, **request}})


def test_a_task_is_what_was_asked(tmp_path):
    """Model, body, seed, label and file of the record; it names its original."""
    record = make_record()

    plan = replay(record)

    (task,) = tasks(plan)
    assert task.id == record.task_id
    assert (task.model_id, task.request, task.seed) == (CORE, record.request, record.seed)
    assert (task.label, task.item_id, task.vars) == (record.label, record.item_id, record.vars)
    assert f"{task.file_stem}.png" == record.images[0].path
    assert task.original == {
        "task_id": record.task_id,
        "run_id": "run-1",
        "path": record.images[0].path,
        "sha256": record.images[0].sha256,
    }
    ((model_id, ids),) = plan.compact_ids(random_seed_key="")
    assert (model_id, list(ids)) == (CORE, [compact(task.id)])


def test_what_was_served_is_what_is_made_again():
    """A fallback's image came of the fallback's request."""
    request = {"prompt": "other", "seed": 9, "output_format": "png"}
    served = Served(reason="denied", model_id=ULTRA, seed=9, request=request)

    (task,) = tasks(replay(make_record(served=served)))

    assert (task.model_id, task.seed, task.request) == (ULTRA, 9, request)
    assert task.id == task_id(ULTRA, request)


def test_equal_requests_are_made_once():
    """Two records whose images came of one request have one task, and both have it."""
    record = make_record()
    twin = record.model_copy(update={"task_id": "1-" + "0" * 32, "label": "twin/1"})

    plan = replay(record, twin)

    assert len(tasks(plan)) == plan.check().tasks == 1
    assert {planned.task.id for planned in plan.planned()} == {record.task_id}


def test_images_of_one_name_get_two():
    """Two records may name one file, by case too; neither image moves the other one away."""
    one = make_record(images=(make_image(path="images/Mug.png"),))
    other = make_record(images=(make_image(path="superseded/mug.png"),))

    stems = [task.file_stem.lower() for task in tasks(replay(one, other))]

    assert len(set(stems)) == 2
    assert all(stem.startswith("images/mug") for stem in stems)


@pytest.mark.parametrize(
    "path", ["images/CON.png", "images/a:b.png", "x", "images/.hid.png", "images/\x1b[31m.png"]
)
def test_a_name_that_no_job_may_have_is_not_taken_over(path):
    """A manifest may come from anybody: such an image is named by its id."""
    record = make_record(images=(make_image(path=path),))

    (task,) = tasks(replay(record))

    assert task.file_stem in (f"images/{record.task_id}", "images/x")


@pytest.mark.parametrize("where", ["seed", "request", "both"])
def test_an_altered_seed_is_the_one_that_is_sent(where):
    """Where seed and request contradict each other, what the id does not know is what is wanted."""
    record = make_record()
    new = record.seed + 1
    if where != "seed":
        record = altered(record, seed=new)
    if where != "request":
        record = record.model_copy(update={"seed": new})

    (task,) = tasks(replay(record))

    assert task.seed == task.request["seed"] == new
    assert task.id == task_id(CORE, task.request)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": None}, "got no seed"),
        ({"seed": 0}, "names no picture"),
        ({"seed": True}, "names no picture"),
        ({"seed": "7"}, "names no picture"),
    ],
)
def test_without_a_seed_no_image_comes_again(change, said):
    """The service, or the model, chose it."""
    assert said in reason(altered(make_record(), **change))


def test_a_model_that_takes_no_seed_makes_no_picture_again():
    """As removing a background: the record says so, and nothing is paid."""
    model = "us.stability.stable-image-remove-background-v1:0"
    request = {"image": {"path": "a.png", "sha256": "0" * 64}, "output_format": "png"}
    record = make_record().model_copy(update={"model_id": model, "request": request})

    assert "takes no seed" in reason(record)


def test_a_model_past_its_end_is_not_called():
    """On AWS, which refuses it; the simulator still has it, and another model can be named."""
    record = make_record(make_task(RETIRED), endpoint="aws")

    assert "past its end of life" in reason(record)
    assert len(tasks(replay(record, endpoint="simulator"))) == 1
    (task,) = tasks(replay(record, model=SD35))
    assert (task.model_id, task.seed) == (SD35, record.seed)


def test_another_model_takes_what_a_fallback_would():
    """Same prompt and seed, its own words for the rest; what it has no word for is a reason."""
    record = altered(make_record(), aspect_ratio="4:5")
    record = record.model_copy(update={"task_id": task_id(CORE, record.request)})

    (task,) = tasks(replay(record, model=SD35))

    assert task.request == {**record.request, "aspect_ratio": "4:5"}
    assert task.price_usd == Decimal("0.08")
    assert "cannot stand in" in reason(altered(record, output_format="webp"), model=ULTRA)


def test_input_images_are_found_by_path_and_hash(tmp_path):
    """In the folder of the job file of their run; the id does not depend on where that is."""
    data = picture(size=(64, 64))
    (tmp_path / "photo.png").write_bytes(data)
    named = {"path": "photo.png", "sha256": hashlib.sha256(data).hexdigest()}
    record = altered(make_record(), image=named)
    files = {"run-1": str(tmp_path / "job.yaml")}
    (task,) = tasks(replay(record, job_files=files))
    assert task.request["image"] == {**named, "path": str(tmp_path / "photo.png")}
    assert task.id == task_id(CORE, record.request)

    (tmp_path / "photo.png").write_bytes(picture(size=(64, 64), shade=1))
    assert 'photo.png" has changed since' in reason(record, job_files=files)
    (tmp_path / "photo.png").write_bytes(data[:-9])
    assert 'photo.png" cannot be sent' in reason(record, job_files=files)
    (tmp_path / "photo.png").unlink()
    assert 'photo.png" is gone' in reason(record, job_files=files)
    assert "is gone" in reason(altered(record, image={"path": None, "sha256": 3}))


@pytest.mark.parametrize(
    "request_",
    [
        {"seed": 1},
        {"seed": 1, "prompt": 7, "output_format": ["png"]},
        {"seed": 1, "text_prompts": 3},
    ],
)
def test_a_request_that_is_none_has_a_reason(request_):
    """Whoever wrote it: no traceback, and a task only where the family knows its way in it."""
    record = make_record().model_copy(update={"request": request_})

    for choice in ({}, {"model": SD35}):
        for planned in replay(record, **choice).planned():
            assert (planned.task is None) == bool(planned.reason)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=8,
    ),
    st.sampled_from([None, SD35, CORE]),
)
def test_no_request_breaks_the_plan(value, model):
    """Any JSON in any field of a request: a task or a reason."""
    record = altered(make_record(), prompt=value, aspect_ratio=value, negative_prompt=value)

    for planned in replay(record, model=model).planned():
        assert (planned.task is None) == bool(planned.reason)


def test_a_model_of_no_known_name_is_known_by_its_request():
    """The record has no family; its price is what the record says."""
    record = make_record().model_copy(update={"model_id": PROFILE, "cost_usd": 0.33})

    (task,) = tasks(replay(record))

    assert (task.family, task.price_usd) == ("stable-image", Decimal("0.33"))
    odd = record.model_copy(update={"request": {"seed": 3, "words": "a mug"}})
    assert "does not tell which model it runs" in reason(odd)


@pytest.mark.parametrize("cost", [0.0, -5.0, float("nan"), float("inf"), 1e9, None])
def test_a_cost_that_nobody_charges_does_not_count(cost):
    """A manifest that says 0 does not get round a budget."""
    (task,) = tasks(replay(make_record().model_copy(update={"cost_usd": cost})))

    assert task.price_usd == Decimal("0.04")


def test_a_budget_needs_every_price():
    """As in a run."""
    record = make_record().model_copy(update={"model_id": PROFILE, "cost_usd": None})

    with pytest.raises(InputError, match="--max-cost cannot be kept: nobody knows the price"):
        replay(record, limits=Limits(run_budget_usd=1)).check()


class TestChoice:
    def test_the_parts_of_a_manifest(self):
        """Patterns of ids and labels, statuses, and the first so many."""
        records = Records(
            [make_record(make_task(item_id=name, label=f"{name}/1")) for name in "abc"]
        )
        records.append(make_record(status=Status.FILTERED, images=()))

        def chosen(**choice):
            return [record.item_id for record in choose(records, Choice(**choice)).read()]

        assert chosen() == ["a", "b", "c"]
        assert chosen(only=["b*", "c/1"]) == ["b", "c"]
        assert chosen(limit=2) == ["a", "b"]
        assert chosen(statuses=[Status.FILTERED]) == [records[3].item_id]
        with pytest.raises(InputError, match="No record that was chosen is failed"):
            chosen(statuses=[Status.FAILED])

    def test_a_pattern_that_fits_nothing_is_a_slip(self):
        """Named with the nearest label."""
        records = Records([make_record(make_task(item_id="mug", label="mug/1"))])

        with pytest.raises(InputError, match='"mgu" fits no record of the manifest; did you mean'):
            choose(records, Choice(only=["mgu"]))


class TestSettings:
    def test_the_output_is_beside_the_originals(self, tmp_path, monkeypatch):
        """Another one for another model; never that of the originals."""
        record = make_record()
        assert replay(record).job.output == "out/shop-reproduced"
        assert (
            replay(record, model=SD35).job.output == f"out/shop-reproduced-{SD35.replace(':', '-')}"
        )
        assert replay(record, output="there").job.output == "there"
        for same in ("out/shop", "./out/../out/shop/", "out/shop/images", "out/shop/images/new"):
            with pytest.raises(InputError, match="holds the originals"):
                replay(record, output=same)
        monkeypatch.chdir(tmp_path)
        chosen = choose(Records([record]), Choice())
        assert replay_job(chosen, Path(), None).output == f"{tmp_path}-reproduced"

    def test_the_endpoint_is_that_of_the_records(self):
        """A picture of the simulator is made by the simulator; where they differ, say which."""
        simulated, real = make_record(), make_record(endpoint="aws")

        assert replay(simulated).job.endpoint == "simulator"
        assert replay(real).job.endpoint == "aws"
        assert replay(simulated, real, endpoint="simulator").job.endpoint == "simulator"
        with pytest.raises(InputError, match="several endpoints"):
            replay(simulated, real)
        for nonsense in ("", "ftp://x", "\x1b[31m"):
            with pytest.raises(InputError, match="endpoint") as refused:
                replay(make_record(endpoint=nonsense))
            assert str(refused.value).isprintable()

    def test_every_model_is_called_where_it_was(self):
        """Records of several Regions go by a route for each."""
        west, east = make_record(), make_record(make_task(ULTRA), region="us-east-1")

        assert replay(west).job.region == "us-west-2"
        routes = {
            route.region: set(route.models) for route in replay(west, east).job.effective_routes
        }
        assert routes == {"us-west-2": {CORE}, "us-east-1": {ULTRA}}

    def test_another_model_is_called_where_it_is_served(self):
        """Where the records say, if it is served there; else where it is."""
        assert replay(make_record(region="eu-west-1"), model=SD35).job.region == "us-west-2"
        both = (make_record(region="eu-west-1"), make_record())
        assert replay(*both, model=SD35).job.region == "us-west-2"
        with pytest.raises(InputError, match=r"--model: .* is not a model"):
            replay(make_record(), model="nope")
