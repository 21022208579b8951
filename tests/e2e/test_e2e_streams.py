"""Standard streams that are closed, full or no longer read do not stop a run."""

import json
import os


def test_a_reader_that_left_does_not_stop_a_run(batchgen):
    """`batchgen run --json | true` makes every image, and its exit code stays true."""
    batchgen.job("a mug", "a naked mug")
    reader, writer = os.pipe()
    os.close(reader)

    ended = batchgen.run("--json", stdout=writer)
    os.close(writer)

    assert ended.code == 1
    assert "1 image made, 1 filtered" in ended.err
    assert batchgen.service.charged() == 1


def test_a_log_that_is_no_longer_read_does_not_stop_a_run(batchgen):
    """`batchgen run 2>&1 | head -1` makes every image."""
    batchgen.job("a mug", "a lamp")
    reader, writer = os.pipe()
    os.close(reader)

    ended = batchgen.run(stdout=writer, stderr=writer)
    os.close(writer)

    assert ended.code == 0
    assert len(batchgen.lines("record")) == 2


def test_closed_streams_do_not_end_in_the_manifest(batchgen):
    """Without standard streams the manifest is a manifest, for nothing else takes their numbers."""
    batchgen.job("a mug", "a naked mug")

    ended = batchgen.run("--json", via='exec "$@" <&- >&- 2>&-')

    assert ended.code == 1
    assert len(batchgen.lines("record")) == 2


def test_output_without_room_is_said(batchgen):
    """A result that cannot be written is a sentence and exit code 3; the run itself is whole."""
    batchgen.job("a mug")

    ended = batchgen.run("--json", via='exec "$@" >/dev/full')

    assert ended.code == 3
    assert ended.err.endswith("Standard output cannot be written: No space left on device.\n")
    assert batchgen.lines("end")[0]["exit_code"] == 0


def test_results_that_nobody_reads_are_no_error(batchgen):
    """`batchgen models | head -1` and `batchgen --help | true` say nothing of it."""
    reader, writer = os.pipe()
    os.close(reader)

    models, usage = batchgen("models", stdout=writer), batchgen("--help", stdout=writer)
    os.close(writer)

    assert (models.code, models.err) == (usage.code, usage.err) == (0, "")


def test_a_help_text_without_room_is_said(batchgen):
    """A full disk is no fault of batchgen, whichever text it does not take."""
    ended = batchgen("--help", via='exec "$@" >/dev/full')

    assert ended.code == 3
    assert ended.err == "Standard output cannot be written: No space left on device.\n"


def test_names_that_the_file_system_cannot_have_are_told_before_a_call(batchgen):
    """In a locale without their letters: of the output, and of an item's image. Others do."""
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    batchgen.job("a mug", output="ausgäbe")
    planned = batchgen("plan", "job.yaml", "--json", env=old)
    batchgen.job("a mug", file_name="{id}-grün")
    ran = batchgen.run(env=old)

    for ended, name in ((planned, "ausg"), (ran, "images/item-1-gr")):
        assert ended.code == 2
        assert name in ended.err
        assert "cannot be the name of a file here" in ended.err
        assert "set PYTHONUTF8=1" in ended.err
    assert json.loads(planned.out)["exit_code"] == 2
    assert batchgen.service.charged() == 0
    batchgen.job("a mug")
    assert batchgen.run(env=old).code == 0
