import json
import re

import pytest
from fakes import NOON, make_image, make_record
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import ManifestError
from batchgen.output import manifest as manifests
from batchgen.output import read_history as histories
from batchgen.output import read_originals, read_records, require_lines
from batchgen.output.manifest import parse_line
from batchgen.output.paths import inner_path
from batchgen.output.read_history import load_history
from batchgen.record import (
    DerivedFile,
    DerivedLine,
    EndLine,
    ErrorInfo,
    MovedLine,
    RepairLine,
    Status,
)

IDS = [f"1-{number:032x}" for number in range(3)]
ODD = [
    '}, "status": "failed", ',
    '{"path": "images/../x',
    '"settings": {',
    "a\\",
    "\u2028\ud800",
    "é",
]
TEXTS = st.sampled_from(["", "a mug", *ODD]) | st.text(max_size=8)
INSIDE = ("images/a.png", "images/a/b.png", "images/ä.png", "images/.a", "superseded/a~1.png")
ASKEW = ("images/a/../../b", "../a", "images//a", "images/a\\b", "/etc/passwd", "images/", "a.png")
PATHS = st.sampled_from(INSIDE + ASKEW)
DERIVED = st.builds(
    DerivedFile,
    path=PATHS,
    sha256=st.just("0" * 64),
    bytes=st.just(1),
    format=st.just("webp"),
    width=st.just(1),
    height=st.just(1),
    suffix=TEXTS,
    settings=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
IMAGES = st.builds(
    lambda path, derived: make_image(path=path, derived=tuple(derived)),
    PATHS,
    st.lists(DERIVED, max_size=2),
)
RECORDS = st.builds(
    lambda **values: make_record(**values, finish_reasons=(), cost_usd=None),
    run_id=st.sampled_from(["run-1", "run-2"]),
    task_id=st.sampled_from([*IDS, "1-xyz", f"2-{IDS[0]}", IDS[0].replace("0", "x")]),
    label=TEXTS,
    vars=st.dictionaries(TEXTS, TEXTS, max_size=2),
    status=st.sampled_from(Status),
    model_id=st.sampled_from(["core", "ultra", *ODD]),
    endpoint=st.sampled_from(["simulator", "aws", "http://127.0.0.1:8000", *ODD]),
    request=st.dictionaries(TEXTS, TEXTS | st.just([{"path": "images/a"}]), max_size=2),
    images=st.lists(IMAGES, max_size=2).map(tuple),
    request_id=TEXTS,
    error=st.none() | st.just(ErrorInfo(type="X", code="c", message="{", retryable=True)),
)


def what(path):
    """All that a history knows of tasks, or why it is refused."""
    try:
        history = load_history(path)
    except ManifestError as error:
        return str(error)
    return history.entries, history.unreadable, history.moved, history.derived


@given(lines=st.lists(RECORDS | st.tuples(RECORDS, st.integers(0, 2000)), max_size=5))
def test_a_record_read_without_a_parser_is_what_a_parser_reads(tmp_path_factory, lines):
    """Whatever texts, models, services, paths and tears stand in lines as we write them."""
    data = b""
    for each in lines:
        line, cut = each if isinstance(each, tuple) else (each, None)
        text = line.to_json()
        data += text if cut is None else text[: min(cut, len(text) - 1)] + b"\n"
    path = tmp_path_factory.mktemp("out") / "manifest.jsonl"
    path.write_bytes(data)
    quick = what(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories._Reader, "_plain", lambda _, __: False)
        assert quick == what(path)


@pytest.mark.parametrize("path", ["images/a-800.webp", "superseded/../a", "images/../../a"])
def test_an_output_with_derived_files_needs_no_parser(tmp_path, monkeypatch, path):
    """A hundred lines that differ in id and names; only a path that may leave is looked at."""
    settings = {"width": 800, "format": "webp", "background": "#ffffff"}
    derived = DerivedFile(path=path, sha256="1" * 64, bytes=5, format="webp", width=8, height=6,
                          suffix="-800", settings=settings)  # fmt: skip
    lines = [
        make_record(task_id=f"1-{n:032x}", images=(make_image(derived=(derived, derived)),))
        for n in range(100)
    ]
    manifest = tmp_path / "manifest.jsonl"
    end = EndLine(run_id="run-1", finished_at=NOON, exit_code=0, summary={})
    manifest.write_bytes(b"".join(each.to_json() for each in (*lines, end)))
    parsed = []
    parse = histories.parse_object
    monkeypatch.setattr(histories, "parse_object", lambda data: parsed.append(0) or parse(data))
    if "800" in path:
        assert len(load_history(manifest)) == 100
        assert len(parsed) <= 2  # the end
    else:
        with pytest.raises(ManifestError, match="no path inside the output"):
            load_history(manifest)


VALUES = st.sampled_from(
    [None, True, 1, 1.5, "1", "x", "succeeded", NOON.isoformat(), [], {}, [None], float("nan")]
)


@given(
    record=RECORDS,
    changes=st.dictionaries(st.sampled_from(sorted(type(make_record()).model_fields)), VALUES),
    later=st.sampled_from(["", ', "kind": "end"', ', "label": "second"', ', "status": "?"', "}"]),
)
def test_a_line_read_at_once_is_what_its_fields_say(record, changes, later):
    """A record is validated from its bytes; whatever stands in it, the result is the same."""
    fields = {**json.loads(record.to_json()), **changes}
    data = json.dumps(fields).encode()[:-1] + later.encode() + b"}\n"
    at_once = parse_line(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "RECORD", b"\n")
        assert repr(at_once) == repr(parse_line(data))


@given(
    st.lists(
        st.sampled_from(["images", "a", "ä", "..", ".", "", "a.png", "~", " ", "b" * 255, "\0"])
    )
)
def test_a_path_that_is_plain_stays_inside(parts):
    """The quick look refuses nothing that the long one takes, and takes nothing that it refuses."""
    path = "/".join(parts)
    quick = inner_path(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchgen.output.paths.PLAIN", re.compile(r"(?!)"))
        assert quick == inner_path(path)


READERS = (lambda path: list(read_records(path)), read_originals, require_lines)


@pytest.mark.parametrize("read", [*READERS, lambda path: list(manifests.read_manifest(path))])
def test_images_without_a_manifest_are_not_given_up(tmp_path, read):
    """Whoever asks is told how to get the manifest back; an empty folder has nothing to rebuild."""
    (tmp_path / "images").mkdir()
    with pytest.raises(ManifestError, match=r"No such file or directory$"):
        read(tmp_path / "manifest.jsonl")
    (tmp_path / "images" / "a.png").write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"let `batchgen verify --adopt .*` rebuild it"):
        read(tmp_path / "manifest.jsonl")


def test_lines_that_cannot_be_read_are_told(tmp_path):
    """A torn record, one with a wrong value and noise; a blank line and a kind to come are none."""
    whole = make_record().to_json()
    damaged = [whole[:-40] + b"\n", whole.replace(b'"bytes": 7', b'"bytes": "x7'), b"noise\n"]
    assert damaged[1] != whole
    fine = [b"\n", b'{"kind": "to come"}\n', whole]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"".join([*damaged, *fine]))
    unread = []
    assert len(list(read_records(manifest, unread=unread.append))) == 1
    assert unread == [0, len(damaged[0]), len(damaged[0]) + len(damaged[1])]


