from decimal import Decimal

import pytest
from fakes import CORE, ULTRA, make_job, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st

from batchgen import plan
from batchgen.job import Item, load
from batchgen.output.manifest import MANIFEST_NAME
from batchgen.output.read_history import load_history
from batchgen.plan import JobPlan
from batchgen.record import Status
from batchgen.runner import selection
from batchgen.runner.pending import IndexSet, TaskSet
from batchgen.runner.progress import Earlier
from batchgen.runner.selection import Selection, select
from batchgen.task import compact


@pytest.fixture
def job(tmp_path):
    return make_job(tmp_path, a="one", b="two", c="three", d="four")


def tasks_of(job):
    """Label -> task."""
    return {task.item_id: task for task in plan.expand(job, random_seed_key="k")}


def past(job, folder, **statuses):
    """The history of an output where these items have these statuses."""
    tasks = tasks_of(job)
    lines = [
        make_record(tasks.get(name) or make_task(), status=Status(status)).to_json()
        for name, status in statuses.items()
    ]
    (folder / MANIFEST_NAME).write_bytes(b"".join(lines))
    return load_history(folder / MANIFEST_NAME)


def labels(chosen):
    """Item ids of what was chosen, in the order of the plan."""
    return [task.item_id for _, task in sorted(chosen.indexed(), key=lambda each: each[0])]


