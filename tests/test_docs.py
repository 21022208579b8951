"""The documents tell the truth: every command is run, every example works, every link leads."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sys

import pytest
from fakes import picture
from PIL import Image
from readme import ROOT, Project, blocks, commands, prose

from batchgen import load_job, plan_job
from batchgen.cli import COMMANDS, main
from batchgen.commands.run import command as run_command
from batchgen.job import Steps
from batchgen.models import MODELS, LifeCycle
from batchgen.policies.stop import RULES
from batchgen.record import derived_path

CATALOG = "make run JOB=jobs/catalog.yaml"
SIMULATE = 'make simulate ARGS="--port 8080"'
PLAN = ".venv/bin/batchgen plan jobs/products.yaml --explain"
AGAINST = 'make run JOB=jobs/quickstart.yaml ARGS="--endpoint http://127.0.0.1:8080"'
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
JOBS = sorted(path.name for path in (ROOT / "jobs").glob("*.yaml"))

RATIOS = {"sofa-linen": 16 / 9, "mirror-round": 4 / 5}
"""Width to height where the catalogue asks for another than 1:1; sizes go in steps of 64."""


def makes_the_quickstart(project, ended):
    """Three images, and nothing on standard output."""
    assert (ended.code, ended.out) == (0, "")
    names = ["lighthouse-1.png", "owl-1.png", "teapot-1.png"]
    assert project.images("out/quickstart") == names
    assert "3 images made" in ended.err


def tells_the_catalogue(project, ended):
    """What would be made, and for how much."""
    assert ended.code == 0
    assert ended.out.startswith("52 of 52 tasks would be made for 2.08 USD, in about 3")
    assert re.search(r"; it ends between \d\d:\d\d\b.* and \d\d:\d\d\b.* in 9 of 10, ", ended.out)


def makes_the_mugs(project, ended):
    """Those whose names begin so, and no other."""
    assert ended.code == 0
    assert project.images("out/catalog") == ["mug-blue-1.png", "mug-sand-1.png"]


def makes_six_products(project, ended):
    """The first two products in three looks each, but for what is excluded."""
    assert ended.code == 0
    assert len(project.images("out/products")) == 6


def plans_the_products(project, ended):
    """Stages, cost and time, and nothing is written."""
    assert (ended.code, ended.err) == (0, "")
    assert "products: 21 tasks, 0 made already, 21 to make for 0.84 USD" in ended.out
    assert not (project.apart.folder / "out/products").exists()


def makes_two_of_sdxl(project, ended):
    """One JSON object tells of them."""
    assert ended.code == 0
    assert json.loads(ended.out)["succeeded"] == len(project.images("out/sdxl")) == 2


def refuses_without_credentials(project, ended):
    """One sentence, batchgen's exit code in make's words, and nothing written."""
    sentence, complaint = ended.err.splitlines()
    assert sentence.startswith("No AWS credentials were found. Configure credentials (")
    assert complaint.endswith(" Error 4")
    assert (ended.code, ended.out) == (2, "")
    assert not (project.folder / "out/quickstart-aws").exists()


def looks_before_the_run(project, ended):
    """All checks have their line although there are no credentials, and nothing is written."""
    verdicts = dict(line.split()[1::-1] for line in ended.out.splitlines()[:-1])
    assert (ended.code, ended.err) == (4, "")
    assert [check for check, verdict in verdicts.items() if verdict == "failed"] == ["credentials"]
    assert {"job", "model", "quota", "time", "output", "room"} <= verdicts.keys()
    assert not (project.folder / "out/quickstart-aws").exists()


def finds_no_credentials(project, ended):
    """The doctor says what a run would meet, with its exit code, and writes nothing."""
    assert ended.code == 4
    assert "No AWS credentials were found." in ended.out
    assert not (project.folder / "out/quickstart-aws").exists()


def edits_the_photographs(project, ended):
    """Three edits of each: one with a transparent background, one four times as large."""
    assert ended.code == 0
    assert len(project.images("out/editing")) == 9
    with Image.open(project.folder / "out/editing/images/mug-cutout.png") as cutout:
        assert cutout.mode == "RGBA"
        assert cutout.getchannel("A").getextrema() == (0, 255)
    with Image.open(project.folder / "out/editing/images/mug-large.png") as large:
        assert large.size == (4096, 4096)
    for record in project.records("out/editing"):
        photo = project.folder / "jobs" / record["request"]["image"]["path"]
        assert (
            hashlib.sha256(photo.read_bytes()).hexdigest() == record["request"]["image"]["sha256"]
        )


def makes_the_chains(project, ended):
    """Four products of three steps each; the last ones are four times as large, and have sizes."""
    assert ended.code == 0
    assert len(project.images("out/chain")) == 12 + 4 * 2
    assert (project.folder / "out/chain/images/mug-studio-1-large-thumb.jpg").exists()
    with Image.open(project.folder / "out/chain/images/mug-studio-1-large.png") as large:
        assert large.size == (4096, 4096)


def says(*words):
    """Ends with 0 and says this."""

    def check(_, ended):
        assert ended.code == 0
        assert not [word for word in words if word not in ended.out]

    return check


def makes_by_two_routes(project, ended):
    """Nine images, by both accounts."""
    assert ended.code == 0
    assert len(project.images("out/routes")) == 9
    assert "Routes: shop " in ended.err
    assert ", studio " in ended.err


EXPECTED = {
    "make run JOB=jobs/quickstart.yaml": makes_the_quickstart,
    'make run JOB=jobs/catalog.yaml ARGS="--dry-run"': tells_the_catalogue,
    "make run JOB=jobs/catalog.yaml ARGS=\"--only 'mug-*' --fresh\"": makes_the_mugs,
    'make run JOB=jobs/products.yaml ARGS="--limit 6"': makes_six_products,
    'make run JOB=jobs/sdxl.yaml ARGS="--limit 2 --json"': makes_two_of_sdxl,
    "make run JOB=jobs/routes.yaml": makes_by_two_routes,
    "make run JOB=jobs/aws.yaml": refuses_without_credentials,
    "make help": says("make run ", "make test ", "make simulate "),
    "make install": says(),
    ".venv/bin/batchgen --help": says(*COMMANDS),
    ".venv/bin/batchgen run --help": says("--dry-run", "--wait-lock"),
    ".venv/bin/batchgen validate jobs/catalog.yaml": says(
        "jobs/catalog.yaml is right: 52 tasks, 2.08 USD."
    ),
    PLAN: plans_the_products,
    ".venv/bin/batchgen doctor jobs/aws.yaml": finds_no_credentials,
    ".venv/bin/batchgen models": says("stability.stable-image-core-v1:1", "us-west-2"),
    ".venv/bin/batchgen models us.stability.stable-outpaint-v1:0": says("creativity", "0.060 USD"),
    "make run JOB=jobs/chain.yaml": makes_the_chains,
    "make run JOB=jobs/photos.yaml && make run JOB=jobs/editing.yaml": edits_the_photographs,
}
"""What each command of the README does, but for those that have a test of their own."""
MORNING = {
    ".venv/bin/batchgen show out/catalog --last-run": says(" made, 0 filtered, 0 failed"),
    ".venv/bin/batchgen show out/catalog/images/mug-blue-1.png": says("seed ", "prompt: "),
    ".venv/bin/batchgen show out/catalog --filtered": says("None."),
    ".venv/bin/batchgen verify out/catalog": says("is sound: 52 images on record, 52 files"),
    ".venv/bin/batchgen verify out/catalog --quick": says("is sound: ", ", 0 MB read"),
    'make reproduce MANIFEST=out/catalog/manifest.jsonl ARGS="--dry-run"': says(
        "52 of 52 tasks would be made for 2.08 USD"
    ),
    ".venv/bin/batchgen reproduce out/catalog --only 'mug-*'": says("2 images: 2 identical"),
}
"""What is asked of the catalogue's output when it is whole."""
ELSEWHERE = {
    **dict.fromkeys(MORNING, "TestCatalog"),
    CATALOG: "TestCatalog",
    SIMULATE: "TestSimulator",
    AGAINST: "TestSimulator",
    "make run jobs/catalog.yaml": "TestMake, as a dry run",
    "make simulate": "TestSimulator, with its port",
    "make check": "what CI runs besides these tests",
    "make test": "these tests",
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A project and the run of its whole catalogue, begun before the first test of this file.

    At its real quota it takes the better half of a minute.
    """
    project = Project(tmp_path_factory.mktemp("catalog"))
    yield project, project.start(CATALOG)
    project.close()


@pytest.fixture(scope="module")
def readme(tmp_path_factory, catalog):
    """A project in which all commands of `EXPECTED` were started at once: most of them wait."""
    project = Project(tmp_path_factory.mktemp("readme"))
    other = Project(tmp_path_factory.mktemp("program"))
    (program,) = [block for block in blocks("python") if "import batchgen" in block]
    (other.folder / "program.py").write_text(program)
    project.program = other.start(f"{sys.executable} program.py")
    project.apart = other  # a plan depends on what was made, and others make the products
    project.running = {line: (other if line == PLAN else project).start(line) for line in EXPECTED}
    yield project
    project.close()
    other.close()


@pytest.fixture
def project(tmp_path):
    """A project for one test."""
    made = Project(tmp_path)
    yield made
    made.close()


class TestCommands:
    def test_every_command_of_the_readme_is_run(self):
        """A command without an entry in the tables above was never tried: say what it does."""
        assert set(commands()) == {*EXPECTED, *ELSEWHERE}

    @pytest.mark.parametrize("line", EXPECTED)
    def test_it_does_what_the_readme_says(self, readme, line):
        """As it stands there, in a fresh clone; nothing is installed again."""
        ended = readme.running[line].ended()

        EXPECTED[line](readme, ended)
        assert "Setting up" not in ended.err

    def test_the_exit_codes_are_those_of_the_program(self):
        """The table of the README has every code that a command can end with, and no other."""
        codes = re.findall(r"^\| ([\d, ]+) \|", prose(), re.MULTILINE)

        told = {int(code) for cell in codes for code in cell.split(",")}

        assert told == {0, 1, 2, 5, 6, 70, *(rule.exit_code for rule in RULES.values())}

    def test_every_option_and_command_is_told_somewhere(self):
        """What a document does not mention nobody finds; what is not there nobody can use."""
        text = "".join(document.read_text("utf-8") for document in DOCUMENTS)
        told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        options = {name for each in run_command.params for name in each.opts if name[:2] == "--"}

        assert not options - told
        assert not [name for name in COMMANDS if not re.search(rf"(make|batchgen) {name}\b", text)]


@pytest.fixture
def echo(project):
    """A project whose `batchgen` prints what it is told, each argument on a line."""
    folder = project.folder / ".venv/bin"
    folder.unlink()
    folder.mkdir()
    (folder / "batchgen").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (folder / "batchgen").chmod(0o755)
    return project


class TestMake:
    """A job is given to make, in whatever way; the quickstart never runs in its place."""

    @pytest.mark.parametrize(
        ("given", "job"),
        [
            ("jobs/catalog.yaml", "jobs/catalog.yaml"),
            ("job=jobs/catalog.yaml", "jobs/catalog.yaml"),
            ('JOB="my jobs/$(printf "it\'s").yaml"', "my jobs/it's.yaml"),
            ("job='my jobs/two  spaces.yaml'", "my jobs/two  spaces.yaml"),
            ("JOB='my jobs/$dollar.yaml'", "my jobs/$dollar.yaml"),
        ],
    )
    def test_it_is_the_job_that_is_run(self, echo, given, job):
        """Without `JOB=`, in small letters, with spaces, quotes and dollars in its path."""
        ended = echo.run(f"make run {given} ARGS=--dry-run")

        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines() == ["run", job, "--dry-run"]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ('"my jobs/shop.yaml"', "takes one job, and a path with spaces only as JOB="),
            ("jobs/catalog.yaml jobs/sdxl.yaml", "takes one job"),
            ("JOB=jobs/sdxl.yaml job=jobs/catalog.yaml", "takes one job"),
            ("Job=jobs/catalog.yaml", "takes JOB= and ARGS=, and no Job="),
            ("args=--dry-run", "takes JOB= and ARGS=, and no args="),
            ("jobs/nope.yaml", "jobs/nope.yaml: there is no such file"),
            ("JOB=", "there is no name: name the job file"),
        ],
    )
    def test_what_is_no_job_is_refused(self, project, given, said):
        """With a sentence, and nothing is made."""
        ended = project.run(f"make run {given}")

        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
        assert not (project.folder / "out").exists()

    @pytest.mark.parametrize(
        ("given", "manifest"),
        [
            ("my/manifest.jsonl", "my/manifest.jsonl"),
            ("manifest=my/manifest.jsonl", "my/manifest.jsonl"),
            ("MANIFEST='my $own/manifest.jsonl'", "my $own/manifest.jsonl"),
        ],
    )
    def test_it_is_the_manifest_that_is_reproduced(self, echo, given, manifest):
        """In whatever way it is given, and by `make reproduce` alone."""
        ended = echo.run(f"make reproduce {given} ARGS=--dry-run")

        assert (ended.code, ended.err) == (0, "")
        assert ended.out.splitlines() == ["reproduce", manifest, "--dry-run"]

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("", "there is no name: name a file or a folder"),
            ("JOB=jobs/catalog.yaml", "takes MANIFEST= and ARGS=, and no JOB="),
            ("one two", "takes one manifest, and a path with spaces only as MANIFEST="),
            ("nowhere.jsonl", "nowhere.jsonl cannot be read"),
        ],
    )
    def test_what_is_no_manifest_is_refused(self, project, given, said):
        """With a sentence, and nothing is made."""
        ended = project.run(f"make reproduce {given}")

        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
        assert not (project.folder / "out").exists()


class TestJobs:
    def test_the_example_is_right(self, tmp_path, capsys):
        """The job file that the README explains is accepted as it stands."""
        (example,) = [block for block in blocks("yaml") if "items:" in block]
        (tmp_path / "job.yaml").write_text(example)

        assert main(["validate", str(tmp_path / "job.yaml")]) == 0
        assert "4 tasks, 0.16 USD" in capsys.readouterr().out

    @pytest.mark.parametrize("key", ["routes:", "fallback:"])
    def test_the_other_examples_are_right(self, tmp_path, key):
        """What the README adds to a job can stand in one."""
        (example,) = [block for block in blocks("yaml") if block.startswith(key)]
        rest = [block for block in blocks("yaml") if "items:" in block]
        (tmp_path / "job.yaml").write_text(rest[0] + example)

        assert main(["validate", str(tmp_path / "job.yaml")]) == 0

    @pytest.mark.parametrize("name", JOBS)
    def test_every_job_is_made_whole(self, tmp_path, plain_simulator, name):
        """Each file under jobs/, at a quota that nothing has to wait for: every task an image.

        The photographs that one of them edits are there; the README's commands make them.
        """
        shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
        (tmp_path / "out/photos/images").mkdir(parents=True)
        for shade, stem in enumerate(("lamp", "mug")):
            photo = picture(size=(160, 120), shade=shade)
            (tmp_path / f"out/photos/images/{stem}.png").write_bytes(photo)
        job, output = str(tmp_path / "jobs" / name), tmp_path / "out/here"
        options = ["--endpoint", plain_simulator, "--rpm", "60000", "--output", str(output)]

        assert main(["run", job, *options]) == 0

        loaded = load_job(job)
        tasks = list(plan_job(loaded))
        asked = [f"{task.file_stem}.{task.image_format}" for task in tasks]
        derived = Steps(loaded).derived
        asked += [
            derived_path(path, each.suffix, each.format or "png")
            for path, task in zip(tuple(asked), tasks, strict=True)
            for each in derived[task.step]
        ]
        made = [path.relative_to(output).as_posix() for path in output.glob("images/*")]
        assert sorted(made) == sorted(asked)
        assert main(["verify", str(output)]) == 0

    def test_every_job_is_in_the_readme(self):
        """A newcomer finds each of them."""
        text = "\n".join([prose(), *blocks("console")])

        assert not [name for name in JOBS if f"jobs/{name}" not in text]


@pytest.fixture(scope="module")
def plain_simulator(tmp_path_factory):
    """The address of a simulator without latency and quota, whose pictures cost nothing."""
    project = Project(tmp_path_factory.mktemp("simulator"))
    options = "--latency=0 --meter=none --picture=plain"
    running = project.start(f"exec .venv/bin/batchgen simulate {options}")
    yield running.first_line()["url"]
    project.close()


class TestSimulator:
    def test_other_programs_use_it(self, project):
        """`make simulate`, the README's boto3 program as it stands, and batchgen itself."""
        port = free_port(8080)
        server = project.start(SIMULATE.replace("8080", port))
        announced = server.first_line()
        (program,) = [block for block in blocks("python") if "boto3" in block]
        (project.folder / "program.py").write_text(program.replace("8080", port))

        batch = project.start(AGAINST.replace("8080", port))
        other = project.run(f"{sys.executable} program.py")

        assert announced["url"] == f"http://127.0.0.1:{port}"
        assert (other.code, other.out, other.err) == (0, "", "")
        with Image.open(project.folder / "lighthouse.png") as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", (1024, 1024))
        makes_the_quickstart(project, batch.ended())

        os.kill(announced["pid"], signal.SIGTERM)
        assert server.ended().code == 0


class TestPython:
    def test_the_program_runs(self, readme):
        """The README's example, as it stands, in the project's folder."""
        ended = readme.program.ended()

        assert (ended.code, ended.err) == (0, "")
        assert sorted(ended.out.splitlines()) == [
            f"{name}/1 succeeded ['images/{name}-1.png']"
            for name in ("lighthouse", "owl", "teapot")
        ]


class TestText:
    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
    def test_every_link_leads_somewhere(self, document):
        """To a file of the project, or to a heading that is there."""
        text = prose(document)
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }

        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in headings
            elif "://" not in target:
                assert (document.parent / target).exists(), target

    def test_the_policy_is_json_and_names_models_that_are_served(self):
        """The IAM policy can be pasted, and allows what the text says."""
        (policy,) = map(json.loads, blocks("json"))

        (statement,) = policy["Statement"]
        named = {arn.rpartition("/")[2] for arn in statement["Resource"]}
        served = {model.id for model in MODELS.values() if model.life_cycle is LifeCycle.ACTIVE}
        assert statement["Action"] == "bedrock:InvokeModel"
        assert named <= served


