"""One simulator for the whole folder, and the installed command in a folder and a world of its own."""

import json
import os
import subprocess
import sys
import urllib.request

import pytest
from command import Command, Service

LONG_RUNS = "refused"
"""Name of the fixture whose run takes half a minute: it starts first and is looked at last."""


@pytest.fixture(scope="session")
def shared_service():
    """The process behind `service`."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    with subprocess.Popen(
        [*command, "--latency=0", "--meter=none"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Service(json.loads(process.stdout.readline())["url"])
        process.stdin.close()
