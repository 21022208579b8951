"""What `reproduce` says and refuses before anything is called."""

import json
from types import SimpleNamespace

import pytest
from fakes import make_image, make_record, make_task
from outputs import Output

from batchgen.cli import main
from batchgen.commands.reproduce import Tally
from batchgen.commands.reproduce import _exit_code as exit_code_of
from batchgen.errors import ExitCode
from batchgen.report import Verdict

RETIRED = "stability.sd3-large-v1:0"
ESCAPE = "\x1b[31mred\x07\u202e"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Output(tmp_path / "out")


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(capsys):
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert "Traceback" not in err
    return out, err


def test_the_folder_of_the_originals_is_never_the_output(shop, tmp_path, capsys):
    """Whatever it is called by."""
    shop.add()
    shop.write()
    (tmp_path / "link").symlink_to(shop.folder)
    before = files(tmp_path)

    for same in ("out", "out/", "./out", "out/../out", "link", str(shop.folder)):
        assert main(["reproduce", "out", "--output", same]) == 2
        assert "holds the originals" in said(capsys)[1]

    assert files(tmp_path) == before


def test_what_cannot_be_made_again_costs_nothing(shop, tmp_path, capsys):
    """No seed, or a model past its end: a verdict with its reason; no credentials needed."""
    shop.lines += [
        make_record(make_task(request={"prompt": "a mug"}), endpoint="aws"),
        make_record(make_task(RETIRED), endpoint="aws"),
    ]
    shop.write()

    code = main(["reproduce", "out", "--json"])

    found = json.loads(said(capsys)[0])
    assert code == found["exit_code"] == 5
    assert found["verdicts"]["not reproducible"] == 2
    assert "got no seed" in found["images"][0]["reason"]
    assert "past its end of life" in found["images"][1]["reason"]
    assert found["run"] is None
    assert not (tmp_path / "out-reproduced").exists()


@pytest.mark.parametrize(
    ("run", "left", "code"),
    [
        (None, 0, ExitCode.DIFFERENT),
        (ExitCode.DONE, 0, ExitCode.DIFFERENT),
        (ExitCode.INCOMPLETE, 0, ExitCode.DIFFERENT),
        (ExitCode.SERVICE, 0, ExitCode.DIFFERENT),
        (ExitCode.SERVICE, 1, ExitCode.SERVICE),
        (ExitCode.RESUMABLE, 1, ExitCode.RESUMABLE),
        (ExitCode.TERMINATED, 1, ExitCode.TERMINATED),
        (ExitCode.RESUMABLE, 0, ExitCode.RESUMABLE),
    ],
)
def test_the_exit_code_is_the_runs_while_something_is_left(run, left, code):
    """A model that is denied to the last image is a verdict on each."""
    tally = Tally(Verdict.SIMILAR)
    tally.open, tally.worse = left, 1
    summary = None if run is None else SimpleNamespace(exit_code=run)

    assert exit_code_of(summary, tally) is code


def test_hostile_texts_are_harmless_on_a_terminal(shop, capsys):
    """Labels, reasons, models, endpoints and run ids of a manifest are anybody's."""
    shop.lines += [
        make_record(make_task(request={"prompt": "a mug"}), label=ESCAPE, endpoint="aws"),
        make_record(model_id=ESCAPE, label=ESCAPE, endpoint="aws"),
    ]
    shop.write()

    assert main(["reproduce", "out"]) == 5
    assert "\\x1b[31mred" in said(capsys)[0]
    assert main(["reproduce", "out", "--dry-run"]) == 0
    said(capsys)
    for options in (["--run", ESCAPE], ["--only", ESCAPE + "x"], ["--model", ESCAPE]):
        assert main(["reproduce", "out", *options]) == 2
        said(capsys)
    shop.edit(lambda record: record.update(endpoint=ESCAPE))
    assert main(["reproduce", "out"]) == 2
    said(capsys)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", bytes(range(256)) * 9, b'{"kind": "record"}\n', b"[" * 100_000, b"\xff\xfe\x00"],
)
def test_a_bad_manifest_is_a_sentence_and_exit_2(shop, capsys, content):
    """Nothing is called or written for one that says nothing."""
    shop.put("manifest.jsonl", content)

    assert main(["reproduce", "out"]) == 2
    assert len(said(capsys)[1].splitlines()) == 1


def test_a_path_that_leaves_the_folder_is_refused(shop, capsys):
    """The whole manifest: somebody else wrote that line."""
    shop.add()
    shop.lines.append(make_record(images=(make_image(path="../../etc/passwd"),)))
    shop.write()

    assert main(["reproduce", "out/manifest.jsonl"]) == 2
    assert "no path inside the output" in said(capsys)[1]


def test_wrong_usage(shop, tmp_path, capsys):
    """Each with the sentence that helps."""
    shop.add()
    shop.write()
    for arguments, text in (
        (["nowhere"], "nowhere cannot be read"),
        ([""], "there is no name"),
        (["out", "--at-least=good"], "allowed: identical, same-pixels, similar"),
        (["out", "--status=made"], "--status"),
        (["out", "--status=failed"], "No record that was chosen is failed; there are: 1 succeeded"),
        (["out", "--run=run-2"], 'did you mean "run-1"'),
        (["out", "--model=stability.sd3-5-larg-v1:0"], 'did you mean "stability.sd3-5-large-v1:0"'),
        (["out", "--limit=0"], "--limit"),
        (["out", "--endpoint=nowhere"], "--endpoint"),
    ):
        assert main(["reproduce", *arguments]) == 2, arguments
        assert text in said(capsys)[1]
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_damage_and_replaced_images_are_told_of(shop, capsys):
    """Lines that cannot be read, and records whose images made room."""
    shop.move(shop.add(), "superseded/old~1.png")
    shop.add()
    shop.write()
    with shop.manifest.open("ab") as file:
        file.write(b'{"kind": "record", "torn')

    assert main(["reproduce", "out", "--dry-run"]) == 0

    out, err = said(capsys)
    assert out.startswith("1 of 1 tasks would be made for 0.04 USD")
    assert "cannot be read: 1" in err
    assert "another image has their name now: 1" in err
