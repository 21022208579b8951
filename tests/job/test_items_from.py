"""Items from data files: CSV, JSONL, patterns and standard input, streamed and checked by line."""

import io
import os
import time
import tracemalloc

import pytest

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import load

PRODUCT_ID = (
    "rows.csv:1: the first line must name the columns, and no column is called id: "
    '"product", "ID"; if "ID" is it, call it "id"'
)
CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
HEAD = f"""\
name: catalog
endpoint: simulator
model: {CORE}
prompt: "{{product}} on {{backdrop}}"
vars: {{backdrop: white}}
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a job file, its data files beside it."""
    return Folder(tmp_path)


class Folder:
    def __init__(self, path):
        self.path = path

    def job(self, items_from, head=HEAD):
        (self.path / "job.yaml").write_text(f"{head}items_from: {items_from}\n", "utf-8")
        return load(self.path / "job.yaml", defer=True)

    def write(self, name, data):
        data = data.encode() if isinstance(data, str) else data
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_bytes(data)

    def tasks(self, data, name="rows.csv", head=HEAD):
        self.write(name, data)
        job = self.job(name, head)
        tasks = list(plan.expand(job))
        assert plan.check(job).tasks == len(tasks)
        return tasks

    def wrong(self, data, name="rows.csv", head=HEAD):
        """Every complaint, with the file's name but not the folder's."""
        self.write(name, data)
        job = self.job(name, head)
        with pytest.raises(JobError) as error:
            plan.check(job)
        return [line.replace(f"{self.path}/", "") for line in str(error.value).splitlines()]


def test_columns_mean_what_they_mean_in_an_item(folder):
    """Six of them; `parameters.NAME` sets a parameter, and every other column is a variable."""
    made = folder.tasks(
        "id,prompt,negative_prompt,model,seed,variants,parameters.aspect_ratio,product,backdrop\n"
        f"mug,,text,{ULTRA},7,2,4:5,blue mug,oak\n"
        "lamp,a lamp,,,,,,,\n"
    )

    assert [(task.label, task.seed, task.model_id) for task in made[:2]] == [
        ("mug/1", 7, ULTRA),
        ("mug/2", 8, ULTRA),
    ]
    assert made[0].request["prompt"] == "blue mug on oak"
    assert made[0].request["negative_prompt"] == "text"
    assert made[0].request["aspect_ratio"] == "4:5"
    assert (made[2].request["prompt"], made[2].model_id) == ("a lamp", CORE)
    assert "aspect_ratio" not in made[2].request


def test_a_row_is_the_same_task_as_an_item_in_yaml(folder):
    """Whatever it comes from, and whatever stands above it: id, seed and file name are its own."""
    (mug, lamp) = folder.tasks("id,product\nmug,blue mug\nlamp,brass lamp\n")
    (_, again) = folder.tasks("product,id\nnew,vase\nbrass lamp,lamp\n")
    as_json = folder.tasks('{"id": "lamp", "product": "brass lamp"}\n', name="rows.jsonl")
    (folder.path / "yaml.yaml").write_text(
        HEAD + "items: [{id: mug, vars: {product: blue mug}}]", "utf-8"
    )

    assert lamp == again == as_json[0]
    assert [mug] == list(plan.expand(load(folder.path / "yaml.yaml")))


@pytest.mark.parametrize(
    "data",
    [
        b"id,product\nmug,caf\xc3\xa9\n",
        b"\xef\xbb\xbfid,product\r\nmug,caf\xc3\xa9\r\n",
        b"id;product\nmug;caf\xc3\xa9",
        b"sep=;\nid;product\nmug;caf\xc3\xa9",
        b"id\tproduct\nmug\tcaf\xc3\xa9\n",
        b"id|product\nmug|caf\xc3\xa9\n",
        b'"id", "product"\n"mug", "caf\xc3\xa9"\n\n,\n',
    ],
)
def test_spreadsheets_write_it_in_many_ways(folder, data):
    """With and without BOM, by comma, semicolon, tab or bar, with quotes and blank lines."""
    (task,) = folder.tasks(data)

    assert (task.item_id, task.request["prompt"]) == ("mug", "caf\xe9 on white")


