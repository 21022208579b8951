"""The simulator as a process: it announces itself, and never outlives anybody."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields

import pytest
from click.testing import CliRunner
from clocks import LoopClock, ManualClock
from wire import CORE, PROMPT, Wire, wired

from batchgen.simulator.cli import command
from batchgen.simulator.clock import SystemClock
from batchgen.simulator.faults.directives import DirectiveError
from batchgen.simulator.launch import SimulatorError, running
from batchgen.simulator.options import Options
from batchgen.simulator.server import build_app

COMMAND = [sys.executable, "-m", "batchgen.simulator"]


def started(*arguments, **more):
    """A child, and what it announces."""
    child = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more
    )
    return child, json.loads(child.stdout.readline())


@contextmanager
def dying(url):
    """Return when the process behind this address is gone: its connections end with it."""
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield
        assert connection.recv(1) == b""


async def test_a_launched_simulator_answers_and_ends():
    """In a session of its own, so that a terminal's Ctrl-C does not reach it."""
    async with running("--latency=0", "--picture=plain", "--meter=none") as simulator:
        assert os.getsid(simulator.pid) == simulator.pid
        await simulator.script([{"action": "throttle", "times": 1}])
        wire = Wire(port=int(simulator.url.rpartition(":")[2]))
        statuses = [(await wire.post(PROMPT)).status for _ in range(2)]

        assert statuses == [429, 200]
        assert [entry["status"] for entry in await simulator.ledger()] == [429, 200]
        assert (await simulator.stats())["charged_usd"] == "0.04"
        await simulator.reset()
        assert await simulator.ledger() == []
    with pytest.raises(ProcessLookupError):
        os.kill(simulator.pid, 0)


async def test_a_wrong_fault_is_refused_where_it_is_scripted():
    """With the server's sentence."""
    async with running() as simulator:
        with pytest.raises(SimulatorError, match="unknown action 'explode'"):
            await simulator.script([{"action": "explode"}])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latency=soon"], "'soon' is no number of seconds"),
        (["--faults=/no/such/file"], "No such file"),
        (["--faults=/dev/null"], "/dev/null holds no JSON"),
        (["--host=203.0.113.1"], "203.0.113.1"),
    ],
)
async def test_a_simulator_that_does_not_come_up_says_why(arguments, words):
    """In the error of whoever launched it."""
    with pytest.raises(SimulatorError, match=words):
        async with running(*arguments):
            pass  # pragma: no cover


def test_it_ends_when_its_parent_is_killed():
    """Even by kill -9: the kernel closes the pipe that it reads."""
    script = (
        "import asyncio\n"
        "from batchgen.simulator.launch import running\n"
        "async def main():\n"
        "    async with running() as simulator:\n"
        "        print(simulator.url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with parent:
        url = parent.stdout.readline().decode().strip()
        with dying(url):
            parent.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_cleanly(number):
    """Exit code 0, nothing on standard error, one line on standard output."""
    child, announced = started()
    with child:
        assert announced == {"url": announced["url"], "pid": child.pid}
        with dying(announced["url"]):
            child.send_signal(number)

        assert child.stdout.read() == child.stderr.read() == b""
    assert child.returncode == 0


async def test_a_signal_ends_it_with_calls_in_flight(tmp_path):
    """They are entered as charged before it goes."""
    path = tmp_path / "ledger.jsonl"
    child, announced = started("--latency=600", f"--ledger={path}")
    with child:
        wire = Wire(port=int(announced["url"].rpartition(":")[2]))
        reader, writer = await wire.send(PROMPT)
        stats = {"in_flight": 0}
        while not stats["in_flight"]:
            stats = (await wire.post(b"", "/simulator/stats", method="GET")).json
        child.terminate()
        assert await reader.read() == b""
        writer.close()
    line = json.loads(path.read_text().splitlines()[0])

    assert child.returncode == 0
    assert (line["outcome"], line["charged_usd"]) == ("abandoned", "0.04")


async def test_verbose_tells_each_call_on_standard_error():
    """Model, status, outcome, cost; never the prompt or the key."""
    child, announced = started("--verbose", "--latency=0", "--picture=plain")
    with child:
        await Wire(port=int(announced["url"].rpartition(":")[2])).post(PROMPT)
        child.terminate()
        told = child.stderr.read().decode()

    assert f"#1 {CORE} 200 generated, 0.04 USD" in told
    assert "mug" not in told
    assert "AKID" not in told


async def test_a_fault_on_demand_is_no_fault_of_the_simulator():
    """Dropped connections are what was asked for: no traceback is printed for them."""
    child, announced = started("--latency=0", "--picture=plain", "--drop-rate=1")
    with child:
        await Wire(port=int(announced["url"].rpartition(":")[2])).post(PROMPT)
        child.terminate()

        assert child.stderr.read() == b""


async def test_faults_of_a_file_are_in_force_from_the_start(tmp_path):
    """And a file that cannot be used ends the start with its reason."""
    path = tmp_path / "faults.json"
    path.write_text('[{"action": "throttle"}]')
    async with wired(faults=path) as wire:
        assert (await wire.post(PROMPT)).status == 429

    path.write_text('[{"action": "explode"}]')
    with pytest.raises(DirectiveError, match="directive 1: unknown action 'explode'"):
        build_app(Options(faults=path))


def test_every_option_is_on_the_command_line_with_its_help():
    """Made from the fields, so none can be missing."""
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())

    for entry in fields(Options):
        assert f"--{entry.name.replace('_', '-')}" in text
        assert entry.metadata["help"].split()[0] in text


def test_help_needs_neither_server_nor_pictures():
    """It answers before either could be imported."""
    code = (
        "import sys; from batchgen.simulator import cli, options;"
        "print([name for name in ('aiohttp', 'PIL', 'asyncio') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert told.stdout == b"[]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--latency=5-2"],
        ["--latency=-1"],
        ["--latency=inf"],
        ["--quota-step=3"],
        ["--quota-step=x:3"],
        ["--requests-per-minute=-1"],
        ["--meter=hourly"],
        ["--throttle-rate=2"],
        ["--clock-skew=1e300"],
        ["--quota=stability.core=5"],
        ["--arn=us.profile=core"],
        ["--quota-step=3:core=5"],
        ["--expire=AKID"],
        ["--arn=X"],
        ["--port=none"],
        ["extra"],
    ],
)
def test_a_value_that_cannot_be_used_is_a_usage_error(arguments):
    """Exit code 2, naming the value."""
    outcome = CliRunner().invoke(command, arguments)

    assert outcome.exit_code == 2
    assert arguments[0].partition("=")[2] in outcome.output


async def test_the_clocks_agree_with_themselves():
    """Monotonic time passes as sleepers are told."""
    for clock in (SystemClock(), LoopClock()):
        before = clock.monotonic(), clock.wall()
        await clock.sleep(0.001)
        assert clock.monotonic() - before[0] >= 0.001
        assert clock.wall() >= before[1]


async def test_a_manual_clock_wakes_sleepers_in_their_order():
    """And only those whose time has come."""
    clock, woken = ManualClock(wall=100.0), []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append(seconds)

    async with asyncio.TaskGroup() as group:
        for seconds in (3, 1, 2, 0):
            group.create_task(sleeper(seconds))
        await clock.sleeping(3)
        clock.advance(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert woken == [0, 1, 2]
        assert (clock.monotonic(), clock.wall()) == (2, 102.0)
        clock.advance(1)
    assert woken == [0, 1, 2, 3]
