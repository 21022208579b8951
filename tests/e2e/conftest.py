"""One simulator for all end-to-end tests, and the installed command in a folder of its own."""

import json
import subprocess
import sys

import pytest
from readme import Catalog
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
def batchgen(tmp_path, service):
    """The installed command, run in an empty folder and ended with the test."""
    shell = Shell(tmp_path, service)
    yield shell
    shell.close()


@pytest.fixture(scope="session", autouse=True)
def head_start(request, tmp_path_factory):
    """What takes long and only waits starts before all other tests, if a test looks at it later.

    A run against a port where nobody listens, and the whole catalogue at its real quota.
    """
    asked = {item.path.stem for item in request.session.items}
    if "test_docs" in asked:
        Catalog.started(tmp_path_factory.mktemp("catalog"))
    folder = tmp_path_factory.mktemp("unreachable")
    shell = Shell(folder, Service("http://127.0.0.1:9"))
    process = None
    if "test_e2e_unreachable" in asked:
        shell.job("a mug")
        home = {"HOME": str(folder), "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": ""}
        process = shell.start("run", "job.yaml", "--json", env=home)
    yield shell, process
    shell.close()
    Catalog.end()
