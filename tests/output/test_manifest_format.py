"""The manifest as a format: its page and schema, its recipes, as a table, several as one."""

import csv
import io
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime

import jq
import manifest_page
import pytest
from fakes import NOON, make_image, make_record, make_task
from hypothesis import given
from hypothesis import strategies as st

from batchgen import read_manifest
from batchgen.errors import InputError, ManifestError
from batchgen.output import (
    load_history,
    merge,
    read_records,
    replacing,
    rows_of,
    to_csv,
    to_json_lines,
)
from batchgen.output.manifest import MANIFEST_NAME, parse_line
from batchgen.record import AttemptLine, ErrorInfo, MovedLine, RepairLine, RunLine, Status

RENEW = "renew it: .venv/bin/python tests/output/manifest_page.py"
A, B, C = (make_task() for _ in range(3))


def run(run_id="run-1", started_at=NOON, **changes):
    values = {"batchgen_version": "0.1.0", "sdk_versions": {}, "job_name": "shop"}
    values |= {"job_file": None, "job_sha256": None, "endpoint": "simulator"}
    values |= {"region": "us-west-2", "random_seed_key": "k", **changes}
    return RunLine(run_id=run_id, started_at=started_at, **values)


def attempt(task, **changes):
    values = {"run_id": "run-1", "attempt": 1, "seed": 1, "price_usd": 0.04, "started_at": NOON}
    return AttemptLine(task_id=task.id, **{**values, **changes})


def put(folder, *lines):
    """A manifest of these lines, some of them as bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_NAME
    path.write_bytes(b"".join(x if isinstance(x, bytes) else x.to_json() for x in lines))
    return path


def paths(records):
    return [image.path for record in records for image in record.images]


class TestPage:
    def test_the_schema_is_committed(self):
        """The file beside the page is what the code says."""
        assert manifest_page.SCHEMA.read_text("utf-8") == manifest_page.schema_text(), RENEW

    def test_every_field_stands_on_the_page(self):
        """The tables are those of the schema."""
        head, _, rest = manifest_page.PAGE.read_text("utf-8").partition(manifest_page.HEADING)
        assert rest == manifest_page.generated(), RENEW
        assert head

    def test_each_field_of_a_line_is_in_the_schema(self):
        """What is written has no field that the schema does not name."""
        schema = json.loads(manifest_page.SCHEMA.read_text("utf-8"))
        for line in (run(), attempt(A), make_record(A)):
            fields = json.loads(line.to_json())
            definition = schema["$defs"][type(line).__name__]
            assert fields.keys() <= definition["properties"].keys()
            assert set(definition["required"]) <= fields.keys()


TONIGHT = datetime(2026, 11, 22, 2, tzinfo=UTC)


@pytest.fixture
def nights(tmp_path):
    """Two nights of two models, one filtered in each."""
    mug = {"item_id": "mug-blue", "label": "mug-blue/1"}
    refused = {"status": Status.FILTERED, "images": (), "cost_usd": 0.0}
    lines = [run()]
    for number, at in enumerate((NOON, TONIGHT), 1):
        lines += [
            attempt(A),
            make_record(A, run_id=f"run-{number}", finished_at=at, seed=number, **mug),
            make_record(B, finished_at=at, model_id="ultra", cost_usd=0.14),
            make_record(
                C, label=f"c/{number}", finished_at=at, finish_reasons=("Filter",), **refused
            ),
        ]
    return put(tmp_path, *lines)


def recipes(language):
    """The programs of the page in this language."""
    text = manifest_page.PAGE.read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def by_wheel(program, manifest):
    """As the library of jq runs it, whose input is one array."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    return jq.compile(program.replace("inputs", ".[]")).input_value(lines).first()


def by_jq(program, manifest):
    """As a person runs it."""
    ended = subprocess.run(["jq", "-n", program, manifest], capture_output=True, check=True)
    return json.loads(ended.stdout)


