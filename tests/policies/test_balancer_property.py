"""Whatever happens to its routes: a run ends, each task has one record or is open for a reason."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import virtual_time
from fake_routes import AWAY, DENIED, EXPIRED, FakeRoute, run
from fakes import CORE, ERRORS, ULTRA
from hypothesis import event, given, settings
from hypothesis import strategies as st

from batchgen.errors import NeverSent, Throttled

DAY = 86_400
KINDS = {
    "away": AWAY,
    "gone": ERRORS[NeverSent],
    "denied": DENIED,
    "expired": EXPIRED,
    "throttled": ERRORS[Throttled],
}
UNMETERED = ("NeverSent", "Throttled")
"""What a meter of the service does not count."""


@st.composite
def troubles(draw):
    """(start, end, kind): when a route refuses, and how."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    start = draw(st.sampled_from([0, 3, 20, 100]))
    length = draw(st.sampled_from([2, 30, 200, 900, 3_000, DAY]))
    return start, start + length, kind


@st.composite
def routes(draw):
    """One route; half of them know no trouble."""
    return {
        "rate": draw(st.sampled_from([1.5, 6, 20, 60, 600])),
        "latency": draw(st.sampled_from([0.2, 4, 30])),
        "refusal_latency": draw(st.sampled_from([0.05, 3])),
        "concurrency": draw(st.sampled_from([1, 2, 8])),
        "renewable": draw(st.booleans()),
        "serves": draw(st.sampled_from([(CORE,), (ULTRA,), (), ()])),
        "troubles": draw(st.lists(troubles(), max_size=3)) if draw(st.booleans()) else [],
    }


def service(number, told):
    told = dict(told)
    serves, wrong = told.pop("serves"), told.pop("troubles")

    def behave(at, _):
        return next((KINDS[kind] for start, end, kind in wrong if start <= at < end), None)

    models = {model: model for model in serves}
    return FakeRoute(f"route-{number}", behave=behave, models=models, **told)


def is_sound_for(model, told):
    return not told["troubles"] and (not told["serves"] or model in told["serves"])


def check_meters(services):
    for each in services:
        for model in (CORE, ULTRA):
            metered = [
                post.at
                for post, end in zip(each.posts, each.ends, strict=True)
                if post.model_id == model and end not in UNMETERED
            ]
            assert most_within(metered) <= max(1, each.rate)


def most_within(starts, seconds=60.5):
    return max((sum(at <= b < at + seconds - 1e-6 for b in starts) for at in starts), default=0)


@given(st.lists(routes(), min_size=1, max_size=4), st.integers(1, 14), st.integers(0, 14))
@settings(max_examples=30)
def test_any_routes(told, cores, ultras):
    """No deadlock, no task twice, no quota exceeded; and one sound route is enough for a model."""
    services = [service(number, each) for number, each in enumerate(told)]
    items = [{"id": f"c{n}", "model": CORE} for n in range(cores)]
    items += [{"id": f"u{n}", "model": ULTRA} for n in range(ultras)]
    wanted = {item["model"] for item in items}
    if not all(any(not e["serves"] or model in e["serves"] for e in told) for model in wanted):
        return
    for each in services:
        each.models = {model: there for model, there in each.models.items() if model in wanted}
    if any(each["serves"] and not s.models for each, s in zip(told, services, strict=True)):
        return

    async def main(folder):
        async with asyncio.timeout(3 * DAY):
            return await run(folder, services, 0, items=items)

    with tempfile.TemporaryDirectory() as folder:
        ran = virtual_time.run(main(Path(folder) / "out"))
        records = ran.records()
    summary = ran.summary
    event(f"exit {ran.exit_code}")
    assert max(Counter(record["task_id"] for record in records).values(), default=1) == 1
    assert len(records) + summary.left == len(items)
    assert summary.succeeded == sum(each.outcomes["made"] for each in services)
    check_meters(services)
    if summary.left:
        said = [text for text in ran.notices if "cannot be used" in text]
        assert bool(said) or summary.stopping is not None or ran.exit_code == 3
        assert ran.exit_code in {3, 4}
    for model in wanted:
        if any(is_sound_for(model, each) for each in told):
            made = [record["status"] for record in records if record["model_id"] == model]
            assert made == ["succeeded"] * sum(item["model"] == model for item in items)
