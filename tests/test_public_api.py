"""What a program may rely on: the names of the package, and that using one costs no other."""

import inspect
import subprocess
import sys

import pytest

import batchgen
from batchgen.cli import COMMANDS

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
