"""A manifest may be anybody's: whatever stands in a line, a command says what is wrong with it."""

import asyncio
import copy
import json
import shutil
from contextlib import asynccontextmanager

import pytest
from fakes import ERRORS, FakeService, good
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgen.bedrock.routes import Endpoint, OpenRoute
from batchgen.cli import main
from batchgen.errors import BatchgenError, ExitCode, Filtered
from batchgen.job import load
from batchgen.record import DerivedLine, MovedLine, RepairLine, utc_now
from batchgen.runner.batch import Batch
from batchgen.runner.options import RunOptions

JOB = """\
name: shop
endpoint: simulator
model: stability.stable-image-core-v1:1
output: {folder}/out
derive: [{{suffix: "-4", width: 4, format: webp}}]
items: [{{id: a, prompt: one}}, {{id: b, prompt: two}}, {{id: c, prompt: three}}]
"""
TIMES = ["2026-11-21T12:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
TEXTS = ["", "x", "1", "../a", "images/x.png", "a\0b", "\ud800", *TIMES]
NUMBERS = [0, -1, 10**30, 1.5, 1e308, float("nan"), float("inf")]
VALUES = [None, True, *NUMBERS, *TEXTS, [], [1], [None], [[]], [{}], {}, {"a": 1}, {"a": {}}]


async def run(job, service):
    """A run to its end, whose calls this service answers."""

    @asynccontextmanager
    async def opened(*_):
        yield Endpoint(routes=(OpenRoute(service=service, renew=service.renew),))

    return await Batch(RunOptions(job=job, open_service=opened)).run()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A job, its output with lines of every kind, and these lines as fields."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "job.yaml").write_text(JOB.format(folder=folder))
    job = load(folder / "job.yaml")
    asyncio.run(run(job, FakeService([good, good, ERRORS[Filtered]])))
    manifest = folder / "out/manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_bytes().splitlines()]
    made = next(each for each in lines if each["kind"] == "record" and each["images"])
    image, gone = made["images"][0], f"1-{0:032x}"
    later = (
        MovedLine(run_id="r", task_id=gone, path="images/q.png", new_path="superseded/q.png"),
        DerivedLine(run_id="r", task_id=made["task_id"], path=image["path"], derived=()),
        RepairLine(reason="missing", task_id=gone, at=utc_now(), files=()),
    )
    lines[-1:-1] = [json.loads(each.to_json()) for each in later]
    lines[-3]["derived"] = image["derived"]
    lines[-2]["files"] = [{"path": "images/q.png", "new_path": "aside/q.png"}]
    shutil.copytree(folder / "out", folder / "as-it-was")
    return folder, lines


def places(value, at=()):
    """Where a value stands in a line, and each that it holds."""
    inside = value.items() if isinstance(value, dict) else ()
    for key, each in enumerate(value) if isinstance(value, list) else inside:
        yield (*at, key)
        yield from places(each, (*at, key))


def changed(line, place, value):
    """A line with another value in one place."""
    line = copy.deepcopy(line)
    holder = line
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return line


def commands(folder):
    """All that read a manifest; `run` is a function of its own."""
    out, job = folder / "out", folder / "job.yaml"
    image = next((out / "images").glob("a*.png"))
    return (
        ("verify", out),
        ("verify", "--quick", "--job", job, out),
        ("verify", "--repair", out),
        ("show", out),
        ("show", "--failed", "--json", out),
        ("show", image),
        ("manifest", "export", "--output", folder / "table.csv", out),
        ("manifest", "export", "--all", "--output", folder / "all.csv", "--json", out),
        ("manifest", "merge", "--output", folder / "merged.jsonl", out, out),
        ("reproduce", "--dry-run", "--output", folder / "again", out),
        ("plan", "--explain", job),
        ("run", "--dry-run", job),
        None,
    )


def ends(folder, command):
    """Run a command on the output; a run makes what it misses."""
    if command is not None:
        return main([str(each) for each in command])
    try:
        return asyncio.run(run(load(folder / "job.yaml"), FakeService())).exit_code
    except BatchgenError:
        return ExitCode.USAGE


def found(lines, place):
    """Line and place in it: so many-th of all, or a kind of line and the way in its first one."""
    if isinstance(place, int):
        every = [(number, each) for number, line in enumerate(lines) for each in places(line)]
        return every[place % len(every)]
    kind, *way = place
    return next(number for number, line in enumerate(lines) if line["kind"] == kind), way


MERGE, EXPORT, SHOW, SHOW_IMAGE, REPAIR, RUN = 8, 6, 3, 5, 2, 12


@given(place=st.integers(0, 2**20), value=st.sampled_from(VALUES), command=st.integers(0, RUN))
@example(place=("record", "images"), value=[1], command=RUN)
@example(place=("record", "images", 0, "format"), value=[[]], command=RUN)
@example(place=("record", "finished_at"), value=TIMES[1], command=RUN)
@example(place=("record", "task_id"), value=None, command=REPAIR)
@example(place=("record", "kind"), value=[], command=EXPORT)
@example(place=("attempt", "kind"), value={}, command=MERGE)
@example(place=("run", "random_seed_key"), value={"a": 1}, command=RUN)
@example(place=("run", "started_at"), value=TIMES[0], command=SHOW)
@example(place=("run", "job_name"), value=[[]], command=SHOW)
@example(place=("record", "images", 0, "sha256"), value="\ud800", command=SHOW_IMAGE)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_of_a_line_is_a_fault_of_ours(shop, capsys, place, value, command):
    """Whatever stands there, a command does its work or says what is wrong, and never ends with 70.

    What a run makes of an output that it cannot believe is for the money tests.
    """
    folder, lines = shop
    number, at = found(lines, place)
    lines = [*lines[:number], changed(lines[number], at, value), *lines[number + 1 :]]
    shutil.rmtree(folder / "out")
    shutil.copytree(folder / "as-it-was", folder / "out")
    for made in (folder / "merged.jsonl", folder / "table.csv", folder / "all.csv"):
        made.unlink(missing_ok=True)
    data = "".join(f"{json.dumps(line)}\n" for line in lines)
    (folder / "out/manifest.jsonl").write_text(data)

    code = ends(folder, commands(folder)[command])

    assert code != ExitCode.FAULT, capsys.readouterr().err