class TestSelect:
    def test_without_a_history_everything_is_made(self, job, tmp_path):
        """The first run of an output makes the whole plan."""
        pending = select(JobPlan(job), load_history(tmp_path / MANIFEST_NAME), Selection(), "k")
        assert labels(pending.to_make) == ["a", "b", "c", "d"]
        assert len(pending.succeeded) == 0
        assert (pending.earlier, pending.again, pending.unknown) == (Earlier(), 0, 0)

    def test_what_is_done_is_not_made_again(self, job, tmp_path):
        """Succeeded and filtered tasks are done; failed ones are tried again."""
        history = past(job, tmp_path, a="succeeded", b="filtered", c="failed")
        pending = select(JobPlan(job), history, Selection(), "k")
        assert labels(pending.to_make) == ["c", "d"]
        assert labels(pending.succeeded) == ["a"]
        assert pending.earlier == Earlier(succeeded=1, filtered=1)
        assert (pending.again, pending.unknown) == (1, 0)

    def test_filtered_ones_are_made_again_when_asked_for(self, job, tmp_path):
        """`--retry-filtered` is for whoever thinks the service changed its mind."""
        history = past(job, tmp_path, a="succeeded", b="filtered")
        pending = select(JobPlan(job), history, Selection(retry_filtered=True), "k")
        assert labels(pending.to_make) == ["b", "c", "d"]
        assert pending.earlier == Earlier(succeeded=1)
        assert pending.again == 1

    def test_fresh_makes_everything_again(self, job, tmp_path):
        """`--fresh` asks the manifest for nothing."""
        history = past(job, tmp_path, a="succeeded", b="filtered", c="failed")
        pending = select(JobPlan(job), history, Selection(fresh=True), "k")
        assert labels(pending.to_make) == ["a", "b", "c", "d"]
        assert (pending.earlier, pending.again) == (Earlier(), 3)

    @pytest.mark.parametrize(("limit", "made"), [(0, ""), (1, "b"), (2, "bc"), (9, "bcd")])
    def test_a_limit_counts_what_is_made(self, job, tmp_path, limit, made):
        """`--limit 2` makes two, whatever is done already."""
        history = past(job, tmp_path, a="succeeded")
        pending = select(JobPlan(job), history, Selection(limit=limit), "k")
        assert labels(pending.to_make) == list(made)
        assert pending.earlier == Earlier(succeeded=1)

    def test_a_task_beyond_the_limit_is_not_made_again_either(self, job, tmp_path):
        """What is counted as made again is what will be."""
        history = past(job, tmp_path, a="failed", b="failed", c="failed")
        assert select(JobPlan(job), history, Selection(limit=2), "k").again == 2

    @pytest.mark.parametrize(
        ("only", "made"),
        [
            (("a",), "a"),
            (("a", "d"), "ad"),
            (("[bc]",), "bc"),
            (("*",), "abcd"),
            (("b/*",), "b"),
            (("A",), ""),
            (("x", "y"), ""),
        ],
    )
    def test_only_names_items_or_labels(self, job, tmp_path, only, made):
        """Patterns as a shell has them, of item ids or labels; each may fit."""
        pending = select(
            JobPlan(job), load_history(tmp_path / MANIFEST_NAME), Selection(only=only), "k"
        )
        assert labels(pending.to_make) == list(made)

    def test_only_leaves_the_others_out_of_the_count(self, job, tmp_path):
        """What was not asked for is neither made nor done; it is known all the same."""
        history = past(job, tmp_path, a="succeeded", b="succeeded", c="filtered")
        pending = select(JobPlan(job), history, Selection(only=("a", "d")), "k")
        assert labels(pending.to_make) == ["d"]
        assert pending.earlier == Earlier(succeeded=1)
        assert pending.unknown == 0

    @pytest.mark.parametrize("only", [(), ("*",)])
    def test_tasks_that_the_job_no_longer_has_are_counted(self, job, tmp_path, only):
        """The manifest may know more than the plan."""
        history = past(job, tmp_path, a="succeeded", gone="succeeded", too="failed")
        assert select(JobPlan(job), history, Selection(only=only), "k").unknown == 2

    def test_an_edit_makes_a_new_task(self, job, tmp_path):
        """Another prompt is another picture; the older one is unknown from then on."""
        history = past(job, tmp_path, a="succeeded", b="succeeded")
        edited = make_job(tmp_path, a="one", b="changed", c="three", d="four")
        pending = select(JobPlan(edited), history, Selection(), "k")
        assert labels(pending.to_make) == ["b", "c", "d"]
        assert pending.unknown == 1

    def test_with_and_without_patterns_the_walk_is_the_same(self, job, tmp_path):
        """Ids alone give what whole tasks give, variants and models of items included."""
        items = (
            Item(id="x", prompt="p", variants=3),
            Item(id="y", prompt="q", model=ULTRA),
            Item(id="z", prompt="r"),
        )
        job = job.model_copy(update={"items": items, "variants": 2, "seed": "random"})
        history = load_history(tmp_path / MANIFEST_NAME)
        by_id = select(JobPlan(job), history, Selection(), "k")
        by_task = select(JobPlan(job), history, Selection(only=("*",)), "k")
        assert list(by_id.to_make.indexed()) == list(by_task.to_make.indexed())
        assert by_id.to_make.models() == {job.model: 5, ULTRA: 2}

    @given(
        past=st.lists(
            st.none() | st.tuples(st.sampled_from(Status), st.sampled_from(["simulator", "aws"])),
            min_size=14,
            max_size=14,
        ),
        limit=st.none() | st.integers(1, 8),
        together=st.sampled_from([1, 3, 1000]),
    )
    def test_runs_of_made_tasks_are_passed_by(self, tmp_path_factory, past, limit, together):
        """Whatever became of them, as a look at each one says, however many come together."""
        folder = tmp_path_factory.mktemp("out")
        job = make_job(folder, x="x").model_copy(
            update={
                "items": (
                    Item(id="a", prompt="p", variants=5),
                    Item(id="b", prompt="q", model=ULTRA, variants=4),
                    Item(id="c", prompt="r", variants=5),
                )
            }
        )
        lines = [
            make_record(task, status=status[0], endpoint=status[1], images=()).to_json()
            for task, status in zip(plan.expand(job), past, strict=True)
            if status is not None
        ]
        lines.append(make_record(make_task()).to_json())
        (folder / MANIFEST_NAME).write_bytes(b"".join(lines))
        history = load_history(folder / MANIFEST_NAME)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(selection, "AT_ONCE", together)
            by_id = select(JobPlan(job), history, Selection(limit=limit), "k")
        by_task = select(JobPlan(job), history, Selection(only=("*",), limit=limit), "k")
        for each in ("to_make", "succeeded"):
            numbers = [sorted(getattr(pending, each).numbers()) for pending in (by_id, by_task)]
            assert numbers[0] == numbers[1]
        names = "earlier again simulated elsewhere unknown walked"
        assert [getattr(by_id, name) for name in names.split()] == [
            getattr(by_task, name) for name in names.split()
        ]
        files = [
            (number, compact(task.id), task.file_stem) for number, task in by_id.succeeded.indexed()
        ]
        models = by_id.succeeded.models()
        assert [each for model_id in models for each in by_id.succeeded.files(model_id)] == files

    def test_what_is_behind_the_limit_is_not_read(self, tmp_path):
        """A row that is wrong waits for a run that comes to it."""
        (tmp_path / "rows.csv").write_text("id,product\na,x\nb,y\nc,z\nwrong\n", "utf-8")
        text = f"name: n\nmodel: {CORE}\noutput: out\nprompt: '{{product}}'\nitems_from: rows.csv\n"
        (tmp_path / "job.yaml").write_text(text, "utf-8")
        whole = JobPlan(load(tmp_path / "job.yaml"))
        first = next(whole.expand(random_seed_key="k"))
        (tmp_path / MANIFEST_NAME).write_bytes(make_record(first, endpoint="aws").to_json())
        history, chosen = load_history(tmp_path / MANIFEST_NAME), Selection(limit=1)
        assert select(whole, history, chosen, "k", until_limit=True).walked == 2
        pending = select(whole, history, chosen, "k", outline=whole.check(2))
        assert (labels(pending.succeeded), labels(pending.to_make)) == (["a"], ["b"])

    def test_random_seeds_hang_on_the_key(self, job, tmp_path):
        """A resumed run with the key of the first finds its tasks done; with another, none."""
        job = job.model_copy(update={"seed": "random"})
        history = past(job, tmp_path, a="succeeded", b="succeeded")
        assert labels(select(JobPlan(job), history, Selection(), "k").to_make) == ["c", "d"]
        assert len(select(JobPlan(job), history, Selection(), "other").to_make) == 4