@pytest.mark.parametrize("run_jq", [by_wheel, *([by_jq] if shutil.which("jq") else [])])
def test_the_recipes_for_jq(nights, run_jq):
    """Each gives what the page says; the wheel always, the program where it is installed."""
    cost, seeds, filtered = (run_jq(program, nights) for program in recipes("jq"))
    assert [(row["night"], row["model"], round(row["usd"], 2)) for row in cost] == [
        ("2026-11-21", A.model_id, 0.04),
        ("2026-11-21", "ultra", 0.14),
        ("2026-11-22", A.model_id, 0.04),
        ("2026-11-22", "ultra", 0.14),
    ]
    assert seeds == [1, 2]
    assert filtered == [{"task": "c/2", "why": ["Filter"]}]


@pytest.fixture
def exported(nights, tmp_path, monkeypatch):
    """The rows as the page's other recipes read them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    with open("images.jsonl", "wb") as file:  # noqa: PTH123  # the name on the page
        rows = (row for record in read_records(nights) for row in rows_of(record))
        assert to_json_lines(rows, file) == 6


@pytest.mark.long
@pytest.mark.usefixtures("exported")
def test_the_recipes_for_duckdb_and_pandas():
    """The same answers; `make test-long` installs both."""
    import duckdb  # noqa: PLC0415  # not among what `make dev` installs
    import pandas as pd  # noqa: PLC0415  # as above

    cost, seeds, filtered = (duckdb.sql(text).fetchall() for text in recipes("sql"))
    assert [round(usd, 2) for _, _, usd in cost] == [0.04, 0.14, 0.04, 0.14]
    assert (seeds, filtered) == ([(1,), (2,)], [("c/2", "Filter")])
    names = {"pandas": pd}
    (program,) = recipes("python")
    exec(program, names)  # noqa: S102  # the page's own
    assert [round(usd, 2) for usd in names["cost"] if usd] == [0.04, 0.14, 0.04, 0.14]
    assert names["seeds"] == [1, 2]
    assert list(names["filtered"].label) == ["c/2"]


class TestRecords:
    def test_a_moved_image_has_its_present_path(self, tmp_path):
        """However often it moved since its record; a later record has its own."""
        moved = [
            MovedLine(run_id="r", task_id=A.id, path="images/a.png", new_path="superseded/a~1.png"),
            MovedLine(run_id="r", task_id=A.id, path="superseded/a~1.png", new_path="images/b.png"),
        ]
        first = make_record(A, images=(make_image(path="images/a.png"),))
        manifest = put(tmp_path, run(), first, *moved, first, make_record(B))
        assert paths(read_records(manifest))[:2] == ["images/b.png", "images/a.png"]
        assert paths(read_manifest(tmp_path)) == paths(read_records(manifest))
        assert paths(read_records(manifest, last=True))[0] == "images/a.png"
        history = load_history(put(tmp_path, run(), first, *moved, make_record(B)))
        assert paths([history.present(A.id)]) == ["images/b.png"]
        assert history.present(B.id) == make_record(B)

    def test_a_task_that_a_repair_took_back_is_not_among_the_last(self, tmp_path):
        """A run makes it again."""
        repair = RepairLine(reason="missing", task_id=A.id, at=NOON)
        manifest = put(tmp_path, run(), make_record(A), make_record(B), repair)
        assert [record.task_id for record in read_records(manifest, last=True)] == [B.id]
        assert len(list(read_records(manifest))) == 2

    def test_damaged_lines_are_passed_over(self, tmp_path):
        """Torn, binary, of another kind, of another program's form."""
        foreign = json.dumps(json.loads(make_record(B).to_json()), separators=(",", ":"))
        lines = (b"{torn\n", b"\x00\xff\n", b'{"kind": "later"}\n', foreign.encode() + b"\n")
        manifest = put(tmp_path, run(), make_record(A), *lines)
        assert [record.task_id for record in read_records(manifest, last=True)] == [A.id, B.id]

    def test_older_versions_are_read_and_newer_ones_refused(self, tmp_path):
        """In a sentence."""
        manifest = put(tmp_path, run(version=1), make_record(A))
        assert len(list(read_records(manifest))) == 1
        with pytest.raises(ManifestError, match="format 3"):
            list(read_records(put(tmp_path, run(version=3), make_record(A))))
        with pytest.raises(ManifestError, match="cannot be read"):
            list(read_records(tmp_path / "none"))


