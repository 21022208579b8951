"""How long a job takes: its quota, its calls in flight and what a call takes all count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.job import Item, Job
from batchgen.models import MODELS
from batchgen.plan import estimate

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"


def job(**fields):
    """One that runs on the simulator, where each call takes three seconds."""
    made = {"simulator": {"latency": 3}, **fields}
    return Job(name="j", endpoint="simulator", items=[Item(id="a", model=CORE)], **made)


@pytest.mark.parametrize(
    ("tasks", "rate", "concurrency", "seconds"),
    [
        (900, 90, 8, 600),
        (1_800, 200, 8, 675),
        (1_800, 200, 20, 540),
        (90, 90, 1, 270),
        (1, 90, 8, 3),
        (80, None, 8, 30),
        (0, 90, 8, 0),
    ],
)
def test_what_is_slowest_counts(tasks, rate, concurrency, seconds):
    """The quota, all calls in flight one after the other, or a single call."""
    limits = {"concurrency": concurrency}
    found = estimate(job(limits=limits), MODELS, {CORE: tasks}, {CORE: rate})
    assert found.seconds == pytest.approx(seconds)
    assert found.is_by_concurrency == (seconds not in (0, 60 * tasks / (rate or 1)))


def test_models_share_the_calls_in_flight_and_not_the_quota():
    """Two quotas are used side by side; what is in flight of one is not of the other."""
    limits = {"concurrency": 2}
    tasks, rates = {CORE: 40, ULTRA: 40}, {CORE: 60, ULTRA: 60}
    assert estimate(job(), MODELS, tasks, rates).seconds == pytest.approx(40)
    assert estimate(job(limits=limits), MODELS, tasks, rates).seconds == pytest.approx(120)


def test_a_model_that_one_route_serves_has_the_calls_of_that_route():
    """The places of another route do not help it."""
    routes = [
        {"name": "a", "profile": "a", "concurrency": 2, "models": {CORE: CORE}},
        {"name": "b", "profile": "b", "concurrency": 6, "models": {ULTRA: ULTRA}},
    ]
    found = estimate(job(routes=routes), MODELS, {CORE: 40}, {CORE: 1_000})
    assert found.seconds == pytest.approx(60)


def test_latency_is_the_models_own_where_the_job_does_not_say():
    """Of one that is not known, a usual one."""
    told = job(simulator={})
    assert estimate(told, MODELS, {CORE: 1}, {}).seconds == MODELS[CORE].latency_s == 3
    assert estimate(told, {}, {"custom": 1}, {}).seconds == 10


@given(
    tasks=st.dictionaries(st.sampled_from([CORE, ULTRA]), st.integers(0, 10**7)),
    rates=st.dictionaries(st.sampled_from([CORE, ULTRA]), st.floats(0.1, 10**6) | st.none()),
    concurrency=st.integers(1, 1_000),
)
def test_more_of_anything_never_takes_less(tasks, rates, concurrency):
    """More tasks take as long or longer; more calls in flight as long or shorter."""
    one = job(limits={"concurrency": concurrency})
    seconds = estimate(one, MODELS, tasks, rates).seconds
    more = {name: count + 1 for name, count in tasks.items()}
    assert estimate(one, MODELS, more, rates).seconds >= seconds
    wider = job(limits={"concurrency": min(1_000, concurrency * 2)})
    assert estimate(wider, MODELS, tasks, rates).seconds <= seconds
