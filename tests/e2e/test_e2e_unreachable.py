"""An endpoint where nobody answers."""

import json

import pytest
from shell import PATIENCE, texts


@pytest.fixture
def unreachable(head_start):
    """The run that `head_start` began, and what it said."""
    shell, process = head_start
    out, err = process.communicate(timeout=PATIENCE)
    return shell, process.returncode, out, err


def test_a_refused_connection_ends_the_run(unreachable):
    """Told at the first attempt, tried for a while, then exit code 4 and the address."""
    shell, code, out, err = unreachable

    _, *lines = texts(err)
    summary = json.loads(out)
    assert code == 4
    assert lines[0].startswith("item-1/1 is tried again: EndpointConnectionError: ")
    assert lines[-2].startswith("Nothing answers at the endpoint: ")
    assert f'"{shell.service.url}/model/' in lines[-2]
    assert lines[-2].endswith("Check the network, the Region's name and `endpoint`.")
    assert (summary["left"], summary["billed_usd"], summary["maybe_billed_usd"]) == (1, 0.0, 0.0)
    assert summary["elapsed_s"] < 40
    assert shell.lines("record") == []
