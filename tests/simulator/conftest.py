"""One simulator for the whole folder, made new before each test, and ways to talk to one."""

import json
import subprocess
import sys
import urllib.request

import boto3
import pytest
from botocore.config import Config

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-west-2"}


class Bench:
    """A running simulator, as tests that do not wait for anything use it."""

    def __init__(self, url, pid):
        self.url = url
        self.pid = pid

    def client(self, service="bedrock-runtime", **changes):
        """A boto3 client that sends each call once."""
        config = Config(retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=10)
        settings = {"endpoint_url": self.url, "config": config, **KEYS, **changes}
        return boto3.client(service, **settings)

    def ledger(self):
        return self.ask("GET", "ledger")["entries"]

    def stats(self):
        return self.ask("GET", "stats")

    def script(self, *faults):
        self.ask("POST", "faults", list(faults))

    def ask(self, method, what, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.url}/simulator/{what}"
        request = urllib.request.Request(url, data, method=method)
        with urllib.request.urlopen(request) as response:
            return json.load(response)


@pytest.fixture(scope="session")
def shared_bench():
    """The process behind `bench`."""
    command = [sys.executable, "-m", "batchgen.simulator", "--parent-pipe"]
    options = ["--latency=0", "--meter=none"]
    with subprocess.Popen(
        command + options, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield Bench(**json.loads(process.stdout.readline()))
        process.stdin.close()


@pytest.fixture
def bench(shared_bench):
    """A simulator without latency and quota that remembers nothing of other tests."""
    shared_bench.ask("POST", "reset")
    return shared_bench
