"""Which calls a minute count: a run, a dry run and the doctor agree."""

import json
import time
from itertools import product

import pytest

from batchgen import cli, plan
from batchgen.bedrock import OpenRoute
from batchgen.doctor.quotas import Allowance
from batchgen.job import Item, Job
from batchgen.plan import calls_a_minute
from batchgen.policies.quotas import open_quotas

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"


@pytest.mark.parametrize(
    ("given", "documented", "found", "stands_in", "rate"),
    [
        (200, 90, 50.0, False, 200),
        (200, 90, None, True, 90),
        (42, 90, None, True, 42),
        (200, None, None, True, 200),
        (None, 90, 50.0, False, 90),
        (None, None, None, False, None),
        ("auto", 90, 50.0, False, 50),
        ("auto", 90, 120.0, True, 120),
        ("auto", 90, None, False, 90),
        (200, 90, 0.0, False, 0),
    ],
)
def test_the_rule(given, documented, found, stands_in, rate):
    """A number first, then what `auto` found, then the documented quota."""
    assert calls_a_minute(given, documented, found=found, stands_in=stands_in) == rate


@pytest.mark.parametrize(
    ("given", "found", "is_stand_in"), list(product([None, 200, 7, "auto"], [None, 50.0], [0, 1]))
)
async def test_a_run_starts_at_the_rate_that_the_doctor_counts_with(given, found, is_stand_in):
    """Whatever the route says, the account has, and the model is for."""
    limits = {} if given is None else {"requests_per_minute": given}
    job = Job(
        name="one",
        endpoint="simulator",
        prompt="a mug",
        items=[Item(id="a", model=CORE)],
        fallback=[ULTRA],
        limits=limits,
    )
    asked = ULTRA if is_stand_in else CORE

    async def quotas(model_ids):
        return dict.fromkeys(model_ids, found)

    opened = OpenRoute(service=None, renew=None, quotas=quotas, route=job.effective_routes[0])
    outline = plan.check(job)
    run = (await open_quotas(job, opened, outline, time.monotonic)).state()[asked]
    documented = {each.model_id: each.model for each in (*outline.models, *outline.fallbacks)}
    doctor = Allowance(
        model=asked,
        found=found,
        documented=documented[asked].requests_per_minute,
        given=job.effective_routes[0].rate(job.limits),
    )
    doctor = doctor.standing_in() if is_stand_in else doctor

    assert run.allowed_per_minute == doctor.rate


def test_a_dry_run_and_the_doctor_say_the_same_minutes(tmp_path, monkeypatch, capsys):
    """1,800 tasks of Core at the job's 60 a minute take half an hour, though 90 are documented."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(
        "name: night\nendpoint: simulator\nmodel: stability.stable-image-core-v1:1\n"
        "limits: {requests_per_minute: 60, concurrency: 20}\n"
        "items: [{id: mug, prompt: a mug, variants: 1800}]\n"
    )
    cli.main(["run", "job.yaml", "--dry-run", "--json"])
    dry = json.loads(capsys.readouterr().out)
    cli.main(["doctor", "job.yaml", "--json"])
    doctor = json.loads(capsys.readouterr().out)

    (minutes,) = (each["minutes"] for each in doctor["checks"] if each["check"] == "time")
    assert minutes == 30.0
    assert dry["minutes"] == pytest.approx(minutes, rel=0.03)
    ends = dry["ends"]
    assert ends["earliest_minutes"] <= dry["minutes"] <= ends["latest_minutes"]
