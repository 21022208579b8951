from dataclasses import replace

import pytest
from fakes import STATE

from batchgen.commands.figures import status_line
from batchgen.policies.budget import Budget
from batchgen.runner.progress import RunStats


def summary(*states, elapsed=120.0):
    """A run of two minutes with these pacers."""
    made = RunStats("run-1", "out").snapshot(
        Budget(None), {f"model-{n}": state for n, state in enumerate(states)}, None
    )
    return replace(made, elapsed_s=elapsed)


def test_the_line_tells_the_calls_of_a_minute_and_the_share_of_the_quota():
    """What the run reaches, what it may, and how much of it that is."""
    assert "72 of 90 calls/min (80%)" in status_line(summary(STATE))


def test_several_quotas_are_added():
    """Two models at work are two quotas; one that has not started does not count."""
    idle = replace(STATE, started=0)

    assert "144 of 180 calls/min (80%)" in status_line(summary(STATE, STATE, idle))


def test_an_unknown_quota_is_said_to_be_looked_for():
    """No share of what nobody knows."""
    line = status_line(summary(replace(STATE, allowed_per_minute=None, quota_per_minute=None)))

    assert "72 calls/min, looking for the quota" in line


@pytest.mark.parametrize("elapsed", [0.0, 59.9])
def test_the_first_minute_says_nothing_of_a_minute(elapsed):
    """A rate a minute needs a minute."""
    assert "calls/min" not in status_line(summary(STATE, elapsed=elapsed))


def test_json_has_the_same_figures_by_model():
    """For programs: rates in calls a minute, the share as a number."""
    assert summary(STATE).to_json()["quotas"] == {
        "model-0": {
            "allowed_per_minute": 90.0,
            "reached_per_minute": 72,
            "share": 0.8,
            "proven_per_minute": None,
            "calls": 300,
            "throttled": 1,
            "unavailable": 2,
        }
    }
