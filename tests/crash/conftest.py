"""One nursery and one simulator for all crash tests."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from crashing import Nursery, Simulator, Yard


@pytest.fixture(scope="session")
def nursery():
    """Forks a child for every run."""
    made = Nursery()
    yield made
    made.close()


@contextmanager
def simulating(*options):
    """A simulator that admits all and lives for the length of the block."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe", "--meter=none"]
    with subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Simulator(json.loads(process.stdout.readline())["url"])
        process.stdin.close()


@pytest.fixture(scope="session")
def shared_books():
    """The process behind `books`."""
    with simulating("--latency=0") as simulator:
        yield simulator


@pytest.fixture
def books(shared_books):
    """A simulator without latency and quota, with empty books."""
    shared_books.reset()
    return shared_books


@pytest.fixture
def slow_books():
    """A simulator whose calls take a while."""
    with simulating("--latency=0.05-0.5") as simulator:
        yield simulator


@pytest.fixture
def yard(nursery, books, tmp_path):
    """Scenes against the simulator."""
    return Yard(nursery, books, tmp_path)


@pytest.fixture
def till_yard(nursery, tmp_path):
    """Scenes against a till in the run's own process, in virtual time."""
    return Yard(nursery, None, tmp_path)