def as_csv(*records):
    """Every row as CSV has it."""
    file = io.BytesIO()
    count = to_csv((row for record in records for row in rows_of(record)), file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode(), newline="")))
    assert len(rows) == count
    return rows


class TestExport:
    def test_one_row_an_image_and_sums_that_are_right(self):
        """A second image of a task repeats neither its cost nor its attempts."""
        images = (make_image(path="a.png"), make_image(path="b.png"))
        first, second = as_csv(make_record(A, images=images))
        assert (first["path"], second["path"]) == ("a.png", "b.png")
        assert (first["image"], second["image"]) == ("1", "2")
        assert (first["cost_usd"], second["cost_usd"]) == ("0.04", "")
        assert (first["attempts"], second["attempts"]) == ("1", "")

    def test_a_task_without_an_image_has_a_row(self):
        """What was refused, and why."""
        error = ErrorInfo(type="Filtered", code="Filtered", message="no", retryable=False)
        record = make_record(
            A, status=Status.FILTERED, images=(), finish_reasons=("Filter",), error=error
        )
        (row,) = as_csv(record)
        assert (row["status"], row["path"], row["image"]) == ("filtered", "", "")
        assert (row["finish_reason"], row["error_code"]) == ("Filter", "Filtered")

    def test_seeds_are_whole_numbers(self):
        """Also the largest one."""
        (row,) = as_csv(make_record(A, seed=4_294_967_295))
        assert row["seed"] == "4294967295"

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_no_text_is_a_formula(self, start):
        """A spreadsheet shows it, and does not run it."""
        prompt = f'{start}HYPERLINK("http://x")'
        (row,) = as_csv(make_record(A, request={"prompt": prompt}))
        assert row["prompt"].startswith("'")

    @given(prompt=st.text(max_size=100))
    def test_any_text_stays_in_its_cell(self, prompt):
        """And steers no terminal."""
        (row,) = as_csv(make_record(A, request={"prompt": prompt}, label="after"))
        assert row["label"] == "after"
        assert not re.search("[\0-\x09\x0b-\x1f\x7f]", row["prompt"])

    @pytest.mark.long
    def test_parquet_has_types(self, tmp_path):
        """Whole numbers, numbers, times; texts as they are. `make test-long` installs pyarrow."""
        from pyarrow import parquet  # noqa: PLC0415  # not among what `make dev` installs

        from batchgen.output import to_parquet  # noqa: PLC0415  # as above

        records = [make_record(A, seed=4_294_967_295, request={"prompt": "=1\x1b"})] * 25_000
        with (tmp_path / "x").open("wb") as file:
            assert to_parquet((row for each in records for row in rows_of(each)), file) == 25_000
        table = parquet.read_table(tmp_path / "x")
        assert [str(table.schema.field(name).type) for name in ("seed", "cost_usd")] == [
            "int64",
            "double",
        ]
        assert str(table.schema.field("finished_at").type) == "timestamp[ms, tz=UTC]"
        row = table.slice(0, 1).to_pylist()[0]
        assert (row["seed"], row["prompt"]) == (4_294_967_295, "=1\x1b")


def merged(folder, *manifests):
    """The lines of a merged manifest."""
    file = io.BytesIO()
    told = merge(manifests, folder, file)
    (folder / "all.jsonl").write_bytes(file.getvalue())
    return told, [json.loads(line) for line in file.getvalue().splitlines()]


