"""`include`: shared defaults below a job file; what is wrong is said where it stands."""

import pytest

from batchgen import plan
from batchgen.errors import JobError
from batchgen.job import load

CORE = "stability.stable-image-core-v1:1"
JOB = """\
name: shop
include: shared/defaults.yaml
parameters: {aspect_ratio: "4:5"}
items: [{id: mug, vars: {product: mug}}]
"""
DEFAULTS = f"""\
endpoint: simulator
model: {CORE}
prompt: "{{product}} on {{backdrop}}"
vars: {{backdrop: white}}
parameters: {{aspect_ratio: "1:1", output_format: jpeg}}
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of job files."""
    return Folder(tmp_path)


class Folder:
    def __init__(self, path):
        self.path = path

    def write(self, **files):
        for name, text in files.items():
            path = self.path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        return self.path / "job.yaml"

    def wrong(self, **files):
        path = self.write(**files)
        with pytest.raises(JobError) as error:
            plan.check(load(path, defer=True))
        return str(error.value).replace(f"{self.path}/", "").splitlines()


def test_mappings_are_merged_and_the_job_file_counts(folder):
    """Key by key, however deep; a list or a text takes the place of another."""
    job = load(folder.write(job=JOB, shared__defaults=DEFAULTS))
    (task,) = plan.expand(job)

    assert task.request["prompt"] == "mug on white"
    assert (task.request["aspect_ratio"], task.request["output_format"]) == ("4:5", "jpeg")


def test_of_two_included_files_the_later_one_counts(folder):
    """And each may include others, by paths from its own folder."""
    job = load(
        folder.write(
            job=JOB.replace("shared/defaults.yaml", "[shared/defaults.yaml, late.yaml]"),
            late="vars: {backdrop: slate}\n",
            shared__defaults=f"include: more.yaml\n{DEFAULTS}",
            shared__more="vars: {backdrop: oak}\nvariants: 2\n",
        )
    )

    assert [task.request["prompt"] for task in plan.expand(job)] == ["mug on slate"] * 2


def test_a_complaint_names_the_file_that_it_stands_in(folder):
    """Also of a value that only the included file has."""
    defaults = DEFAULTS.replace("output_format: jpeg", "output_format: gif")
    found = folder.wrong(job=JOB + "sede: 1\n", shared__defaults=defaults + "vriants: 2\n")

    assert found[0].startswith("job.yaml:5: sede: ")
    assert found[1].startswith("shared/defaults.yaml:5: parameters.output_format: ")
    assert found[2].startswith("shared/defaults.yaml:6: vriants: ")


def test_what_is_no_yaml_is_said_with_its_file(folder):
    """With line and column, as of the job file."""
    found = folder.wrong(job=JOB, shared__defaults="a: b: c\n")

    assert found[0].startswith("shared/defaults.yaml:1:5: ")


def test_a_key_twice_is_said_with_its_file(folder):
    """Of an included file too."""
    found = folder.wrong(job=JOB, shared__defaults=f"{DEFAULTS}variants: 1\nvariants: 2\n")

    assert found[0].startswith("shared/defaults.yaml:7: variants: the key")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"shared__defaults": "include: ../job.yaml\n"},
            (
                'shared/defaults.yaml:1: include: the files include each other: "job.yaml" -> '
                '"defaults.yaml" -> "job.yaml"'
            ),
        ),
        (
            {"shared__default": "a: 1\n"},
            'job.yaml:2: include: "shared/defaults.yaml": there is no such file; did you mean',
        ),
        ({"shared__defaults": "- a\n"}, "shared/defaults.yaml: an included file is a mapping"),
        (
            {"shared__defaults": "# a: 1\n"},
            "shared/defaults.yaml: the file is empty: an included file is a mapping of keys",
        ),
    ],
)
def test_what_cannot_be_included_is_said(folder, files, said):
    """Cycles, files that are not there, and what is no mapping."""
    assert folder.wrong(job=JOB, **files)[0].startswith(said)


def test_every_file_that_cannot_be_included_is_told(folder):
    """Each once, also of those that another included file names; and a key that stands twice."""
    listed = "[no.yaml, shared/a.yaml, shared/b.yaml, shared/b.yaml]\nname: x"
    found = folder.wrong(
        job=JOB.replace("shared/defaults.yaml", listed),
        shared__a="include: gone.yaml\n",
        shared__b="a: b: c\n",
    )

    assert [line.partition(": ")[0] for line in found if line[:1] != " "] == [
        "job.yaml:2",
        "job.yaml:3",
        "shared/a.yaml:1",
        "shared/b.yaml:1:5",
    ]


def test_a_long_list_of_files_that_are_not_there_stays_readable(folder):
    """As any list of complaints about one key."""
    found = folder.wrong(job=JOB.replace("shared/defaults.yaml", str([f"{n}" for n in range(500)])))

    assert len(found) == 21


def test_the_path_of_an_include_is_a_text(folder):
    """One or several."""
    assert folder.wrong(job=JOB.replace("shared/defaults.yaml", "5"))[0].startswith(
        "job.yaml:2: include: cannot be 5; allowed: a YAML file, or a list of them"
    )


def test_words_that_were_truth_values_are_texts_and_warned_of(folder):
    """3.10 is not 3.1 and no is not false, where a text is meant."""
    matrix = "matrix: {backdrop: [on, 'off']}\nitems"
    job = JOB.replace("product: mug", "product: no").replace("items", matrix)
    outline = plan.check(load(folder.write(job=job, shared__defaults=DEFAULTS)))

    assert [text.replace(f"{folder.path}/", "") for text in outline.warnings] == [
        f'job.yaml:{place}: {word} is the text "{word}" here, no truth value; '
        "put it in quotes to say so"
        for place, word in (("4: matrix.backdrop[0]", "on"), ("5: items[0].vars.product", "no"))
    ]


def test_a_data_file_counts_from_the_file_that_names_it(folder):
    """An included one too; what a pattern finds is told from the job file's folder on."""
    job = JOB.replace("items: [{id: mug, vars: {product: mug}}]", "")
    path = folder.write(job=job, shared__defaults=f"{DEFAULTS}items_from: rows.csv\n")
    (folder.path / "shared" / "rows.csv").write_text("id,product\nmug,mug\n", "utf-8")
    assert [task.item_id for task in plan.expand(load(path))] == ["mug"]

    defaults = DEFAULTS.replace("{product}", "{path}")
    path = folder.write(job=job, shared__defaults=f'{defaults}items_from: "*.jpg"\n')
    (folder.path / "shared" / "owl.jpg").write_bytes(b"")
    assert [task.request["prompt"] for task in plan.expand(load(path))] == [
        "shared/owl.jpg on white"
    ]
