"""What a night leaves in a log: when, what, why, and how to see the rest."""

import shlex
import subprocess

import pytest
from shell import texts


def test_the_first_line_says_what_the_run_is(batchgen):
    """Run id, job and output as absolute paths, tasks, budget and until: also after a warning."""
    batchgen.job("a mug", "a lamp", limits={"budget_usd": 5}, allow_retired=True)

    ended = batchgen.run("--max-duration", "90")
    first = texts(ended.err)[0]

    (run,) = batchgen.lines("run")
    assert first.startswith(
        f"Run {run['run_id']}: job shop from {batchgen.folder}/job.yaml, "
        f"output {batchgen.folder}/out, endpoint {batchgen.service.url}, 2 tasks, "
        "budget 5.00 USD until the job is finished, until "
    )


def test_quiet_leaves_warnings_and_the_end(batchgen):
    """What failed, the counts, the cost and the place; no first line, and no progress."""
    batchgen.job("a mug", "a naked mug")

    ended = batchgen.run("--quiet")

    lines = texts(ended.err)
    assert ended.code == 1
    assert [line.partition(" was ")[0] for line in lines[:2]] == ["item-2/1", "item-2/1"]
    assert lines[2].startswith("1 image made, 1 filtered, ")
    assert [line.partition(":")[0] for line in lines[3:]] == ["Cost", "Images and manifest"]


def test_the_end_names_what_has_no_image_and_how_to_see_all(batchgen):
    """Tasks up to a bound, with the reason; the command prints the records of all of them."""
    prompts = [f"mug {number}" for number in range(22)]
    batchgen.service.script("ValidationException", times=22)
    batchgen.job(*prompts, "a naked mug")

    first, ended = batchgen.run(), batchgen.run()

    assert (first.code, ended.code) == (1, 1)
    *_, listed, command = (line for line in texts(first.err) if "All of" in line or "more" in line)
    assert listed.endswith(" and 2 more")
    shown = subprocess.run(
        shlex.split(command.removeprefix("All of them: ")), capture_output=True, check=True
    )
    assert len(shown.stdout.splitlines()) == 23
    assert "All of them" not in ended.err  # of this run there is one, and it is named


def test_a_complaint_that_ends_a_run_has_its_time(batchgen):
    """Whoever reads the log the next morning sees when it ended."""
    batchgen.job("a mug")
    batchgen.run()
    (batchgen.folder / "out/images").chmod(0o500)

    assert texts(batchgen.run("--fresh").err)


@pytest.mark.parametrize("place", [("-v", "run"), ("run", "-v")])
def test_verbose_says_what_was_decided(batchgen, place):
    """Each record and each retry, in any place of the command; nothing of another library."""
    batchgen.service.script("ServiceUnavailableException", times=1)
    batchgen.job("a mug")

    ended = batchgen(*place, "job.yaml", "--rpm=60000", env={})

    entries = [line for line in texts(ended.err) if line.startswith("INFO ")]
    assert ended.code == 0
    assert any("item-1/1: attempt 1 failed (ServiceUnavailable" in line for line in entries)
    assert "INFO item-1/1: succeeded after attempts: 2" in entries
    assert not [line for line in entries if "boto" in line or "Found credentials" in line]


def test_all_that_is_said_is_ours(batchgen):
    """With -vv, too: no key, no token, no library's own words."""
    batchgen.job("a mug")

    ended = batchgen("run", "job.yaml", "--rpm=60000", "-vv", env={})

    entries = [line for line in texts(ended.err) if line.startswith(("INFO", "DEBUG"))]
    assert ended.code == 0
    assert all("item-1/1" in line or "stability." in line for line in entries)
