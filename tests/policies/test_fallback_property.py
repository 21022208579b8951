"""Whatever models answer and whatever a job allows: no call, no cent and no record too many."""

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

from fake_models import BUSY, DENIED, REFUSED, SD3_5, WITHHELD, Models, job_of, run_of
from fakes import CORE, ERRORS, ULTRA
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run

from batchgen.errors import AnswerLost, Rejected, ServiceFault
from batchgen.models import MODELS

LOST, FAULT = ERRORS[AnswerLost], ERRORS[ServiceFault]
STEPS = [None, REFUSED, WITHHELD, DENIED, LOST, FAULT, ERRORS[Rejected], BUSY]
SCRIPT = st.lists(st.sampled_from(STEPS), max_size=10) | st.sampled_from(
    [BUSY, lambda at: BUSY if at < 1_200 else None]
)
"""One answer after the other, or throttled for ever or for long."""


@st.composite
def jobs(draw):
    """What a job says, as its fields."""
    chain = draw(st.lists(st.sampled_from([ULTRA, SD3_5]), unique=True))
    prompt = draw(st.sampled_from([None, "a plain {id}", "{id}"]))
    on_filtered = {"retry_with_new_seed": draw(st.integers(0, 3)), "fallback_prompt": prompt}
    budget = draw(st.none() | st.integers(4, 100).map(lambda cents: Decimal(cents) / 100))
    return {
        "items": [{"id": f"mug-{n}", "prompt": f"mug-{n}"} for n in range(draw(st.integers(1, 3)))],
        "fallback": chain,
        "on_filtered": on_filtered,
        "limits": {"concurrency": draw(st.integers(1, 4)), "budget_usd": budget},
    }


def by_task(ran, models):
    """Item -> its calls in the order of their ends, each on record."""
    calls = {}
    for call in models.calls:
        calls.setdefault(call.request["prompt"].removeprefix("a plain "), []).append(call)
    announced = Counter(line["task_id"] for line in ran.lines("attempt"))
    assert sorted(announced.values()) == sorted(map(len, calls.values()))
    return calls


def check_calls(calls, job):
    """As many as the job allows, none of them twice without a reason."""
    counts = Counter(STEPS.index(call.step) for call in calls)
    prompt = job["on_filtered"]["fallback_prompt"] == "a plain {id}"
    refused = counts[STEPS.index(REFUSED)] + counts[STEPS.index(WITHHELD)]
    assert refused <= 1 + job["on_filtered"]["retry_with_new_seed"] + prompt
    assert counts[STEPS.index(DENIED)] <= 1 + len(job["fallback"])
    assert counts[STEPS.index(LOST)] <= 3
    assert counts[STEPS.index(LOST)] + counts[STEPS.index(FAULT)] <= 4
    assert counts[STEPS.index(None)] + counts[STEPS.index(ERRORS[Rejected])] <= 1
    sent = [(call.model_id, tuple(call.request.items())) for call in calls]
    for n, call in enumerate(calls):
        if call.step in (REFUSED, WITHHELD, DENIED):
            assert sent[n] not in sent[n + 1 :], "what was refused was sent again"
    assert {call.model_id for call in calls} <= {CORE, *job["fallback"]}


def check_record(record, calls):
    """It says what was asked, what was sent last, and what all of it may have cost."""
    last = calls[-1]
    served = record.get("served")
    assert record["model_id"] == CORE
    assert (served or record)["request"] == last.request
    assert (served or record)["model_id"] == last.model_id
    assert (served or record)["seed"] == last.request["seed"]
    assert record["request"]["prompt"] == record["item_id"]
    assert (served is None) == ((last.model_id, last.request) == (CORE, record["request"]))
    if served is not None:
        assert (served["reason"] == "filtered") == any(
            call.step in (REFUSED, WITHHELD) for call in calls[:-1]
        )
    assert record["attempts"] == len(calls)
    price = MODELS[last.model_id].price_usd
    maybe = Decimal(str(record["maybe_billed_usd"]))
    assert Decimal(str(record["cost_usd"])) == (price if last.step is None else 0)
    assert Decimal(str(record["cost_usd"])) + maybe == sum(call.may_cost for call in calls)
    assert record["maybe_billed"] == sum(
        call.step is not None and call.may_cost > 0 for call in calls
    )


@given(job=jobs(), scripts=st.fixed_dictionaries({CORE: SCRIPT, ULTRA: SCRIPT, SD3_5: SCRIPT}))
@settings(max_examples=40)
def test_whatever_happens(job, scripts):
    """The bill is what the run says and within the budget; every task has one record or none."""
    models = Models(dict(scripts))
    with tempfile.TemporaryDirectory() as folder:
        ran = run(run_of(job_of(Path(folder), **job), models))

        calls, summary = by_task(ran, models), ran.summary
        records = {record["item_id"]: record for record in ran.lines("record")}
        assert len(records) == len(ran.lines("record"))
        assert len(records) == len(job["items"]) or summary.stopping is not None
        assert models.may_cost() == summary.billed_usd + summary.maybe_billed_usd
        assert models.may_cost() <= (job["limits"]["budget_usd"] or 1_000)
        for its_calls in calls.values():
            check_calls(its_calls, job)
        for item_id, record in records.items():
            check_record(record, calls[item_id])
