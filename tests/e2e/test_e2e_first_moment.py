"""Signals before a command has begun and after it has ended."""

import signal
import subprocess
from pathlib import Path

import pytest
from shell import until


def ignores_usr1(pid):
    """Whether a process has come to its first lines, where it asks not to be killed by SIGUSR1."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored, 16) >> (signal.SIGUSR1 - 1) & 1)


def asked_again(process):
    """Send SIGUSR1, and say whether the process has ended."""
    process.send_signal(signal.SIGUSR1)
    return process.poll() is not None


@pytest.fixture
def starting(batchgen):
    """A command whose imports have just begun."""
    batchgen.job("a mug")
    process = batchgen.start("validate", "job.yaml")
    until(lambda: ignores_usr1(process.pid))
    return process


def test_a_question_for_figures_does_not_kill(starting):
    """SIGUSR1 means nothing to a command that has no figures yet."""
    starting.send_signal(signal.SIGUSR1)
    out, err = starting.communicate(timeout=20)

    assert (starting.returncode, err) == (0, "")
    assert out.startswith("job.yaml is right")


def test_an_interrupt_is_no_traceback(batchgen):
    """Ctrl-C while modules are imported: 130 and silence."""
    batchgen.job("a mug")
    for _ in range(20):  # on a busy machine the command may be done before the signal comes
        process = batchgen.start("validate", "job.yaml")
        until(lambda started=process: ignores_usr1(started.pid))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        if process.returncode != 0:
            break

    assert (process.returncode, out, err) == (130, "", "")


def test_a_question_after_the_run_does_not_kill(batchgen):
    """From its first moment to its last one a run may be asked for its figures."""
    batchgen.job("a mug", "a lamp")
    process = batchgen.start("run", "job.yaml", "--rpm=60000", stderr=subprocess.DEVNULL)
    until(lambda: ignores_usr1(process.pid))
    until(lambda: asked_again(process))

    assert process.returncode == 0
    assert batchgen.service.charged() == 2
