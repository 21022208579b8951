"""`batchgen manifest`: what it writes, where, and with which exit code."""

import csv
import json
import sys

import pytest
from fakes import make_record, make_task
from outputs import run_line

from batchgen.cli import main


@pytest.fixture
def output(tmp_path):
    """An output with one run and two records."""
    folder = tmp_path / "out"
    folder.mkdir()
    records = (make_record(make_task(), seed=4_294_967_295), make_record(make_task()))
    lines = b"".join(each.to_json() for each in (run_line(), *records))
    (folder / "manifest.jsonl").write_bytes(lines)
    return folder


def test_a_table_goes_to_standard_output_or_a_file(output, tmp_path, capfd):
    """CSV by default; the file is named by its folder or by itself."""
    assert main(["manifest", "export", str(output)]) == 0
    rows = list(csv.DictReader(capfd.readouterr().out.splitlines()))
    assert [row["seed"] for row in rows][:1] == ["4294967295"]
    target = tmp_path / "x.csv"
    path = str(output / "manifest.jsonl")
    assert main(["manifest", "export", path, "--csv", "--output", str(target)]) == 0
    ended = capfd.readouterr()
    assert (ended.out, "2 rows" in ended.err) == ("", True)
    assert len(list(csv.DictReader(target.read_text().splitlines()))) == 2


def test_json_is_rows_or_what_was_written(output, tmp_path, capfd):
    """Lines of JSON on standard output; with a file, one object that tells of it."""
    assert main(["manifest", "export", str(output), "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows[0]["seed"] == 4_294_967_295
    target = tmp_path / "x.csv"
    assert (
        main(["manifest", "export", str(output), "--csv", "--output", str(target), "--json"]) == 0
    )
    told = json.loads(capfd.readouterr().out)
    assert told == {"exit_code": 0, "rows": 2, "output": str(target)}


def test_several_manifests_become_one_that_reads_like_any(output, tmp_path, capfd):
    """And is never put in the place of a file that is there."""
    target = tmp_path / "all.jsonl"
    arguments = ["manifest", "merge", str(output), str(output / "manifest.jsonl")]
    assert main([*arguments, "--output", str(target), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["runs"], told["records"], told["unreadable"]) == (1, 2, 0)
    assert main(["manifest", "export", str(target), "--json"]) == 0
    first = json.loads(capfd.readouterr().out.splitlines()[0])
    assert first["path"].startswith("out/images/")
    assert main([*arguments, "--output", str(target)]) == 2
    assert "is there already" in capfd.readouterr().err
    assert main(arguments) == 0
    assert len(capfd.readouterr().out.splitlines()) == 3


def test_what_cannot_be_written_is_said(output, tmp_path, capfd, monkeypatch):
    """Parquet to a terminal, the manifest itself, a folder that is not there, a missing extra."""
    manifest = output / "manifest.jsonl"
    before = manifest.read_bytes()
    for arguments, said in (
        (["--parquet"], "Name the file to write with --output"),
        (["--csv", "--output", str(manifest)], "is the manifest itself"),
        (["--csv", "--output", str(tmp_path / "none" / "x")], "cannot be written"),
    ):
        assert main(["manifest", "export", str(output), *arguments]) == 2
        assert said in capfd.readouterr().err
    assert manifest.read_bytes() == before
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    target = str(tmp_path / "x.parquet")
    assert main(["manifest", "export", str(output), "--parquet", "--output", target]) == 2
    assert "pip install 'batchgen[parquet]'" in capfd.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out"]


def test_a_manifest_that_cannot_be_read_is_said(tmp_path, capfd):
    """Missing, of a later format, empty or binary: exit code 2, and nothing is written."""
    path = tmp_path / "manifest.jsonl"
    assert main(["manifest", "export", str(path)]) == 2
    path.write_bytes(b'{"kind": "run", "version": 99}\n')
    for name in ("export", "merge"):
        assert main(["manifest", name, str(path)]) == 2
        ended = capfd.readouterr()
        assert ended.out == ""
        assert f"{path} was written by a later batchgen" in ended.err
    for data in (b"", b"\x00\xff\xfe" * 100):
        path.write_bytes(data)
        for name in ("export", "merge"):
            assert main(["manifest", name, str(path)]) == 2
            ended = capfd.readouterr()
            assert ended.out == ""
            assert f"{path} holds no line of a run" in ended.err


def test_a_path_that_leaves_the_folder_is_refused(output, capfd):
    """A manifest may come from someone else: no row sends a program elsewhere."""
    manifest = output / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"path": "images/', b'"path": "../x/'))
    assert main(["manifest", "export", str(manifest)]) == 2
    ended = capfd.readouterr()
    assert ended.out == ""
    assert "no path inside its folder" in ended.err


def test_the_schema_of_its_lines(capfd):
    """As it is committed."""
    assert main(["manifest", "schema"]) == 0
    assert json.loads(capfd.readouterr().out)["$id"] == "urn:batchgen:manifest:2"
