import json
from datetime import time
from decimal import Decimal

import pytest

from batchgen import job
from batchgen.errors import JobError
from batchgen.job import FailureLimit

HEAD = "name: a\nmodel: m\nitems: [{id: a}]\n"


@pytest.mark.parametrize(
    ("section", "key", "written", "value"),
    [
        ("limits", "budget_usd", "0.10", Decimal("0.10")),
        ("limits", "run_budget_usd", "5", Decimal(5)),
        ("limits", "until", "06:00", time(6)),
        ("limits", "max_failures", "5%", FailureLimit(share=0.05)),
        ("limits", "max_failures", "3", FailureLimit(count=3)),
        ("limits", "requests_per_minute", "auto", "auto"),
        ("limits", "give_up_after", "30m", 1_800.0),
        ("retry", "max_elapsed", "2h", 7_200.0),
        ("retry", "max_elapsed", "90s", 90.0),
        ("retry", "max_elapsed", "1.5", 1.5),
        ("retry", "ambiguous", "fail", "fail"),
    ],
)
def test_accepted_values(section, key, written, value):
    made = job.parse("j.yaml", f"{HEAD}{section}: {{{key}: {written}}}".encode())
    assert getattr(getattr(made, section), key) == value


def test_money_and_variables_are_exact():
    made = job.parse("j.yaml", (HEAD + "prices: {m: 0.10}\nvars: {v: 1.10, n: no}").encode())
    assert str(made.prices["m"]) == "0.10"
    assert made.vars == {"v": "1.10", "n": "no"}


def test_credentials_go_over_plain_http_only_if_the_job_says_so():
    """The key stands at the top of the job, and its default is no."""
    assert job.parse("j.yaml", HEAD.encode()).allow_plain_http is False
    assert job.parse("j.yaml", f"{HEAD}allow_plain_http: true".encode()).allow_plain_http is True


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("endpoint", "simulater", 'did you mean "simulator"?'),
        ("region", "us", "a Region such as us-west-2"),
        ("output", "s3://a/b", "S3 is not supported yet"),
        ("prompt", "3", "a text; put it in quotes"),
        ("seed", "0", "from 1 to 4,294,967,295"),
        ("seed", "4294967296", "from 1 to 4,294,967,295"),
        ("variants", "true", "a whole number from 1 to 1,000,000"),
        ("variants", '"3"', "write it without quotes"),
        ("allow_retired", "yes", "true or false"),
        ("allow_plain_http", '"true"', "true or false"),
        ("family", "~", "has no value"),
        ("parameters", "[]", "a mapping of names to values"),
        ("vars", "", "has no value"),
        ("vars.id", "x", "have a meaning of their own"),
        ("limits", "3", "a mapping of concurrency"),
        ("limits.concurrency", "1001", "from 1 to 1,000"),
        ("limits.budget_usd", "0", "a number above 0"),
        ("limits.run_budget_usd", "0", "a number above 0"),
        ("limits.until", '"24:00"', "a time of day"),
        ("limits.max_failures", "101%", "a share from"),
        ("limits.requests_per_minute", "0", "above 0"),
        ("retry.max_elapsed", "1d", "a duration such as"),
        ("retry.attempts", "21", "from 1 to 20"),
        ("retry.ambiguous", "retri", 'did you mean "retry"?'),
        ("prices.m", "-1", "a number from 0"),
    ],
)
def test_a_wrong_value_names_its_path_its_line_and_what_is_allowed(key, value, allowed):
    section, _, inner = key.partition(".")
    text = f"{section}:\n  {inner}: {value}" if inner else f"{section}: {value}"
    with pytest.raises(JobError) as caught:
        job.parse("j.yaml", (HEAD + text).encode())
    (complaint,) = caught.value.complaints
    assert complaint.path == tuple(key.split("."))
    assert complaint.line == (5 if inner else 4)
    assert allowed in complaint.text


def test_the_json_schema_of_a_job_comes_from_its_types():
    """What an editor checks: bounds, words and patterns, and no null where a file needs a value."""
    schema = json.loads(job.schema_text())
    limits = schema["$defs"]["Limits"]["properties"]
    assert (limits["concurrency"]["minimum"], limits["concurrency"]["maximum"]) == (1, 1_000)
    assert limits["until"]["pattern"] == "^([01][0-9]|2[0-3]):[0-5][0-9]$"
    assert schema["$defs"]["Retry"]["properties"]["ambiguous"]["enum"] == ["retry", "fail"]
    assert schema["required"] == ["name"]
    assert "null" not in str(schema)
    assert all("description" in key for key in limits.values())
