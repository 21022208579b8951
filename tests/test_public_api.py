"""What a program may rely on: the names of the package, and that using one costs no other."""

import inspect
import subprocess
import sys

import pytest

import batchgen
from batchgen import Job, JobError, Limits
from batchgen.cli import COMMANDS

SCRIPT = """\
import asyncio
from decimal import Decimal
from pathlib import Path

import batchgen
from batchgen import Item, Job, JobError, Limits, OnFiltered, Record, Retry, Route, Selection
from batchgen import Choice, Simulator, Verdict

products = ["mug", "lamp"]
job = Job(
    name="shop",
    model="stability.stable-image-core-v1:1",
    endpoint="simulator",
    items=[Item(id=name, prompt=f"a {name}", vars={"size": 3}) for name in products],
    parameters={"aspect_ratio": "1:1"},
    fallback=["stability.sd3-5-large-v1:0"],
    limits=Limits(budget_usd=25, until="06:00", give_up_after="30m", max_failures="10%"),
    retry=Retry(ambiguous="fail"),
    routes=[Route(name="a"), Route(profile="b")],
    on_filtered=OnFiltered(retry_with_new_seed=1),
    simulator=Simulator(latency=0.1),
)
other = Job(name="shop", model="m", items=[{"id": "a", "prompt": "b"}], limits={"concurrency": 3})


def show(record: Record) -> None:
    print(record.label, record.status, [image.path for image in record.images])


async def main() -> None:
    summary = await batchgen.run(job, selection=Selection(only=["mug"], limit=1), on_record=show)
    spent: Decimal = summary.billed_usd
    print(summary.succeeded, spent, summary.exit_code == 0)
    async for record in batchgen.records(job, new_only=True):
        show(record)
    choice = Choice(only="mug-*", model="stability.sd3-5-large-v1:0")
    again = await batchgen.reproduce("out/shop", choice=choice, limits=Limits(budget_usd=1))
    print([each.original.label for each in again.images if each.verdict is Verdict.DIFFERENT])


try:
    loaded = batchgen.load_job(Path("job.yaml"))
except JobError as error:
    for complaint in error.complaints:
        print(complaint.line, complaint.path, complaint.text)
for record in batchgen.read_manifest("out/shop"):
    show(record)
print(batchgen.__version__, [task.label for task in batchgen.plan_job(other)])
asyncio.run(main())
"""
"""What a user may write; it is not run."""
HEAVY = {"PIL", "aiobotocore", "aiohttp", "botocore", "pydantic", "rich", "tenacity", "yaml"}
"""Packages that take long to import, and that are needed for one thing each."""


def imported(code):
    """Which heavy packages a fresh interpreter has imported after this code."""
    script = f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in ended.stderr.split()} & HEAVY


def test_the_names_are_sorted_and_stand_once():
    """`__all__` is a list that a person finds a name in."""
    assert batchgen.__all__ == sorted(set(batchgen.__all__))


@pytest.mark.parametrize("name", batchgen.__all__)
def test_every_name_is_there_and_documented(name):
    """It can be imported, and its docstring says what the name cannot."""
    value = getattr(batchgen, name)

    assert isinstance(value, str) if name == "__version__" else inspect.getdoc(value)
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(each.annotation for each in signature.parameters.values())


def test_there_are_no_others():
    """What is not in `__all__` is not offered, and a slip is an AttributeError."""
    assert dir(batchgen) == batchgen.__all__
    with pytest.raises(AttributeError, match="'batchgen' has no attribute 'load_jobs'"):
        batchgen.load_jobs  # noqa: B018  # looking is the test


def test_the_class_of_a_name_is_one():
    """The same object wherever it is imported from: `except` and `isinstance` work."""
    from batchgen.errors import JobError  # noqa: PLC0415  # the other way to it is under test

    assert batchgen.JobError is JobError


def test_a_wrong_job_is_a_job_error():
    """Whatever a program makes a job of: every complaint, with the keys that are allowed there."""
    with pytest.raises(JobError) as whole:
        Job(name=5, items=[])
    with pytest.raises(JobError) as part:
        Limits(concurrency=0, bugdet_usd=3)

    assert [each.path for each in whole.value.complaints] == [("name",), ("items",)]
    assert "allowed: a whole number from 1 to 1,000" in part.value.complaints[0].text
    assert 'did you mean "budget_usd"?' in part.value.complaints[1].text


def test_one_pattern_is_not_its_letters():
    """`only="mug"` means one pattern, and a limit below nothing is a slip."""
    assert batchgen.Selection(only="mug").only == ("mug",)
    with pytest.raises(batchgen.InputError, match="limit cannot be -1"):
        batchgen.Selection(limit=-1)


def test_a_users_script_passes_mypy(tmp_path):
    """Strict, with lists, mappings and texts where a job file takes them."""
    script = tmp_path / "shop.py"
    script.write_text(SCRIPT)
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path}/cache"]

    ended = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(script)],
        capture_output=True,
        check=False,
        text=True,
        timeout=250,
    )

    assert (ended.returncode, ended.stdout) == (0, "Success: no issues found in 1 source file\n")


def test_importing_costs_nothing():
    """`import batchgen` imports neither the AWS SDK nor anything else that takes long."""
    assert imported("import batchgen") == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["rnu"], *([name, "--help"] for name in COMMANDS)]
)
def test_the_help_costs_nothing(arguments):
    """It answers at once, for it needs Click alone."""
    code = f"from batchgen.cli import main\nmain({arguments!r})"

    assert imported(code) == set()


def test_a_check_of_a_job_needs_no_sdk(tmp_path):
    """`validate` reads YAML, and neither calls nor draws anything."""
    job = tmp_path / "job.yaml"
    job.write_text("{name: a, model: 'stability.sd3-5-large-v1:0', items: [{id: a, prompt: b}]}")

    used = imported(f"from batchgen.cli import main\nmain(['validate', {str(job)!r}])")

    assert used == {"pydantic", "yaml"}