class TestMerge:
    def test_runs_stand_in_the_order_of_their_start(self, tmp_path):
        """So that the last record of a task is the newest, whatever was named first."""
        newer = put(tmp_path / "a", run("n", TONIGHT), make_record(A, attempts=2))
        older = put(tmp_path / "b", run("o", NOON), make_record(A))
        told, lines = merged(tmp_path, newer, older)
        assert [line.get("run_id") for line in lines if line["kind"] == "run"] == ["o", "n"]
        (record,) = read_records(tmp_path / "all.jsonl", last=True)
        assert record.attempts == 2
        assert (len(told.runs), told.records, told.unreadable) == (2, 2, 0)

    def test_a_line_that_both_have_stands_once(self, tmp_path):
        """A copy of an output that went on."""
        lines = (run(), attempt(A), make_record(A))
        one = put(tmp_path / "a", *lines)
        other = put(tmp_path / "b", *lines, make_record(B))
        assert one.parent != other.parent
        same = tmp_path / "a" / "copy.jsonl"
        same.write_bytes(other.read_bytes())
        told, found = merged(tmp_path, one, same)
        assert (told.records, len(found)) == (2, 4)

    def test_paths_count_from_the_new_folder(self, tmp_path):
        """Of records, moves and repairs; where they cannot, that is told."""
        files = [{"path": "images/a.png", "new_path": "damaged/a.png"}]
        repair = RepairLine(reason="x", task_id=A.id, files=files, damaged_lines=(3,), at=NOON)
        moved = MovedLine(run_id="r", task_id=A.id, path="images/a.png", new_path="images/b.png")
        manifest = put(tmp_path / "out/a", run(), make_record(A), moved, repair)
        told, lines = merged(tmp_path, manifest)
        assert lines[1]["images"][0]["path"].startswith("out/a/images/")
        assert (lines[2]["path"], lines[2]["new_path"]) == (
            "out/a/images/a.png",
            "out/a/images/b.png",
        )
        assert lines[3]["files"][0]["new_path"] == "out/a/damaged/a.png"
        assert lines[3]["damaged_lines"] == []
        assert told.elsewhere == []
        (tmp_path / "beside").mkdir()
        told, lines = merged(tmp_path / "beside", manifest)
        assert told.elsewhere == [manifest]
        assert lines[1]["images"][0]["path"].startswith("images/")

    def test_older_lines_are_written_in_the_present_format(self, tmp_path):
        """An attempt's price has its new name: the sum of cost_usd is what records cost."""
        old = json.loads(attempt(A).to_json())
        old["cost_usd"] = old.pop("price_usd")
        manifest = put(tmp_path, run(version=1), json.dumps(old).encode() + b"\n", make_record(A))
        _, lines = merged(tmp_path, manifest)
        assert [line.get("version") for line in lines] == [2, None, None]
        assert sum(line.get("cost_usd", 0) for line in lines) == 0.04
        assert all(parse_line(json.dumps(line).encode()) for line in lines)

    def test_what_cannot_be_merged_is_said(self, tmp_path):
        """A newer format, a path that leaves the folder, a missing file; torn lines are counted."""
        outside = make_record(A, images=(make_image(path="../x.png"),))
        for lines, said in (((run(version=3),), "format 3"), ((run(), outside), "no path inside")):
            with pytest.raises(ManifestError, match=said):
                merged(tmp_path, put(tmp_path / "a", *lines))
        with pytest.raises(ManifestError, match="cannot be read"):
            merged(tmp_path, tmp_path / "none")
        told, lines = merged(tmp_path, put(tmp_path / "a", b"\xff\n", run(), b'{"torn'))
        assert (told.unreadable, len(lines)) == (2, 1)


class TestReplacing:
    def test_a_file_is_there_whole_or_as_it_was(self, tmp_path):
        """What ends half-way leaves the older one, and nothing beside it."""
        path = tmp_path / "x"
        path.write_bytes(b"old")
        with pytest.raises(TypeError), replacing(path) as file:
            file.writelines((b"half", None))
        assert path.read_bytes() == b"old"
        with replacing(path) as file:
            file.write(b"new")
        assert path.read_bytes() == b"new"
        with pytest.raises(InputError, match="is there already"), replacing(path, is_new=True):
            pass
        assert list(tmp_path.iterdir()) == [path]
