"""What the last run proved of each quota, as its `end` line has it."""

import pytest

from batchgen.output.spending import proven_rates


def test_rates_are_read_by_route_and_model():
    """A job without routes has its models under None."""
    summary = {
        "quotas": {"core": {"proven_per_minute": 45}, "ultra": {"proven_per_minute": None}},
        "routes": {"west": {"core": {"proven_per_minute": 0.5}}},
    }
    assert proven_rates(summary) == {None: {"core": 45.0}, "west": {"core": 0.5}}


@pytest.mark.parametrize(
    "summary",
    [
        {},
        {"quotas": None, "routes": []},
        {"quotas": {"core": 3}},
        {"quotas": {"core": {"proven_per_minute": "45"}}},
        {"quotas": {"core": {"proven_per_minute": float("inf")}}},
        {"quotas": {"core": {"proven_per_minute": float("nan")}}},
        {"quotas": {"core": {"proven_per_minute": 10**400}}},
        {"quotas": {"core": {"proven_per_minute": 1e-9}}},
        {"quotas": {"core": {"proven_per_minute": -1}}},
        {"quotas": {"core": {"proven_per_minute": 0}}},
    ],
)
def test_what_is_not_a_rate_counts_as_not_there(summary):
    """An end line of another version, or one that was edited, does no harm."""
    assert not any(proven_rates(summary).values())