def test_cells_keep_their_text_and_quoted_ones_their_line_ends(folder):
    """3.10 is not 3.1, and a text parameter is none of YAML's numbers."""
    (task,) = folder.tasks('id,product,parameters.negative_prompt\n007,"3.10 ""big""\nmug",1.10\n')

    assert (task.item_id, task.request["prompt"]) == ("007", '3.10 "big"\nmug on white')
    assert task.request["negative_prompt"] == "1.10"


def test_json_lines_take_an_items_keys_columns_and_variables(folder):
    """Numbers keep their text where a text is meant; null is left out."""
    made = folder.tasks(
        '{"id": "a", "product": 3.10, "seed": 5, "parameters.aspect_ratio": "4:5"}\n'
        '\n{"id": 2, "vars": {"product": true}, "prompt": null, '
        '"parameters": {"output_format": "jpeg"}}\n',
        name="rows.jsonl",
    )

    assert [task.request["prompt"] for task in made] == ["3.10 on white", "true on white"]
    assert (made[0].seed, made[0].request["aspect_ratio"]) == (5, "4:5")
    assert (made[1].item_id, made[1].request["output_format"]) == ("2", "jpeg")


def test_a_matrix_multiplies_the_rows(folder):
    """Rows first, then the matrix."""
    made = folder.tasks(
        "id,product\nmug,mug\nlamp,lamp\n", head=HEAD + "matrix: {backdrop: [oak, slate]}\n"
    )

    assert [task.label for task in made] == [
        "mug/oak/1",
        "mug/slate/1",
        "lamp/oak/1",
        "lamp/slate/1",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "rows.csv:1: the first line must name the columns"),
        ("id,product\n", "job.yaml:6: items_from: nothing is left to make"),
        ("mug,a mug\n", "rows.csv:1: the first line must name the columns, and no column is"),
        ("id,product,product\na,b,c\n", 'rows.csv:1: the column "product" stands twice: rename'),
        ("id,product,\na,b,c\n", "rows.csv:1: column 3 has no name"),
        (
            "id,product,parameters.steps\na,b,9\n",
            'rows.csv:1: no model of the job takes "parameters.steps" (',
        ),
        ("product,ID\na,b\n", PRODUCT_ID),
        ("id,product\na,b\0\n", "rows.csv:2: a byte 0 stands here"),
        ("id,product\n" + "a,b\n" * 100 + "c,d\0\n", "rows.csv:102: a byte 0 stands here"),
        ("id,product\na,b\nc\nd,e,f\n", "rows.csv:3: has 1 cell, and the first line names 2"),
        (b"id,product\na,b\nc,\xe9\n", "rows.csv:3: the byte 0xE9 is not UTF-8: save the file as"),
        ("id,product\na,b\n".encode("utf-16"), "rows.csv: the file is in UTF-16 or UTF-32, not in"),
        ('id,product\na,"b\nc,d\n', "rows.csv:2: a quote is opened here and never closed"),
        ('id,product\n"a\nb",c\n', 'rows.csv:2: id: cannot be "a\\nb"; it has a control'),
        ("id,product\na,b\n,c\n", "rows.csv:3: id: is missing: every item needs an id of its own"),
        (
            "id,product\na,b\nc,d\na,e\n",
            'rows.csv:4: id: "a" is the id of line 2 of rows.csv',
        ),
        (
            "id,product,seed\na,b,0\n",
            "rows.csv:2: seed: cannot be 0; allowed: a whole number from 1",
        ),
        ("id,product,model\na,b,nope\n", 'rows.csv:2: model: "nope" is not a model that batchgen'),
        ("id,product\na,{x\n", None),
        ("id,prompt\na,{x}\n", 'rows.csv:2: prompt: "{x}" has no value; allowed: backdrop, id'),
        ("id,product\na,b\nc,\n", 'rows.csv:3: vars: "{product}" has no value; allowed: backdrop'),
        ("id,backdrop\na,b\n", 'job.yaml:4: prompt: "{product}" has no value; allowed: backdrop'),
        ("id,product,my name\na,b,c\n", 'rows.csv:1: the column "my name" cannot be a variable'),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(folder, data, said):
    """As a person finds it: lines count as in an editor, and the first line names the columns."""
    if said is None:
        assert len(folder.tasks(data)) == 1  # a value is no template
        return
    assert any(line.startswith(said) for line in folder.wrong(data))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", 'each line is a JSON object such as {"id": "mug"}'),
        ("{bad", "this is not JSON: Expecting property name"),
        ("{" * 5_000, "this is not JSON: "),
        ('{"id": "a", "id": "b"}', 'the key "id" stands twice'),
        ('{"id": "a", "product": NaN}', "NaN is no JSON"),
        (f'{{"id": "a", "seed": {"9" * 5_000}}}', "a number of 5,000 characters: put a text in"),
        (f'{{"id": "{"x" * 2**21}"}}', "a line has 1,048,576 characters at most"),
        (
            '{"id": "a", "vars": {"product": "x"}, "product": "y"}',
            '"product" stands in vars and beside it: one of them must go',
        ),
        (
            '{"id": "a", "parameters": {"mode": "x"}, "parameters.mode": "y"}',
            '"mode" stands in parameters and beside it: one of them must go',
        ),
        ('{"product": "x"}', "id: is missing: every item needs an id of its own"),
        ('{"id": "a", "product": ["x"]}', "vars.product: cannot be ['x']; allowed: a text"),
    ],
)
def test_a_wrong_line_of_json_is_said_with_its_number(folder, line, said):
    """And the others are looked at all the same."""
    good = '{"id": "mug", "product": "mug"}\n'
    (found,) = folder.wrong(f"{good}{line}\n", name="rows.jsonl")

    assert found.startswith(f"rows.jsonl:2: {said}")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("id,step,product\nmug,x,mug\n", "rows.csv"),
        ('{"id": "mug", "product": "mug", "step": "x"}\n', "rows.jsonl"),
        ('{"id": "mug", "product": "mug", "vars": {"step": "x"}}\n', "rows.jsonl"),
    ],
)
def test_a_variable_called_step_has_no_place_in_a_job_with_steps(folder, data, name):
    """`{step}` is the step's id there; elsewhere it is a name like any other."""
    (found,) = folder.wrong(data, name, f"{HEAD}steps: [{{id: one}}]\n")

    assert found.startswith(f"{name}:1: {{step}} is the id of the step in a job with steps")
    assert len(folder.tasks(data, name)) == 1


