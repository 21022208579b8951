"""One simulator for all end-to-end tests, and the installed command in a folder of its own."""

import json
import subprocess
import sys

import pytest
from shell import Service, Shell


@pytest.fixture(scope="session")
def shared_service():
    """The process behind `service`."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    options = ["--latency=0", "--meter=none", "--picture=plain"]
    with subprocess.Popen(
        command + options, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Service(json.loads(process.stdout.readline())["url"])
        process.stdin.close()


@pytest.fixture
def service(shared_service):
    """A simulator without latency and quota, with empty books."""
    shared_service.reset()
    return shared_service


@pytest.fixture
def batchgen(tmp_path, service, capsys):
    """The command, run in an empty folder and ended with the test."""
    shell = Shell(tmp_path, service, capsys)
    yield shell
    shell.close()