class TestCatalog:
    """Last in this file: the run has had all the time of the others."""

    def test_every_image_is_as_its_record_says(self, catalog):
        """52 images in one run: each on record with its hash, a PNG of the shape asked for."""
        project, running = catalog
        ended = running.ended()
        records = project.records("out/catalog")

        assert (ended.code, ended.out) == (0, "")
        assert "52 images made, 0 filtered, 0 failed, 0 left open" in ended.err
        assert "billed 2.08 USD" in ended.err
        assert len(records) == len(project.images("out/catalog")) == 52
        for record in records:
            (image,) = record["images"]
            path = project.folder / "out/catalog" / image["path"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]
            with Image.open(path) as picture:
                picture.verify()
                assert picture.format == "PNG"
                assert picture.size == (image["width"], image["height"])
            ratio = RATIOS.get(record["item_id"], 1.0)
            assert image["width"] / image["height"] == pytest.approx(ratio, rel=0.04)

    @pytest.mark.parametrize("line", MORNING)
    def test_the_morning_after(self, catalog, line):
        """What the README asks of the output, as it stands there."""
        project, running = catalog
        running.ended()

        MORNING[line](project, project.run(line))

    @pytest.mark.parametrize("line", [CATALOG, "cron", "systemd", "operations' cron"])
    def test_the_next_night_makes_nothing(self, catalog, line):
        """The same command again, and the units' own commands: all is there, exit code 0."""
        project, running = catalog
        running.ended()
        if line != CATALOG:
            line = night_commands()[line]

        ended = project.run(line)

        assert (ended.code, ended.out) == (0, "")
        assert len(project.records("out/catalog")) == 52


def night_commands():
    """The commands of the units that run at night, without the folder that they begin with."""
    cron = re.compile(r"^0 22 \* \* \*  cd /srv/shop && (.*)$", re.MULTILINE)
    unit = re.compile(r"^ExecStart=/srv/shop/(.*)$", re.MULTILINE)
    document = ROOT / "docs/operations.md"
    operations = document.read_text("utf-8")
    assert blocks("ini", document) == blocks("ini")  # one unit, with `OnFailure`
    assert "OnFailure=" in blocks("ini")[0]
    return {
        "cron": cron.findall("".join(blocks("text")))[0],
        "systemd": unit.findall("".join(blocks("ini")))[0],
        "operations' cron": cron.findall(operations)[0],
    }


def free_port(wanted):
    """The wanted port as a text, or another one if somebody has it."""
    with contextlib.suppress(OSError), socket.socket() as probe:
        probe.bind(("127.0.0.1", wanted))
        return str(wanted)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
