"""`batchgen init` and `batchgen schema`: from nothing to a first job, and an editor that helps."""

import json

import pytest

from batchgen.cli import main
from batchgen.job import schema_text

NAMES = ["catalog.yaml", "job.schema.json", "products.csv"]


def test_init_writes_a_job_that_runs(tmp_path, capsys, monkeypatch):
    """A commented job with the schema on its first line, its CSV, and the schema itself."""
    monkeypatch.chdir(tmp_path)

    assert main(["init"]) == 0

    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    first, *rest = (tmp_path / "catalog.yaml").read_text("utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=job.schema.json"
    assert sum("#" in line for line in rest) > 10
    assert "Next: batchgen run catalog.yaml" in capsys.readouterr().out
    assert main(["validate", "catalog.yaml"]) == 0
    assert "8 tasks" in capsys.readouterr().out


def test_init_overwrites_nothing(tmp_path, capsys):
    """One file that is there already, and none is written."""
    (tmp_path / "products.csv").write_text("mine")

    assert main(["init", str(tmp_path)]) == 2

    assert [path.name for path in tmp_path.iterdir()] == ["products.csv"]
    assert "products.csv: there already, and nothing is overwritten" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--json"], []])
def test_init_makes_the_folder(tmp_path, capsys, options):
    """And tells programs what it wrote."""
    folder = tmp_path / "shop" / "jobs"

    assert main(["init", str(folder), *options]) == 0

    out = capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    if options:
        assert sorted(json.loads(out)["files"]) == [str(folder / name) for name in NAMES]


def test_init_says_where_it_cannot_write(tmp_path, capsys):
    """A file where a folder must be."""
    (tmp_path / "file").write_text("")

    assert main(["init", str(tmp_path / "file" / "folder")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_schema_prints_the_schema(capsys):
    """As it is kept; programs get the same."""
    for options in ([], ["--json"]):
        assert main(["schema", *options]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(schema_text())