def test_what_is_said_of_records_later_counts(tmp_path):
    """A moved, a repaired and a derived image among many others; last or all of them."""
    old = make_record(task_id=IDS[0], images=(make_image(path="images/a.png"),))
    again = make_record(task_id=IDS[0], label="again", images=(make_image(path="images/a.png"),))
    gone = make_record(task_id=IDS[1], images=(make_image(path="images/b.png"),))
    plain = make_record(task_id=IDS[2], images=(make_image(path="images/c.png"),))
    derived = DerivedFile(path="images/a-8.webp", sha256="1" * 64, bytes=5, format="webp", width=8,
                          height=6, suffix="-8", settings={})  # fmt: skip
    lines = [
        old,
        MovedLine(run_id="r", task_id=IDS[0], path="images/a.png", new_path="superseded/a~1.png"),
        gone,
        again,
        plain,
        DerivedLine(run_id="r", task_id=IDS[0], path="images/a.png", derived=(derived,)),
        RepairLine(reason="missing", task_id=IDS[1], at=NOON),
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"".join(each.to_json() for each in lines))
    every = list(read_records(manifest))
    assert [each.images[0].path for each in every] == [
        "superseded/a~1.png", "images/b.png", "images/a.png", "images/c.png"
    ]  # fmt: skip
    assert [len(each.images[0].derived) for each in every] == [0, 0, 1, 0]
    assert [each.label for each in read_records(manifest, last=True)] == ["again", plain.label]
