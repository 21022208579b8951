"""One nursery and one simulator for all crash tests."""

import json
import subprocess
import sys

import pytest
from crashing import Nursery, Simulator


@pytest.fixture(scope="session")
def nursery():
    """Forks a child for every run."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_books():
    """The process behind `books`."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    with subprocess.Popen(
        [*command, "--latency=0", "--meter=none"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Simulator(json.loads(process.stdout.readline())["url"])
        process.stdin.close()


@pytest.fixture
def books(shared_books):
    """A simulator without latency and quota, with empty books."""
    shared_books.reset()
    return shared_books