def test_a_file_that_is_named_twice_is_said(folder):
    """Its rows would be there twice; standard input, which is read once, is the same case."""
    folder.write("rows.csv", "id,product\na,b\n")

    with pytest.raises(JobError, match=r"items_from\[1\]: .* stands there twice"):
        plan.check(folder.job("[rows.csv, rows.csv]"))


def test_a_very_wide_table_is_looked_at_in_its_length(folder):
    """Each name once: a hundred thousand columns took minutes."""
    count = 100_000
    names = ",".join(f"c{n}" for n in range(count))
    began = time.process_time()

    (task,) = folder.tasks(f"id,product,{names}\na,b{',x' * count}\n")
    twice = ",".join(f'"k{n}": 1' for n in range(count // 2))
    found = folder.wrong(f'{{{twice}, "k{count // 2 - 1}": 2}}\n', name="rows.jsonl")

    assert task.request["prompt"]
    assert found == [f'rows.jsonl:1: the key "k{count // 2 - 1}" stands twice']
    assert time.process_time() - began < 20


def test_all_wrong_rows_are_said_at_once_up_to_a_bound(folder):
    """Then how many more there are."""
    found = folder.wrong("id,product,seed\n" + "".join(f"i{n},x,0\n" for n in range(500)))

    assert [line.split(":")[1] for line in found[:20]] == [str(n) for n in range(2, 22)]
    assert "and 480 more about" in str(found)


def test_several_files_are_read_one_after_the_other(folder):
    """A list of them, or a pattern that data files fit; ids are unique over all."""
    folder.write("a.csv", "id,product\nmug,mug\n")
    folder.write("b.jsonl", '{"id": "lamp", "product": "lamp"}\n')
    for items_from in ("[a.csv, b.jsonl]", '"?.*[vl]"'):
        job = folder.job(items_from)
        assert [task.item_id for task in plan.expand(job)] == ["mug", "lamp"]
    folder.write("b.jsonl", '{"id": "mug", "product": "lamp"}\n')
    with pytest.raises(JobError, match=r'b\.jsonl:1: id: "mug" is the id of line 2 of .*a\.csv'):
        plan.check(folder.job("[a.csv, b.jsonl]"))


def test_a_pattern_makes_an_item_of_each_file(folder):
    """Its id is the path below what the pattern fixes; `{stem}` and `{path}` are variables."""
    for name in ("photos/b.jpg", "photos/a.jpg", "photos/no.txt", "photos/.c.jpg"):
        folder.write(name, b"x")
    head = HEAD.replace("{product}", "{stem} at {path}")
    made = list(plan.expand(folder.job('"photos/*.jpg"', head)))

    assert [task.item_id for task in made] == ["a", "b"]
    assert made[0].request["prompt"] == "a at photos/a.jpg on white"
    (folder.path / "photos" / "deep").mkdir()
    folder.write("photos/deep/a.jpg", b"x")
    deep = list(plan.expand(folder.job('"photos/**/*.jpg"', head)))
    assert [task.item_id for task in deep] == ["a", "b", "deep/a"]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("row.csv", '"row.csv" is not there; did you mean "rows.csv"?'),
        ("no/rows.csv", '"no/rows.csv" is not there: nor is there a folder'),
        (".", '"." is a folder: name a file, or a pattern such as photos/*.jpg'),
        ('"*.png"', '"*.png" fits no file in'),
        ("job.yaml", '"job.yaml" is no data file; allowed: a .csv, .tsv, .jsonl or .ndjson file'),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder, named, said):
    """With the nearest name; paths count from the job file."""
    folder.write("rows.csv", "id\na\n")
    with pytest.raises(JobError) as error:
        plan.check(folder.job(named))

    assert f"job.yaml:6: items_from: {said}" in str(error.value)


def test_standard_input_is_read_once_and_walked_often(folder, monkeypatch):
    """As CSV or as JSONL, whichever it is."""
    for data in (b"id,product\nmug,mug\n", b'{"id": "mug", "product": "mug"}\n'):
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as stream:
            monkeypatch.setattr("sys.stdin", stream)
            job = folder.job('"-"')
            assert plan.check(job).tasks == 1
            assert [task.item_id for task in plan.expand(job)] == ["mug"]


def test_a_closed_standard_input_is_said(folder, monkeypatch):
    """What is not there cannot be read."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(JobError, match='"-" is closed: pipe the rows in'):
        plan.check(folder.job('"-"'))


def test_a_file_that_changes_under_a_walk_is_no_plan(folder):
    """Tasks count from the first row: another file would give others the same numbers."""
    folder.write("rows.csv", "id,product\na,a\nb,b\n")
    job = folder.job("rows.csv")
    plan.check(job)
    folder.write("rows.csv", "id,product\na,a\nc,c\nb,b\n")

    with pytest.raises(JobError, match=r"rows\.csv was changed after it was read first"):
        list(plan.expand(job))


def test_rows_are_streamed(folder):
    """Eight times as many take no more memory, but for what the reader holds at once."""
    peaks = []
    for count in (500, 4_000):
        rows = io.StringIO()
        rows.write("id,product\n")
        for number in range(count):
            rows.write(f"item-{number},a rather long text about the product {number}\n")
        folder.write("rows.csv", rows.getvalue())
        job = folder.job("rows.csv")
        tracemalloc.start()
        sum(1 for _ in plan.expand(job))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] + 400_000


def test_a_check_of_the_first_tasks_reads_the_first_rows(folder):
    """What is wrong behind them is not looked at, and there is more to come."""
    folder.write("rows.csv", "id,product\n" + "".join(f"i{n},x{n}\n" for n in range(50)) + "bad\n")
    job = folder.job("rows.csv")

    summary = plan.check(job, most=10)
    assert (summary.tasks, summary.is_partial) == (10, True)
    with pytest.raises(JobError):
        plan.check(job)


def test_items_and_a_data_file_do_not_stand_together(folder):
    """Nor is a job without either one."""
    with pytest.raises(JobError, match="items_from: stands beside items: one of them must go"):
        plan.check(folder.job("rows.csv\nitems: [{id: a, prompt: x}]"))
