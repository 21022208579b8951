"""The figures of past runs: counts and money by run and by night, from a manifest's lines alone."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from fakes import NOON, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st
from outputs import run_line

from batchgen.record import AttemptLine, EndLine, ErrorInfo, Served, Status
from batchgen.report import Tally, nights_of, read_runs

EVENING = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run(run_id="r", at=EVENING, endpoint="aws"):
    return run_line(run_id, job_name="catalog", endpoint=endpoint, started_at=at)


def record(run_id="r", **changes):
    values = {"endpoint": "aws", "started_at": EVENING, "finished_at": EVENING, **changes}
    return make_record(changes.pop("task", None), run_id=run_id, **values)


def unmade(status, code, run_id="r", **changes):
    error = ErrorInfo(type="Any", code=code, message="words", retryable=False)
    values = {"images": (), "cost_usd": 0.0, "error": error, **changes}
    return record(run_id, status=status, **values)


def attempt(task, run_id="r"):
    return AttemptLine(
        run_id=run_id, task_id=task.id, attempt=1, seed=1, price_usd=0.04, started_at=EVENING
    )


def end(run_id="r", at=EVENING + timedelta(hours=1), code=0, **summary):
    return EndLine(run_id=run_id, finished_at=at, exit_code=code, summary=summary)


def test_a_run_is_counted_by_its_records():
    """Counts, seeds that were sent, the service's words, errors by code, and the slowest calls."""
    served = Served(reason="filtered", model_id="m", seed=99, request={})
    lines = [
        run(),
        record(seed=7, latency_ms=100, label="fast"),
        record(seed=8, served=served, latency_ms=31_000, label="slow"),
        unmade(Status.FILTERED, "CONTENT_FILTERED", seed=9, finish_reasons=("Filter reason: x",)),
        unmade(Status.FAILED, "ValidationException", seed=10),
        unmade(Status.FAILED, "ValidationException", seed=11),
        end(code=1),
    ]

    (figures,) = read_runs(lines)

    tally = figures.tally
    assert tally.counts == {Status.SUCCEEDED: 2, Status.FILTERED: 1, Status.FAILED: 2}
    assert tally.seeds == [7, 99, 9, 10, 11]
    assert tally.finish_reasons == {"Filter reason: x": 1}
    assert tally.errors == {"CONTENT_FILTERED": 1, "ValidationException": 2}
    assert max(tally.slowest).label == "slow"
    assert figures.exit_code == 1


def test_a_run_that_ended_says_what_it_cost():
    """Its end line knows better than its records."""
    told = end(billed_usd=1.5, maybe_billed_usd=0.25)

    (figures,) = read_runs([run(), record(), told])

    assert figures.tally.billed_usd == Decimal("1.5")
    assert figures.tally.maybe_billed_usd == Decimal("0.25")


def test_a_killed_run_costs_what_its_lines_say():
    """Records are billed; an attempt without one may have been, once, whoever adopts its image."""
    lost, found = make_task(), make_task()
    adopted = make_record(found, run_id="s", latency_ms=None, endpoint="aws")
    lines = [
        run(),
        record(),
        attempt(lost),
        attempt(found),
        run("s", EVENING + timedelta(hours=2)),
        adopted,
        end("s"),
    ]

    killed, second = read_runs(lines)

    assert (killed.exit_code, killed.tally.billed_usd) == (None, Decimal("0.04"))
    assert killed.tally.maybe_billed_usd == Decimal("0.08")
    assert second.tally.billed_usd == 0


def test_simulated_money_is_told_apart():
    """A night may have runs of both kinds."""
    lines = [
        run(endpoint="simulator"),
        record(endpoint="simulator"),
        end(),
        run("s", EVENING + timedelta(hours=2)),
        record("s"),
        end("s"),
    ]

    (night,) = nights_of(read_runs(lines))

    assert night.tally.billed_usd == Decimal("0.08")
    assert night.tally.simulated_usd == Decimal("0.04")


def test_a_night_ends_at_noon():
    """A run before noon belongs to the evening before, and one after noon to its own day."""
    starts = [EVENING, EVENING + timedelta(hours=13), EVENING + timedelta(hours=15)]
    lines = [line for n, at in enumerate(starts) for line in (run(str(n), at), end(str(n), at))]

    nights = list(nights_of(read_runs(lines)))

    assert [(str(each.night), len(each.runs)) for each in nights] == [
        ("2026-11-20", 2),
        ("2026-11-21", 1),
    ]


def test_records_whose_run_line_is_damaged_are_counted():
    """They tell the run and the endpoint themselves."""
    (figures,) = read_runs([record("lost", endpoint="simulator")])

    assert figures.run_id == "lost"
    assert figures.tally.simulated_usd == Decimal("0.04")


@given(st.lists(st.text(min_size=1, max_size=300), max_size=300))
def test_kinds_are_bounded(codes):
    """A manifest may come from anybody: kinds beyond the fiftieth are counted together."""
    lines = [unmade(Status.FAILED, code) for code in codes]

    figures = read_runs([run(), *lines])[0]

    assert figures.tally.errors.total() == len(codes)
    assert len(figures.tally.errors) <= 51


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 40))
def test_merging_is_counting_together(latencies, at):
    """A night's figures are those that one run with all the records would have."""
    records = [record(latency_ms=ms, started_at=NOON) for ms in latencies]
    whole, first, second = Tally(), Tally(), Tally()
    for number, each in enumerate(records):
        whole.add(each, number)
        (first if number < at else second).add(each, number)

    first.merge(second)

    assert first.counts == whole.counts
    assert sorted(first.slowest) == sorted(whole.slowest)
    assert first.seeds == whole.seeds
