"""What every test stands on: an environment of its own, and the sweeps left out by default."""

import os
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("batchgen", deadline=None)  # a busy machine is no failure
settings.load_profile("batchgen")
# mutmut runs a test through another object of its class each time, which is no fault of the test.
settings.register_profile("mutation", deadline=None, suppress_health_check=list(HealthCheck))

FOREIGN = ("AWS_", "BOTO", "BATCHGEN_")
"""What names of variables that change the SDK, or us, begin with."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the sweeps marked `long` as well")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long sweep: --long runs it")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


FIGURES = pytest.StashKey[Counter]()
"""What the crash tests counted, in all the processes that ran them."""


def pytest_configure(config):
    config.stash[FIGURES] = Counter()


def pytest_sessionfinish(session):
    """Take the figures of this process; one that another started sends them there."""
    counted = getattr(sys.modules.get("crashing"), "FIGURES", {})
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = dict(counted)
    else:
        session.config.stash[FIGURES].update(counted)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add the figures of a process that has ended."""
    node.config.stash[FIGURES].update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[FIGURES]:
        terminalreporter.section("crash figures")
        for name, figure in sorted(config.stash[FIGURES].items()):
            terminalreporter.line(f"{name}: {figure}")


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory):
    """A home folder with AWS files that say nothing."""
    home = tmp_path_factory.mktemp("home")
    (home / "config").touch()
    (home / "credentials").touch()
    return home


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, empty_home):
    """No variable and no file of the person who runs the tests reaches them."""
    for name in os.environ:
        if name.startswith(FOREIGN) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(empty_home))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty_home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty_home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