class TestMoney:
    def test_what_is_wanted_has_a_cost_and_what_is_done_a_saving(self, job, tmp_path):
        """Each at the prices of the plan."""
        history = past(job, tmp_path, a="succeeded")
        pending = select(JobPlan(job), history, Selection(), "k")
        outline = plan.check(job)
        assert pending.cost(outline) == Decimal("0.12")
        assert pending.saved(outline) == Decimal("0.04")

    def test_each_model_has_its_price(self, job, tmp_path):
        """Tasks of two models cost what each costs."""
        items = (*job.items, Item(id="u", prompt="p", model=ULTRA))
        job = job.model_copy(update={"items": items})
        pending = select(JobPlan(job), load_history(tmp_path / MANIFEST_NAME), Selection(), "k")
        assert pending.cost(plan.check(job)) == 4 * Decimal("0.04") + Decimal("0.14")

    def test_an_unknown_price_counts_as_nothing(self, job, tmp_path):
        """Nobody knows what a custom model costs."""
        arn = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/x"
        items = (Item(id="u", prompt="p", model=arn, family="stable-image"),)
        job = job.model_copy(update={"items": items})
        pending = select(JobPlan(job), load_history(tmp_path / MANIFEST_NAME), Selection(), "k")
        assert pending.cost(plan.check(job)) == 0


class TestChosen:
    def test_tasks_are_made_when_they_are_asked_for(self, job):
        """Only bits are held; each pool gets the tasks of its own model."""
        chosen = TaskSet(JobPlan(job), "k")
        for index in (3, 1):
            chosen.add(job.model, index)
        assert [task.item_id for task in chosen.tasks(job.model)] == ["b", "d"]
        assert [index for index, _ in chosen.indexed()] == [1, 3]
        assert (len(chosen), chosen.models()) == (2, {job.model: 2})

    def test_an_empty_one_of_the_same_plan(self, job):
        """For what turns out to be missing later."""
        chosen = TaskSet(JobPlan(job), "k")
        chosen.add(job.model, 0)
        empty = chosen.empty_like()
        assert (len(empty), empty.models()) == (0, {})
        empty.add(job.model, 2)
        assert [task.item_id for task in empty.tasks(job.model)] == ["c"]
        assert len(chosen) == 1


class TestBits:
    @given(st.lists(st.integers(0, 3_000)))
    def test_they_are_a_set_of_numbers(self, numbers):
        """What was put in is in, once, in ascending order; nothing else is."""
        bits = IndexSet()
        for number in numbers:
            bits.add(number)
        assert list(bits) == sorted(set(numbers))
        assert len(bits) == len(set(numbers))
        assert [number for number in range(3_100) if number in bits] == list(bits)
        some = [number for number in list(bits) if 700 <= number < 2_101]
        assert list(bits.within(700, 2_101)) == some

    @given(st.lists(st.tuples(st.integers(0, 40), st.booleans())))
    def test_a_range_is_all_that_is_in_it(self, parts):
        """As if each of its numbers was put in; ranges and single numbers follow each other."""
        bits, numbers, start = IndexSet(), [], 0
        for length, is_in in parts:
            if is_in and length == 1:
                bits.add(start)
            elif is_in:
                bits.add_range(start, start + length)
            numbers += range(start, start + length) if is_in else ()
            start += length
        assert list(bits) == numbers
        assert len(bits) == len(numbers)

    def test_a_million_of_them_are_small(self):
        """One bit each."""
        bits = IndexSet()
        bits.add(999_999)
        assert len(bits._bytes) == 125_000


@pytest.mark.parametrize("limit", [None, 1, 7, 8, 9, 500])
def test_where_all_is_new_the_check_tells_what_a_walk_would(tmp_path, limit):
    """The same tasks to make and the same ones left, whether or not the plan is walked for it."""
    job = make_job(tmp_path, **{f"mug-{n}": f"mug {n}" for n in range(20)})
    history, chosen = load_history(tmp_path / MANIFEST_NAME), Selection(limit=limit)
    outline = plan.check(job)

    told = select(JobPlan(job), history, chosen, "k", outline=outline)
    walked = select(JobPlan(job), history, chosen, "k")

    assert list(told.to_make.indexed()) == list(walked.to_make.indexed())
    assert (told.elsewhere, told.walked) == (walked.elsewhere, walked.walked)
