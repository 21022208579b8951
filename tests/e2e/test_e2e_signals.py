"""Real signals to a real process: nothing that was paid for is lost, every stop is resumable."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from shell import is_alive, until

LATE = 1
"""Seconds that the slow answers take."""
MUGS = [f"mug {number}" for number in range(12)]


def start_slow(batchgen, *arguments, seconds=LATE):
    """A run with two slow calls in flight."""
    batchgen.service.script("late", seconds=seconds)
    batchgen.job(*MUGS, limits={"concurrency": 2})
    process = batchgen.start("run", "job.yaml", "--rpm=60000", *arguments)
    until(lambda: batchgen.service.in_flight() == 2)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_drains(batchgen, number, code):
    """What is in flight ends and is recorded; nothing else starts; the next run goes on."""
    process = start_slow(batchgen)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)

    summary, made = batchgen.lines("end")[0]["summary"], len(batchgen.lines("record"))
    assert process.returncode == code == summary["exit_code"]
    assert 2 <= made == len(batchgen.service.ledger()) < 12
    assert f"{number.name}: no more calls are started. In flight, and paid for: 2, " in err
    assert f"{12 - made} left open" in err
    assert f"Stopped by {number.name}." in err
    assert err.endswith("The same command again goes on where this run stopped.\n")
    assert (summary["left"], summary["billed_usd"]) == (12 - made, round(0.04 * made, 2))


def test_the_second_signal_ends_at_once(batchgen):
    """Within two seconds, with all that is known on record; a third one changes nothing."""
    process = start_slow(batchgen, seconds=60)
    process.send_signal(signal.SIGINT)
    read_until(process, "no more calls are started")
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    read_until(process, "Ending now")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert time.monotonic() - sent < 2
    assert process.returncode == 130
    assert len(batchgen.lines("attempt")) == 2
    summary = batchgen.lines("end")[0]["summary"]
    assert (summary["left"], summary["billed_usd"], summary["maybe_billed_usd"]) == (12, 0.0, 0.08)


def test_a_run_that_only_waits_ends_at_once(batchgen):
    """While nothing is in flight, because the quota lets nothing start, one signal is enough."""
    batchgen.job("a mug", "a lamp")
    process = batchgen.start("run", "job.yaml", "--rpm=1")
    until(lambda: len(batchgen.lines("record")) == 1)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    process.communicate(timeout=20)

    assert time.monotonic() - sent < 2
    assert process.returncode == 130
    assert batchgen.service.charged() == 1


def test_a_status_line_on_request(batchgen):
    """SIGUSR1 prints where the run stands, and the run goes on."""
    process = start_slow(batchgen, seconds=2)
    process.send_signal(signal.SIGUSR1)
    read_until(process, "/12  0.0 images/min, 0.00 USD")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=20)

    assert process.returncode == 130
    assert len(batchgen.lines("record")) == batchgen.service.charged() < 12


def test_a_killed_run_leaves_no_simulator(batchgen):
    """A `kill -9` takes the simulator that the run started with it; the next run goes on."""
    batchgen.job(*MUGS, endpoint="simulator", simulator={"latency": 60})
    process = batchgen.start("run", "job.yaml", "--rpm=60000")
    until(lambda: batchgen.lines("attempt"))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    (simulator,) = map(int, children.read_text(encoding="ascii").split())
    process.kill()
    process.communicate(timeout=20)

    until(lambda: not is_alive(simulator))


class TestOneWriter:
    def test_a_second_run_is_refused(self, batchgen):
        """It ends with 6 and names the first, which is not disturbed."""
        first = start_slow(batchgen, seconds=60)
        second = batchgen.run()
        end(first)

        holder = rf"process {first.pid} on {re.escape(os.uname().nodename)}, started 20\S+Z"
        assert second.code == 6
        assert re.search(rf"Another run holds out: {holder}\.", second.err)
        assert "Wait for it with --wait-lock 30m, or end it" in second.err
        assert len(batchgen.lines("run")) == 1

    def test_a_second_run_can_wait(self, batchgen):
        """With --wait-lock it starts when the first has ended, and makes the rest."""
        first = start_slow(batchgen)
        second = batchgen.start("run", "job.yaml", "--rpm=60000", "--wait-lock=1m", "--limit=1")
        read_until(second, "This run starts when that one has ended.")
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=20)
        second.communicate(timeout=20)

        assert (first.returncode, second.returncode) == (130, 0)
        assert len(batchgen.lines("record")) == batchgen.service.charged()
        assert [line["summary"]["succeeded"] for line in batchgen.lines("end")][1:] == [1]

    def test_waiting_can_be_ended(self, batchgen):
        """A signal ends a run that waits for another one at once; nothing was written."""
        first = start_slow(batchgen, seconds=60)
        second = batchgen.start("run", "job.yaml", "--wait-lock=1m")
        read_until(second, "This run starts when that one has ended.")
        second.send_signal(signal.SIGINT)
        sent = time.monotonic()
        second.communicate(timeout=20)

        assert time.monotonic() - sent < 2
        assert second.returncode == 130
        end(first)
        assert len(batchgen.lines("run")) == 1


def end(process):
    """End a run at once, as two signals do."""
    process.send_signal(signal.SIGINT)
    read_until(process, "no more calls are started")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def read_until(process, words):
    """Read the lines of a running process up to the one with these words."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the process ended without saying {words!r}")
