"""`verify`: what is said of an output, and with which exit code."""

import json
import os
from types import SimpleNamespace

import pytest
from outputs import sound

from batchgen.cli import main
from batchgen.output.lock import hold_lock


@pytest.fixture
def verify(capsys):
    """Runs `verify`."""

    def run(*arguments):
        code = main(["verify", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return SimpleNamespace(code=code, out=out, err=err, lines=out.splitlines())

    return run


@pytest.fixture
def output(tmp_path):
    return sound(tmp_path / "out")


@pytest.mark.parametrize("options", [(), ("--quick",)])
@pytest.mark.parametrize("name", ["", "manifest.jsonl"])
def test_a_sound_output(verify, output, options, name):
    """One line, exit code 0, by folder or by manifest."""
    ended = verify(output.folder / name, *options)

    assert (ended.code, ended.err) == (0, "")
    assert len(ended.lines) == 1
    assert "is sound: 6 images on record, 6 files" in ended.out


def test_differences_have_exit_code_5(verify, output):
    """One line for each, and their counts at the end."""
    output.put("images/stray.png", b"")
    (output.folder / output.lines[1].images[0].path).unlink()

    ended = verify(output.folder)

    assert ended.code == 5
    assert ended.lines[0].startswith(f"missing: {output.lines[1].images[0].path} (mug-")
    assert ended.lines[1] == "stray: images/stray.png: no record names it"
    assert "2 differences (1 missing, 1 stray)" in ended.lines[2]


def test_programs_get_all_of_it(verify, output):
    """Each finding with its path, task and text; many more than a screen takes."""
    for number in range(30):
        output.put(f"images/{number}.png", b"")

    ended = verify(output.folder, "--json")
    fields = json.loads(ended.out)

    assert ended.code == 5
    assert (fields["sound"], fields["counts"]) == (False, {"stray": 30})
    assert len(fields["findings"]) == 30
    assert "stray: 10 more; --json lists them" in verify(output.folder).lines


def test_a_run_that_writes_is_told(verify, output):
    """On standard error; what it has in hand is no difference."""
    with hold_lock(output.folder):
        ended = verify(output.folder)

    assert ended.code == 0
    assert f"A run is writing (process {os.getpid()}" in ended.err


def test_names_and_labels_do_not_steer_a_terminal(verify, output):
    """A file may have any name, and a manifest any label."""
    output.put("images/\x1b[31m\n.png", b"")
    output.put(b"images/\xff\xfe.png".decode(errors="surrogateescape"), b"")
    output.edit(lambda fields: fields.update(label="\x1b]0;x\x07" * 1000), number=1)
    (output.folder / output.lines[1].images[0].path).unlink()

    ended = verify(output.folder)

    assert ended.code == 5
    assert all(line.isprintable() for line in ended.lines)
    assert json.loads(verify(output.folder, "--json").out)["counts"] == {"missing": 1, "stray": 2}


@pytest.mark.parametrize("name", ["missing", "empty", "pipe"])
def test_what_cannot_be_verified(verify, tmp_path, name):
    """No such folder, one without a manifest, a pipe: exit code 2 and one sentence."""
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")

    ended = verify(tmp_path / name)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err
