"""`verify`: what is said of an output, and with which exit code."""

import json
import os
from types import SimpleNamespace

import pytest
from outputs import Lost, sound

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


def test_a_lock_that_is_none(verify, output):
    """A pipe in its place is no disk that failed: nobody waits for it, and a person must act."""
    os.mkfifo(output.folder / "manifest.lock")

    ended = verify(output.folder)

    assert (ended.code, ended.out) == (2, "")
    assert "manifest.lock cannot be read: it is no regular file" in ended.err


def test_a_lost_manifest_is_adopted_and_verified(verify, tmp_path):
    """Where the images say how they were made; else it is refused in a sentence."""
    output = Lost(tmp_path / "lost")
    output.tell()
    assert verify(output.folder).code == 2

    ended = verify(output.folder, "--adopt")

    said = "Put on record by what they say of themselves: 1 image."
    assert (ended.code, ended.lines[0]) == (0, said)
    again = json.loads(verify(output.folder, "--adopt", "--json").out)
    assert (again["sound"], again["adopted"]["records"]) == (True, 0)
    (tmp_path / "silent/images").mkdir(parents=True)
    refused = verify(tmp_path / "silent", "--adopt")
    assert (refused.code, refused.out) == (2, "")
    assert "metadata: full" in refused.err


@pytest.fixture
def job(tmp_path):
    """A job of which the output has nothing."""
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: shop\nendpoint: simulator\nmodel: stability.stable-image-core-v1:1\n"
        f"output: {tmp_path / 'out'}\nitems: [{{id: lamp, prompt: a lamp}}]\n"
    )
    return path


def test_a_repair_says_what_it_did_and_ends_with_5_once(verify, output):
    """Differences were found; the next time there are none."""
    output.put("images/stray.png", b"")
    output.put(f"images/.x.png.1-{'a' * 32}.part", b"")

    ended = verify(output.folder, "--repair")

    assert ended.code == 5
    assert "the next run puts it on record" in ended.out
    assert "Repaired: 1 file moved to" in ended.lines[-1]
    assert (output.folder / "aside/stray/images/stray.png").exists()
    again = json.loads(verify(output.folder, "--repair", "--json").out)
    assert again["counts"] == {"leftover": 1}
    assert (again["repaired"]["files"], len(again["repaired"]["left"])) == ([], 1)


def test_a_repair_while_a_run_writes_ends_with_6(verify, output):
    """Nothing is moved; without --repair the same is read."""
    output.put("images/stray.png", b"")
    with hold_lock(output.folder):
        assert verify(output.folder, "--repair").code == 6
    assert (output.folder / "images/stray.png").exists()


def test_what_the_job_no_longer_has(verify, output, job):
    """Listed with files and cost, by the job's own output as well; --prune moves it aside."""
    listed = verify("--job", job)

    assert listed.code == 0
    assert f"no longer in the job: {output.lines[1].label}: " in listed.out
    assert "No longer in the job: 6 tasks, which cost 0.24 USD." in listed.lines
    fields = json.loads(verify(output.folder, "--job", job, "--json").out)
    assert [each["cost_usd"] for each in fields["obsolete"]] == [0.04] * 6
    pruned = verify(output.folder, "--job", job, "--prune")
    assert (pruned.code, pruned.lines[-1]) == (0, "Moved aside: 6 files.")
    assert len([*(output.folder / "aside/pruned").rglob("*.*")]) == 6
    after = json.loads(verify("--job", job, "--json").out)
    assert (after["obsolete"], after["sound"], after["records"]) == ([], True, 0)


def test_prune_needs_the_right_job(verify, output, job):
    """None, or another one, is refused, and nothing is moved."""
    job.write_text(job.read_text().replace("name: shop", "name: other"))

    assert verify(output.folder, "--prune").code == 2
    assert verify(output.folder, "--prune", "--job", job).code == 2
    assert verify().code == 2
    assert not (output.folder / "aside").exists()
