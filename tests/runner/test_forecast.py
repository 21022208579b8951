"""When a run will end: a range that holds, the same each time it is asked for."""

import asyncio
import copy
import random
import time
from functools import partial
from itertools import pairwise
from operator import mul

import pytest
from fake_models import job_of, run_of
from fakes import CORE, ULTRA, FakeAnswer, picture, reply
from outputs import Output
from virtual_time import run as run_virtually

from batchgen.errors import ServiceFault, Throttled
from batchgen.job import Job
from batchgen.pacing import Pace
from batchgen.plan import JobPlan
from batchgen.runner import Selection, forecast, read_output, rehearsal, select
from batchgen.runner.rehearsal import Circumstances, Quota, Stage, rehearse

ARN = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/mine"
CUT = "us.stability.stable-image-remove-background-v1:0"
CHAIN = [{"id": "make"}, {"id": "cut", "model": CUT, "parameters": {"image": "@make"}}]
PICTURE = reply(picture(size=(64, 64)))
MANY = 60_000


def told(job, **given):
    """What is forecast for a run of a job that began now."""
    whole = JobPlan(job)
    outline, history = whole.check(), read_output(job)
    pending = select(whole, history, Selection(), "key", outline=outline)
    return forecast(job, outline, pending, history, **given)


def job(folder, tasks, **changes):
    """One for the service, so that the facts of the table count."""
    most = 1_000  # variants of an item
    sizes = [most] * (tasks // most) + [tasks % most] * (tasks % most > 0)
    items = [{"id": f"a{n}", "prompt": f"x {n}", "variants": size} for n, size in enumerate(sizes)]
    fields = {"name": "shop", "endpoint": "aws", "model": CORE, "output": str(folder)}
    return Job.model_validate({**fields, "items": items, **changes})


class Service:
    """Calls that take a while, each its own; some fail, and sliding minutes admit so many."""

    def __init__(self, seed, models):
        """`models`: name -> usual seconds, share of failures, calls a minute."""
        self._luck = random.Random(seed)
        self._night = self._luck.lognormvariate(0, 0.05)
        self._models = models
        self._starts = {name: [] for name in models}

    async def invoke(self, model_id, body):
        usual, failing, quota = self._models[model_id]
        now = asyncio.get_running_loop().time()
        starts = self._starts[model_id] = [at for at in self._starts[model_id] if at > now - 60]
        if len(starts) >= quota:
            await asyncio.sleep(0.1)
            raise Throttled("too many", code="ThrottlingException")
        starts.append(now)
        took = self._luck.lognormvariate(0, 0.4) * usual * self._night
        await asyncio.sleep(took)
        if self._luck.random() < failing:
            raise ServiceFault("it failed", code="InternalServerException")
        return FakeAnswer(body=PICTURE, latency_ms=round(1000 * took))


BOTH = [
    {"id": f"{n}", "prompt": "x", "seed": n + 1, "model": (CORE, ULTRA)[n % 2]} for n in range(45)
]
NIGHTS = (
    ({"limits": {"requests_per_minute": 40}}, {CORE: (4, 0, MANY)}),
    ({"limits": {"concurrency": 2}}, {CORE: (6, 0, MANY)}),
    (
        {"limits": {"requests_per_minute": 40}, "retry": {"attempts": 9}},
        {CORE: (4, 0.1, MANY)},
    ),
    (
        {"limits": {"requests_per_minute": 30}, "items": BOTH},
        {CORE: (3, 0, MANY), ULTRA: (9, 0, MANY)},
    ),
    (
        {"limits": {"requests_per_minute": 30, "concurrency": 3}, "steps": CHAIN},
        {CORE: (3, 0, MANY), CUT: (8, 0, MANY)},
    ),
    (
        {"limits": {"requests_per_minute": None}, "model": ARN, "family": "stable-image"},
        {ARN: (4, 0, 30)},
    ),
)
"""Jobs and their services: a run is held up by its quota, its places, failures, the slower of two
models, its chains, or a quota that it has to find."""


def a_night(folder, number):
    """Whether a run ends when it was forecast to, after a shorter one that left its records."""
    changes, models = NIGHTS[number % len(NIGHTS)]

    async def both():
        whole = job_of(folder, 45, endpoint="aws", **copy.deepcopy(changes))
        first = whole.model_copy(update={"items": whole.items[:15]})
        await run_of(first, Service(f"{number} before", models))
        expected = told(whole)
        begun = asyncio.get_running_loop().time()
        ran = await run_of(whole, Service(number, models))
        assert ran.summary.left == 0
        took = asyncio.get_running_loop().time() - begun
        return expected.earliest_s <= took <= expected.latest_s

    return run_virtually(both())


def test_a_run_ends_when_it_was_forecast_to(tmp_path):
    """In eight of ten nights at least, for nine of ten are promised."""
    assert sum(a_night(tmp_path / str(number), number) for number in range(10)) >= 8


def test_any_number_of_tasks_takes_a_second_and_more_never_less_time(tmp_path):
    """Long runs are rehearsed in parts; twice asked, twice the same."""
    counts = (1, 60, 399, 401, 30_000)
    jobs = [job(tmp_path, tasks, limits={"concurrency": 2}) for tasks in counts]
    begun = time.process_time()
    forecasts = [told(each) for each in jobs]
    assert time.process_time() - begun < 3 * len(counts)
    for name in ("earliest_s", "seconds", "latest_s"):
        ends = [getattr(each, name) for each in forecasts]
        assert all(later >= 0.97 * sooner for sooner, later in pairwise(ends)), ends
    assert forecasts[-1].made == (30_000, 30_000)
    assert told(jobs[2]) == forecasts[2]


def test_more_quota_is_never_later(tmp_path):
    """Until the calls in flight are what holds a run up; then it changes nothing."""
    rates = (2, 60, 200, 600)
    forecasts = [told(job(tmp_path, 600, limits={"requests_per_minute": r})) for r in rates]
    ends = [each.seconds for each in forecasts]
    assert ends[:3] == sorted(ends[:3], reverse=True)
    assert ends[0] == pytest.approx(300 * 60, rel=0.03)
    assert ends[3] <= 1.02 * ends[2]


class TestWhatIsKnown:
    def test_latencies_and_repeats_of_the_records_count(self, tmp_path):
        """A distribution, not the table's figure; those of a simulator say nothing of AWS."""

        def ended(endpoint, **fields):
            output = Output(tmp_path / f"{endpoint}{len(fields)}{fields.get('latency_ms')}")
            for n in range(40):
                output.add(endpoint=endpoint, **{"latency_ms": 3_000 + n, **fields})
            folder = output.write()
            return told(job(folder, 50, limits={"concurrency": 1})).seconds

        usual = ended("aws")
        assert usual == pytest.approx(150, rel=0.05)
        assert ended("aws", latency_ms=12_000) == pytest.approx(600, rel=0.05)
        assert ended("aws", attempts=2) > 1.2 * usual
        assert ended("simulator", latency_ms=12_000) == pytest.approx(150, rel=0.2)
        assert ended("aws", latency_ms=0) < 40  # the quota's minute

    def test_a_few_records_are_better_than_the_table(self, tmp_path):
        """Also where they took no time at all."""
        for latency_ms, least, most in ((0, 0, 5), (9_000, 70, 120)):
            output = Output(tmp_path / str(latency_ms))
            output.add(endpoint="aws", latency_ms=latency_ms)
            given = {"limits": {"concurrency": 1, "requests_per_minute": MANY}}
            assert least <= told(job(output.write(), 10, **given)).seconds <= most

    def test_an_unknown_quota_makes_a_wide_range(self, tmp_path):
        """The run would have to find it; a told one makes a narrow range."""
        mine = {"model": ARN, "family": "stable-image"}
        unknown = told(job(tmp_path, 300, **mine))
        known = told(job(tmp_path, 300, limits={"requests_per_minute": 20}, **mine))
        assert unknown.latest_s > 2 * unknown.earliest_s
        assert known.latest_s < 1.2 * known.earliest_s

    def test_routes_add_up(self, tmp_path):
        """Each account has a quota of its own."""
        routes = [{"name": n, "profile": n, "requests_per_minute": 30} for n in "ab"]
        two = told(job(tmp_path, 300, routes=routes))
        assert two.seconds == pytest.approx(300 / 60 * 60, rel=0.05)


class TestWhatEndsARun:
    def test_nothing_to_make_takes_no_time(self, tmp_path):
        """And is done before any deadline."""
        output = Output(tmp_path)
        only = job(tmp_path, 1)
        output.add(task=next(iter(JobPlan(only).expand(random_seed_key="k"))), endpoint="aws")
        output.write()
        none = told(only, deadline_s=0.0)
        assert (none.earliest_s, none.latest_s, none.chance(0.0)) == (0.0, 0.0, 1.0)

    def test_a_budget_ends_it_with_what_it_covers(self, tmp_path):
        """As long as the tasks take that it pays for."""
        short = told(job(tmp_path, 5_000, limits={"budget_usd": 40}))
        covered = told(job(tmp_path, 1_000))
        assert short.ends_broke
        assert 950 <= short.made[0] <= short.made[1] <= 1_000
        assert short.seconds == pytest.approx(covered.seconds, rel=0.05)
        assert not covered.ends_broke

    def test_whole_chains_are_made_to_their_end(self, tmp_path):
        """What is paid for goes on after the last one has begun."""
        limits = {"budget_usd": 1.1, "whole_chains": True}
        short = told(job(tmp_path, 60, limits=limits, steps=CHAIN))
        assert short.ends_broke
        assert short.made == (20, 20)  # ten of 0.04 and 0.07

    def test_a_deadline_has_its_chance_and_what_is_made_by_then(self, tmp_path):
        """No call starts so late that it may not end in time."""
        long = told(job(tmp_path, 3_000), deadline_s=1_030.0)
        assert long.chance(1_030.0) == 0
        assert long.in_time[0] == pytest.approx(1_500, rel=0.1)
        assert told(job(tmp_path, 3_000), deadline_s=5.0).in_time == (0, 0)
        assert told(job(tmp_path, 30), deadline_s=3_600.0).chance(3_600.0) == 1


def stages(*counts, step="s", **price):
    """A chain: each model's tasks take the images of the one before."""
    made = [Stage(model_id="a", step="s0", left=counts[0], **price)]
    for n, (before, count) in enumerate(pairwise(counts), 1):
        parent = f"{step}{n - 1}"
        ready = {parent: max(0, count - before)}
        made.append(
            Stage(model_id="abc"[n], step=f"{step}{n}", left=count, parents=(parent,), ready=ready)
        )
    return made


def any_stages(luck):
    """Some models and steps, each of which may take images of earlier ones."""
    made = []
    for n, model_id in enumerate("abcd"[: luck.randint(1, 4)] * luck.randint(1, 2)):
        count, steps = luck.choice((1, 3, 50, 5_000)), [stage.step for stage in made]
        parents = set(luck.sample(steps, luck.randint(0, min(2, len(steps)))))
        anchors = set(luck.sample(steps, luck.randint(0, min(1, len(steps))))) - parents
        lefts = {stage.step: stage.left for stage in made}
        ready = {name: max(0, count - lefts[name]) for name in parents} | dict.fromkeys(anchors, 0)
        given = {"parents": tuple(parents), "anchors": tuple(anchors), "ready": ready}
        made.append(Stage(model_id=model_id, step=f"s{n}", left=count, price_usd=0.04, **given))
    return made


class TestRehearsal:
    @pytest.mark.parametrize("seed", range(25))
    def test_any_run_comes_to_its_end(self, seed):
        """With any chains, quotas told and true, places and failures: and soon."""
        luck = random.Random(seed)
        made, names, places = any_stages(luck), "abcd", luck.choice((1, 2, 50))
        quotas = [
            Quota(
                model_id=name,
                pace=Pace(requests_per_minute=luck.choice((None, 2, 90, 600)), concurrency=places),
                admits=luck.choice((None, 2, 90)),
            )
            for name in names
        ]
        given = Circumstances(
            seed=str(seed),
            quotas=quotas,
            places={None: places},
            latency_s={name: partial(mul, luck.choice((0, 1, 10))) for name in names},
            failing={name: luck.choice((0, 0.01, 0.5)) for name in names},
            money_usd=luck.choice((None, 1, 100)),
        )
        tasks, begun = sum(stage.left for stage in made), time.process_time()
        went = rehearse(made, given)
        assert went.tasks == tasks or (went.is_broke and went.tasks < tasks)
        assert time.process_time() - begun < 3

    @pytest.mark.parametrize(
        ("made", "rates", "places"),
        [
            (stages(3_000), (90,), 8),
            (
                [Stage(model_id=m, step=None, left=n) for m, n in (("a", 900), ("b", 400))],
                (60, 9),
                8,
            ),
            ([Stage(model_id=m, step=None, left=600) for m in "abc"], (90, 60, 60), 6),
            (stages(500, 500, 500), (90, 10, 10), 8),
            (stages(500, 500, 500), (20, 100, 50), 8),
            (stages(200, 200, 200), (90, 60, 2), 8),
            (stages(100, 500, 900), (90, 10, 10), 8),
            (stages(600, 600), (90, 100), 4),
            (stages(2_000, price_usd=0.04), (90,), 8),
        ],
    )
    def test_skipping_changes_nothing(self, made, rates, places, monkeypatch):
        """What is skipped takes as long as it would have, call by call."""
        names = "abc"[: len(rates)]
        given = Circumstances(
            seed="1",
            quotas=[
                Quota(
                    model_id=name,
                    pace=Pace(requests_per_minute=rate, concurrency=places),
                    admits=rate,
                )
                for name, rate in zip(names, rates, strict=True)
            ],
            places={None: places},
            latency_s={
                name: lambda draw, n=n: (3 + 3 * n) * (0.5 + draw) for n, name in enumerate(names)
            },
            failing=dict.fromkeys(names, 0.01),
            money_usd=60.0,
        )
        parts = rehearse(copy.deepcopy(made), given)
        monkeypatch.setattr(rehearsal, "MOST_CALLS", 10**9)
        whole = rehearse(copy.deepcopy(made), given)

        assert parts.seconds == pytest.approx(whole.seconds, rel=0.04)
        assert parts.tasks == pytest.approx(whole.tasks, rel=0.02)
        assert parts.is_broke == whole.is_broke
