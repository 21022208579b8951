"""What a person at a terminal sees of a run, and that the run does not need the terminal."""

import json
import os
import re
import signal
import subprocess

import pytest
from screen import Terminal
from shell import until

COLOURS = ("\x1b[3", "\x1b[9", "\x1b[4")
"""How sequences that set a colour begin."""


@pytest.fixture
def terminal():
    """80 columns of a terminal."""
    made = Terminal()
    yield made
    made.close()


def test_the_bar_has_all_figures(batchgen, terminal):
    """Done of all, images a minute, filtered, failed, cost: in lines of 80 columns, unbroken."""
    batchgen.service.script("ValidationException", when={"contains": "lamp"})
    batchgen.job("a mug", "a [red]mug[/red]", "a naked mug", "a lamp")

    ended = batchgen.run("--json", stderr=terminal.slave, env={"TERM": "xterm"})
    lines = terminal.read()

    bar = next(line for line in lines if "4/4" in line)
    assert ended.code == 1
    assert "images/min · 1 failed · 1 filtered · 0.08 USD" in bar
    assert sum("━" in line for line in lines) == 1
    assert lines[-1] == "Images and manifest: out"
    assert json.loads(ended.out)["succeeded"] == 2  # the bar leaves standard output alone


def test_a_run_that_never_began_leaves_its_complaint_alone(batchgen, terminal):
    """No empty bar stands before the sentence of what is wrong."""
    batchgen.job("a mug", output="job.yaml")

    ended = batchgen.run(stderr=terminal.slave, env={"TERM": "xterm"})
    lines = terminal.read()

    assert ended.code == 2
    assert lines[0].startswith("The output job.yaml cannot be made: File exists. Name another one")
    assert len(lines) == 2  # of 80 columns


def test_the_bar_tells_the_time_left(batchgen, terminal):
    """While calls are made the bar moves, and says how long the rest takes."""
    batchgen.job(*(f"mug {number}" for number in range(12)))

    process = batchgen.start(
        "run", "job.yaml", "--rpm=240", stderr=terminal.slave, env={"TERM": "xterm"}
    )
    until(lambda: any(re.search(r"\d+ s left", line) for line in terminal.read()))
    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130


def test_without_colour(batchgen, terminal):
    """NO_COLOR keeps the bar and drops the colours."""
    batchgen.job("a mug")

    batchgen.run(stderr=terminal.slave, env={"TERM": "xterm", "NO_COLOR": "1"})
    lines = terminal.read()

    assert any("1/1" in line for line in lines)
    assert not any(colour in terminal.raw for colour in COLOURS)


def test_a_terminal_that_can_do_nothing_gets_plain_lines(batchgen, terminal):
    """TERM=dumb, as editors and CI set it, means lines without a single control sequence."""
    batchgen.job("a mug")

    batchgen.run(stderr=terminal.slave, env={"TERM": "dumb"})
    lines = terminal.read()

    assert "\x1b" not in terminal.raw
    assert any(line.startswith("1/1  ") for line in lines)


def test_a_terminal_that_goes_away_is_a_drain(batchgen, terminal):
    """When the window is closed, what is in flight is finished and recorded."""
    batchgen.service.script("late", seconds=1)
    batchgen.job(*(f"mug {number}" for number in range(20)), limits={"concurrency": 2})
    process = batchgen.start(
        "run",
        "job.yaml",
        "--rpm=60000",
        stdin=terminal.slave,
        stdout=subprocess.DEVNULL,
        stderr=terminal.slave,
        env={"TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its own terminal
    )
    os.close(terminal.slave)
    until(lambda: batchgen.service.in_flight() == 2)
    terminal.close()

    assert process.wait(20) == 130
    assert 2 <= batchgen.service.charged() == len(batchgen.lines("record")) < 20
    assert batchgen.lines("end")[0]["summary"]["stopped"]["cause"] == "interrupted"
