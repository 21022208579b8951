"""What every test stands on: an environment of its own, and the sweeps left out by default."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("long", deadline=None)  # a busy machine is no failure
settings.register_profile("batchgen", settings.get_profile("long"), max_examples=50)
settings.load_profile("batchgen")
# mutmut runs a test through another object of its class each time, which is no fault of the test.
settings.register_profile("mutation", deadline=None, suppress_health_check=list(HealthCheck))

FOREIGN = ("AWS_", "BOTO", "BATCHGEN_")
"""What names of variables that change the SDK, or us, begin with."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the sweeps marked `long` as well")


FIRST = ("test_docs.py", "crash", "e2e", "money")
"""Files and rooms whose tests take longest: begun last, they would go on alone at the end."""


def _turn(item):
    """When an item is run: the longest first, otherwise as they were found."""
    (place,) = item.path.relative_to(HERE).parts[:1]
    return FIRST.index(place) if place in FIRST else len(FIRST)


def pytest_collection_modifyitems(config, items):
    items.sort(key=_turn)
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long sweep: --long runs it")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One process more than there are cores: many tests wait for a disk, a process or a socket."""
    return (os.cpu_count() or 1) + 1


FIGURES = pytest.StashKey[Counter]()
"""What the crash tests counted, in all the processes that ran them."""


def pytest_configure(config):
    if config.getoption("--long"):
        settings.load_profile("long")
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
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(empty_home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(empty_home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
