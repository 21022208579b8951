"""The command line: what is wrong is said in a sentence, and the exit code is the contract's."""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from batchgen import __version__
from batchgen.cli import COMMANDS, EscapingFormatter, main
from batchgen.errors import (
    BatchgenError,
    JobError,
    ManifestError,
    OutputBusy,
    ServiceUnusable,
    StorageError,
)

CORE = "stability.stable-image-core-v1:1"
SDXL = "stability.stable-diffusion-xl-v1"
NOBODY = "http://127.0.0.1:9"
"""No call is made in these tests; if one were, nobody would answer it."""
JOB = f"""\
name: shop
endpoint: {NOBODY}
model: {CORE}
items:
  - {{id: mug, prompt: a mug}}
"""


class Folder:
    """An empty current folder in which commands are run."""

    def __init__(self, path, capsys):
        self.path = path
        self._capsys = capsys

    def run(self, *arguments):
        """Run a command, which must leave the folder as it was."""
        before = self.tree()
        code = main(arguments)
        out, err = self._capsys.readouterr()
        assert "Traceback" not in err
        assert self.tree() == before
        return SimpleNamespace(code=code, out=out, err=err)

    def tree(self):
        return sorted(self.path.rglob("*"))


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    """The empty current folder."""
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, capsys)


def job(*changes, add=""):
    """`JOB` with texts in place of others, and lines at its end."""
    text = JOB
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text + add


FILES = {
    "missing": (None, "job.yaml: there is no such file"),
    "a folder": (Path.mkdir, "job.yaml: this is a folder: name the job file in it"),
    "a link to nothing": (
        lambda path: path.symlink_to("gone.yaml"),
        'job.yaml: this is a link to "gone.yaml", which is not there',
    ),
    "a link to itself": (
        lambda path: path.symlink_to("job.yaml"),
        "job.yaml: the file cannot be read: Too many levels of symbolic links",
    ),
    "a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "job.yaml: this is a device: name a job file, which is YAML",
    ),
    "empty": (b"", "job.yaml: the file is empty: a job needs at least name, model and items"),
    "comments": (b"# soon\n", "job.yaml: the file is empty"),
    "huge": (b"x" * (2**24 + 1), "job.yaml: a job file may have 16 MB at most"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "job.yaml: this is no text"),
    "UTF-16": (JOB.encode("utf-16"), "job.yaml: the file is in UTF-16 or UTF-32"),
    "Latin-1": (JOB.replace("mug", "caf\xe9").encode("latin-1"), "job.yaml:5: the byte 0xE9"),
    "a list": (b"- a\n", "job.yaml: a job file is a mapping of keys such as name, model and items"),
    "a tab": (b"items:\n\t- a\n", "job.yaml:2:1: a tab indents this line: YAML wants spaces"),
    "no YAML": (b"name: [a\n", "job.yaml:1:7: a [ is opened here and never closed"),
    "depth": (b"a: " + b"[" * 2_000, "job.yaml:1:35: more than 32 mappings and lists"),
}

JOBS = {
    "key twice": (job(add="name: b\n"), '6: name: the key "name" stands twice', "remove one"),
    "unknown key": (job(add="promt: a\n"), "6: promt: ", 'did you mean "prompt"?'),
    "unknown limit": (job(add="limits: {concurency: 3}\n"), "6: limits.", "requests_per_minute"),
    "an axis that nothing takes": (job(add="matrix: {a: [1]}\n"), "6: matrix.a: changes nothing: "),
    "name": (job(("shop", "5")), "1: name: cannot be 5; allowed: ", "put it in quotes"),
    "items": (job(("  - {id: mug, prompt: a mug}", "  a: b")), "4: items: cannot be "),
    "no items": ("name: a\n", "1: items: is missing: list what to make"),
    "no model": (job((f"model: {CORE}\n", "")), "1: model: is missing: name the model"),
    "model": (job(("core-v1:1", "cor-v1:1")), "3: model: ", f'did you mean "{CORE}"?'),
    "retired": (
        job((NOBODY, "aws"), (CORE, SDXL)),
        "3: model: ",
        "is past its end of life (2025-05-20) and AWS refuses it: choose another one, or set",
    ),
    "parameter": (job(add="parameters: {aspect: 1}\n"), "6: ", 'did you mean "aspect_ratio"?'),
    "value": (job(add='parameters: {aspect_ratio: "1:7"}\n'), "6: ", "allowed: 16:9, 1:1, 21:9"),
    "long prompt": (job(("a mug", "a" * 10_001)), "5: items[0].prompt: ", "at most 10,000 fit"),
    "no prompt": (job((", prompt: a mug", "")), "5: items[0].prompt: there is no prompt: give"),
    "empty prompt": (job(("a mug", '""')), "5: items[0].prompt: ", "write what to draw"),
    "seed 0": (job(add="seed: 0\n"), "6: seed: cannot be 0; allowed: derived, random, or a whole"),
    "seed": (job(add="seed: 4294967296\n"), "6: seed: cannot be 4294967296; allowed: "),
    "last seed": (job(add="seed: 4294967295\nvariants: 2\n"), "6: seed: variant 2 would have"),
    "unknown placeholder": (
        job(("a mug", '"a {colour} mug"'), add="vars: {color: red}\n"),
        '5: items[0].prompt: "{colour}" has no value; ',
        'did you mean "{color}"?',
    ),
    "attribute": (
        job(("a mug", '"{id.__class__}"')),
        "5: items[0].prompt: ",
        "only a plain name may stand in braces",
    ),
    "lone brace": (job(("a mug", '"a { mug"')), "5: ", "write {{ for the brace itself"),
    "way out": (job(add='file_name: "../{id}"\n'), '6: file_name: the file name "../'),
    "absolute": (job(add='file_name: "/{id}"\n'), "6: file_name: ", "stay inside the output"),
    "device": (job(add='file_name: "con"\n'), "6: file_name: ", "which is a device on Windows"),
    "hidden": (job(("id: mug", 'id: ".."')), "5: items[0].id: ", "put something before it"),
    "control": (job(("id: mug", r'id: "a\0b"')), "5: items[0].id: cannot be", "control character"),
    "one name": (
        job(add="  - {id: MUG, prompt: a cup}\n"),
        '6: items[1]: "MUG" variant 1 would write the same file as "mug" variant 1',
        "rename one",
    ),
    "one image": (
        job(add="  - {id: a, prompt: b, seed: 5}\n  - {id: c, prompt: b, seed: 5}\n"),
        '7: items[2]: "c" variant 1 would make the same image as "a" variant 1',
        "change or remove one",
    ),
    "one id": (job(add="  - {id: mug, prompt: a cup}\n"), '6: items[1].id: "mug" is the id of'),
    "variants": (job(add='variants: 2\nfile_name: "{id}"\n'), "7: file_name: ", "put {variant}"),
    "S3": (job(add="output: s3://bucket\n"), "6: output: ", "S3 is not supported yet"),
    "home": (job(add="output: ~/shop\n"), "6: output: ", "write the folder out"),
    "Region": (job(add="region: moon\n"), "6: region: ", "a Region such as us-west-2"),
    "budget": (job(add="limits: {budget_usd: lots}\n"), "6: limits.budget_usd: ", "US dollars"),
    "until": (job(add="limits: {until: 6}\n"), "6: limits.until: ", '"06:00"'),
}

OPTIONS = {
    "--limit 0": 'cannot be "0"; allowed: a whole number from 1 to',
    "--limit": "Option '--limit' requires an argument.",
    "--rpm -1": 'cannot be "-1"; allowed: calls a minute, a number above 0',
    "--rpm fast": 'cannot be "fast"; allowed: calls a minute, a number above 0',
    "--until 25:00": 'cannot be "25:00"; allowed: a time of day in 24 hours as HH:MM',
    "--max-cost x": 'cannot be "x"; allowed: US dollars, a number above 0.',
    "--max-cost 1e400": 'cannot be "1e400"; allowed: US dollars, a number above 0.',
    "--max-cost nan": 'cannot be "nan"; allowed: US dollars, a number above 0.',
    "--concurrency 0": 'cannot be "0"; allowed: a whole number from 1 to 1,000.',
    "--endpoint simulater": 'did you mean "simulator"?',
    "--output s3://a": "S3 is not supported yet.",
    "--wait-lock x": 'cannot be "x"; allowed: a duration such as "90s", "30m" or "2h"',
    "--max-duration 0": 'cannot be "0"; allowed: a duration',
    "--frehs": "No such option '--frehs'. (Did you mean one of: '--fresh', ",
    "--endpoint AWSS": 'did you mean "aws"?',
    "more": "Got unexpected extra argument (more)",
}

OUTPUTS = {
    "a file": ("out", "The output out cannot be made: File exists. Name another one with"),
    "below a file": ("out/shop", "The output out/shop cannot be made: Not a directory."),
    "a device": ("/dev/null", "The output /dev/null cannot be made: File exists."),
    "a file system of the kernel": ("/proc/shop", "The output /proc/shop cannot be made: No such"),
    "a name too long": ("a" * 300, "cannot be made: File name too long."),
}


class TestJobFile:
    @pytest.mark.parametrize("kind", FILES)
    def test_a_file_that_is_no_job_is_said(self, folder, kind):
        """What cannot be read as a job at all: one line with the file and what to do."""
        content, said = FILES[kind]
        path = folder.path / "job.yaml"
        if callable(content):
            content(path)
        elif content is not None:
            path.write_bytes(content)

        ended = folder.run("run", "job.yaml")

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(said)
        excerpt = ended.err.splitlines()[1:]
        assert [each[:4] for each in excerpt] == (["    "] * 2 if excerpt else [])

    @pytest.mark.parametrize("kind", JOBS)
    def test_a_mistake_is_said_with_its_line(self, folder, kind):
        """One sentence: file, line, key, the value, what is allowed and the nearest name."""
        text, begins, *has = JOBS[kind]
        (folder.path / "job.yaml").write_text(text, encoding="utf-8")

        ended = folder.run("run", "job.yaml")

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"job.yaml:{begins}")
        assert ended.err.count("\n") == 1
        for words in has:
            assert words in ended.err

    def test_all_mistakes_are_said_at_once(self, folder):
        """A person corrects a file once, not once for each mistake."""
        (folder.path / "job.yaml").write_text(
            job(("a mug", '"{x}"'), add="seed: 0\nlimits: {until: 6}\npromt: a\n")
        )

        ended = folder.run("validate", "job.yaml", "--json")

        lines = [line.split(":")[1] for line in ended.err.splitlines()]
        assert ended.code == 2
        assert {"5", "6", "7", "8"} == set(lines)

    @pytest.mark.parametrize("command", ["validate", "run", "run --dry-run", "doctor"])
    def test_with_json_a_program_reads_the_complaints(self, folder, command):
        """On standard output: file, line, key and sentence of each, and the exit code."""
        text = job(("a mug", '"{x}"'), add="seed: 0\npromt: a\n")
        (folder.path / "job.yaml").write_text(text)

        ended = folder.run(*command.split(), "job.yaml", "--json")

        said = json.loads(ended.out)
        complaints = said["complaints"] if "complaints" in said else said["checks"][0]["complaints"]
        assert (ended.code, said["exit_code"]) == (2, 2)
        assert [(it["file"], it["line"], it["key"]) for it in complaints] == [
            ("job.yaml", 5, "items[0].prompt"),
            ("job.yaml", 6, "seed"),
            ("job.yaml", 7, "promt"),
        ]
        assert 'did you mean "prompt"?' in complaints[2]["text"]

    def test_a_pattern_hides_no_mistake(self, folder):
        """What fits no item may be an item with a mistake."""
        (folder.path / "job.yaml").write_text(job(("id: mug", "idd: mug")))

        ended = folder.run("run", "job.yaml", "--only", "lamp")

        assert ended.code == 2
        assert ended.err.startswith('job.yaml:5: items[0].idd: "idd" is not a key here')

    def test_with_json_a_program_reads_why_a_file_is_no_yaml(self, folder):
        """With line and column."""
        (folder.path / "job.yaml").write_text("name: a: b")

        ended = folder.run("validate", "job.yaml", "--json")

        (found,) = json.loads(ended.out)["complaints"]
        assert (found["line"], found["column"], found["key"]) == (1, 8, None)

    @pytest.mark.parametrize("command", ["validate", "run", "doctor"])
    def test_a_pipe_is_no_job_file(self, folder, command):
        """Nobody may ever write into it."""
        os.mkfifo(folder.path / "job.yaml")

        ended = folder.run(command, "job.yaml")

        assert ended.code == 2
        assert "job.yaml: this is a pipe: name a job file" in ended.err + ended.out

    def test_a_file_name_cannot_steer_the_terminal(self, folder):
        """A name with control characters is printed escaped."""
        ended = folder.run("run", "\x1b[31mred\u202e.yaml")

        assert ended.err == "\\x1b[31mred\\u202e.yaml: there is no such file\n"


class TestOptions:
    @pytest.mark.parametrize("options", OPTIONS)
    def test_a_wrong_option_is_said(self, folder, options):
        """The option, the value, what is allowed, and where to read more."""
        (folder.path / "job.yaml").write_text(JOB)

        ended = folder.run("run", "job.yaml", *options.split())

        assert (ended.code, ended.out) == (2, "")
        assert OPTIONS[options] in ended.err

    def test_a_pattern_that_fits_nothing_is_a_slip(self, folder):
        """A run that makes nothing and ends with 0 would hide it."""
        (folder.path / "job.yaml").write_text(JOB)

        ended = folder.run("run", "job.yaml", "--dry-run", "--only", "mug", "--only", "mgu-*")

        assert (ended.code, ended.out) == (2, "")
        assert ended.err == '--only "mgu-*" fits no item of the job shop; did you mean "mug"?\n'

    def test_a_pattern_may_be_of_labels(self, folder):
        """`mug/2` is one variant of an item."""
        (folder.path / "job.yaml").write_text(job(add="variants: 3\n"))

        ended = folder.run("run", "job.yaml", "--dry-run", "--json", "--only", "mug/2")

        assert ended.code == 0
        assert json.loads(ended.out)["to_make"] == 1

    def test_a_pattern_may_be_of_a_step(self, folder):
        """`mug/1/cut` brings along what it is made of."""
        steps = "steps: [{id: generate}, {id: cut, model: %s, parameters: {image: '@generate'}}]\n"
        cut = "us.stability.stable-image-remove-background-v1:0"
        (folder.path / "job.yaml").write_text(job(add=f"variants: 3\n{steps % cut}"))

        ended = folder.run("run", "job.yaml", "--dry-run", "--json", "--only", "mug/1/cut")

        assert ended.code == 0
        assert json.loads(ended.out)["to_make"] == 2

    def test_a_dry_run_counts_the_quotas_of_all_routes(self, folder):
        """Two routes of 30 a minute make 60 images in a minute; `--rpm` wins over their own."""
        routes = "routes: [{name: a, requests_per_minute: 30}, {profile: b}]\n"
        limits = "limits: {requests_per_minute: 30}\n"
        (folder.path / "job.yaml").write_text(job(add=routes + limits + "variants: 60\n"))

        plain = folder.run("run", "job.yaml", "--dry-run")
        faster = folder.run("run", "job.yaml", "--dry-run", "--rpm", "60")

        assert "in about 1 min" in plain.out
        assert "in about 3" in faster.out
        assert "min" not in faster.out.partition(";")[0]

    def test_a_dry_run_knows_the_quota_that_is_asked_for(self, folder):
        """The time it tells is that of --rpm."""
        (folder.path / "job.yaml").write_text(job(add="variants: 10\n"))

        ended = folder.run("run", "job.yaml", "--dry-run", "--rpm", "2")

        assert ended.out.startswith(
            "10 of 10 tasks would be made for 0.40 USD, in about 4 min 3"  # nine distances of 30 s
        )
        end = "; nothing was called or written. This money is simulated.\n"
        assert ended.out.endswith(f" in 9 of 10, if it began now{end}")

    def test_an_unknown_price_is_not_nothing(self, folder):
        """A dry run of a model whose price nobody knows does not say that it is free."""
        text = job((CORE, "my.model"), add="family: stable-image\n")
        (folder.path / "job.yaml").write_text(text)

        plain = folder.run("run", "job.yaml", "--dry-run")
        as_json = folder.run("run", "job.yaml", "--dry-run", "--json")

        assert "1 of 1 tasks would be made for an unknown sum" in plain.out
        assert json.loads(as_json.out)["cost_usd"] is None

    @pytest.mark.parametrize(
        "options",
        [
            "--max-duration 90",
            "--max-duration 1.5h",
            "--endpoint AWS",
            "--endpoint Simulator",
            "-v",
        ],
    )
    def test_what_people_write_is_taken(self, folder, options):
        """Seconds without a unit, names in capitals, and -v behind the command."""
        (folder.path / "job.yaml").write_text(JOB)

        ended = folder.run("run", "job.yaml", "--dry-run", *options.split())

        assert (ended.code, ended.err) == (0, "")

    @pytest.mark.parametrize(
        "lines", ["endpoint: http://example.com\n", "simulator: {latency: 1}\n"]
    )
    def test_an_endpoint_that_is_not_used_hinders_nothing(self, folder, lines):
        """A file whose own endpoint is refused, or has no use for a key, runs with another one."""
        (folder.path / "job.yaml").write_text(JOB.replace(f"endpoint: {NOBODY}\n", lines))

        assert folder.run("run", "job.yaml", "--dry-run").code == 2
        ended = folder.run("run", "job.yaml", "--dry-run", "--endpoint", "simulator")

        assert (ended.code, ended.err) == (0, "")

    def test_an_empty_name_is_no_folder(self, folder):
        """An unset variable of a script is said, and nothing else is taken for the job."""
        ended = folder.run("run", "")

        assert ended.code == 2
        assert ended.err.endswith("Invalid value for 'JOB': there is no name: name the job file.\n")


class TestOutput:
    @pytest.mark.parametrize("kind", OUTPUTS)
    def test_an_output_that_cannot_be_written_is_said(self, folder, kind):
        """Before any call: where, why, and what to do. A person must act (2): later is no help."""
        output, said = OUTPUTS[kind]
        (folder.path / "job.yaml").write_text(JOB)
        if output.startswith("out"):
            (folder.path / "out").touch()

        ended = folder.run("run", "job.yaml", "--output", output)

        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
        assert ended.err.count("\n") == 1

    @pytest.mark.parametrize("more", [(), ("--dry-run",)])
    def test_the_output_of_another_job_is_refused(self, folder, more):
        """Its names and seeds would mix; a dry run says so, too."""
        (folder.path / "job.yaml").write_text(JOB)
        (folder.path / "out").mkdir()
        line = {"kind": "run", "version": 1, "job_name": "zoo"}
        (folder.path / "out/manifest.jsonl").write_text(json.dumps(line) + "\n")
        (folder.path / "out/manifest.lock").touch()

        ended = folder.run("run", "job.yaml", "--output", "out", *more)

        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            'out holds the images of the job "zoo", and this job is "shop": '
            "give it an output of its own.\n"
        )


class TestCredentials:
    def test_none_at_all(self, folder):
        """Before anything is written: what is missing, and how to get it."""
        (folder.path / "job.yaml").write_text(job((NOBODY, "aws")))

        ended = folder.run("run", "job.yaml")

        assert (ended.code, ended.out) == (4, "")
        assert ended.err.startswith("No AWS credentials were found. Configure credentials (")
        assert ended.err.count("\n") == 1

    def test_an_unknown_profile(self, folder, monkeypatch):
        """The profile is named."""
        monkeypatch.setenv("AWS_PROFILE", "nope")
        (folder.path / "job.yaml").write_text(job((NOBODY, "aws")))

        ended = folder.run("run", "job.yaml")

        assert (ended.code, ended.out) == (4, "")
        assert "AWS cannot be used: The config profile (nope) could not be found" in ended.err


class TestCommands:
    def test_the_help_lists_every_command(self, folder):
        """With one line for each."""
        ended = folder.run("--help")

        assert ended.code == 0
        for name, (_, text) in COMMANDS.items():
            assert f"  {name} " in ended.out
            assert text in ended.out

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_its_own_help(self, folder, name):
        """`batchgen COMMAND --help` and `-h`, on standard output."""
        ended = folder.run(name, "-h")

        assert (ended.code, ended.err) == (0, "")
        assert ended.out.startswith(f"Usage: batchgen {name} ")

    def test_the_version(self, folder):
        """`--version` is the package's."""
        assert folder.run("--version").out == f"batchgen, version {__version__}\n"

    def test_without_a_command_the_help_is_shown(self, folder):
        """As wrong usage: on standard error, with exit code 2."""
        ended = folder.run()

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("Usage: batchgen ")

    @pytest.mark.parametrize(("slip", "meant"), [("rum", "run"), ("vlaidate", "validate")])
    def test_a_slip_gets_the_nearest_name(self, folder, slip, meant):
        """An unknown command is wrong usage, and the one that was meant is named."""
        ended = folder.run(slip)

        assert ended.code == 2
        assert ended.err.endswith(f"No such command '{slip}'. Did you mean '{meant}'?\n")

    def test_a_job_is_asked_for(self, folder):
        """`batchgen run` alone names what is missing."""
        ended = folder.run("run")

        assert ended.code == 2
        assert ended.err.endswith("Error: Missing argument 'JOB'.\n")

    @pytest.mark.parametrize(
        "arguments",
        [("verify", "nothing"), ("run", "job.yaml", "--limit=x"), ("models", "nosuch"), ("plan",)],
    )
    def test_a_program_is_told_of_wrong_usage_too(self, folder, arguments):
        """With `--json`, in the same object as any other mistake."""
        ended = folder.run(*arguments, "--json")
        told = json.loads(ended.out)
        assert (ended.code, told["exit_code"], told["complaints"]) == (2, 2, [])
        assert told["error"] in ended.err

    def test_validate_says_what_it_would_cost(self, folder):
        """A right job: one line on standard output, or one JSON object."""
        (folder.path / "job.yaml").write_text(JOB)

        plain, as_json = (
            folder.run("validate", "job.yaml"),
            folder.run("validate", "job.yaml", "--json"),
        )

        assert (plain.code, plain.out) == (0, "job.yaml is right: 1 task, 0.04 USD.\n")
        assert json.loads(as_json.out) == {
            "job": "shop",
            "tasks": 1,
            "cost_usd": 0.04,
            "warnings": [],
        }

    def test_validate_warns_of_a_retired_model(self, folder):
        """It works where AWS is not called, and should not stay so."""
        (folder.path / "job.yaml").write_text(job((CORE, SDXL)))

        ended = folder.run("validate", "job.yaml")

        assert ended.code == 0
        assert f"{SDXL} is past its end of life" in ended.err

    def test_a_port_that_is_taken_is_said(self, folder):
        """In a sentence, with what to do."""
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]

            ended = folder.run("simulate", "--port", str(port))

        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"The port {port} of 127.0.0.1 is taken: another program, ")

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_a_shell_gets_its_script(self, shell):
        """What `eval` takes, for each of the three."""
        script = completed(f"{shell}_source")

        assert f"_BATCHGEN_COMPLETE={shell}_complete" in script

    @pytest.mark.parametrize(
        ("words", "found"),
        [("batchgen mo", "models"), ("batchgen run --max-d", "--max-duration")],
    )
    def test_commands_and_options_are_completed(self, words, found):
        """Both by what Click knows of them."""
        assert found in completed("zsh_complete", words).split()

    def test_jobs_are_completed_as_files(self):
        """The shell is told to complete file names."""
        assert completed("bash_complete", "batchgen run jobs/ca") == "file,jobs/ca\n"

    def test_a_port_that_is_none_is_said(self, folder):
        """The simulator names what is wrong with its address."""
        ended = folder.run("simulate", "--port", "99999")

        assert (ended.code, ended.out) == (2, "")
        assert "99999 is not in the range 0<=x<=65535" in ended.err

    def test_models_are_a_table_or_json(self, folder):
        """Every model with price, quota, state and Regions."""
        table, as_json = folder.run("models"), folder.run("models", "--json")

        assert table.out.splitlines()[0].startswith("MODEL ")
        known = {model["id"]: model for model in json.loads(as_json.out)}
        assert len(table.out.splitlines()) == len(known) + 1
        assert max(map(len, table.out.splitlines())) <= 80
        assert known[CORE]["price_usd"] == 0.04


def completed(instruction, words=""):
    """What a shell gets that asks for completions."""
    asked = {"_BATCHGEN_COMPLETE": instruction, "COMP_WORDS": words}
    last = {"COMP_CWORD": str(words.count(" "))}
    return subprocess.run(
        [sys.executable, "-m", "batchgen"],
        env={**os.environ, **asked, **last},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    ).stdout


def broken(error):
    """A command that meets this."""

    @click.command()
    def command():
        raise error

    return SimpleNamespace(command=command)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (JobError("job.yaml", ()), 2),
            (ManifestError("it is torn"), 2),
            (StorageError("the disk is full"), 3),
            (ServiceUnusable("there is no access"), 4),
            (OutputBusy("another run holds it"), 6),
            (BatchgenError("nobody foresaw it"), 70),
            (KeyboardInterrupt(), 130),
        ],
    )
    def test_every_kind_of_error_has_its_code(self, folder, monkeypatch, error, code):
        """By the contract with users; the sentence is the error's own."""
        monkeypatch.setitem(sys.modules, "broken", broken(error))
        monkeypatch.setitem(COMMANDS, "run", ("broken", ""))

        ended = folder.run("run")

        assert (ended.code, ended.out) == (code, "")
        assert ended.err.strip() == str(error)

    def test_a_fault_of_ours_is_one_line(self, folder, monkeypatch, caplog):
        """What nobody foresaw is no traceback for the user, and one for whoever asks with -vv."""
        monkeypatch.setitem(sys.modules, "broken", broken(RuntimeError("seven")))
        monkeypatch.setitem(COMMANDS, "run", ("broken", ""))

        with caplog.at_level("DEBUG"):
            ended = folder.run("run")

        assert ended.code == 70
        assert ended.err == (
            "A fault in batchgen itself: RuntimeError: seven. "
            "`batchgen -vv …` shows where; please report it.\n"
        )
        assert "Traceback" in caplog.text

    def test_a_pipe_that_breaks_inside_is_a_fault(self, folder, monkeypatch):
        """Only standard output may lose its reader without a word."""
        monkeypatch.setitem(sys.modules, "broken", broken(BrokenPipeError(32, "Broken pipe")))
        monkeypatch.setitem(COMMANDS, "run", ("broken", ""))

        assert folder.run("run").code == 70

    def test_log_lines_cannot_steer_the_terminal(self):
        """A label in a log entry is escaped; the lines of a traceback stay lines."""
        entry = logging.makeLogRecord({"msg": "at %s\nthen", "args": ("mug\x1b[2J",)})

        assert EscapingFormatter("%(message)s").format(entry) == "at mug\\x1b[2J\nthen"

    def test_the_sdk_never_says_everything(self, folder):
        """Its loggers stay at INFO, for their DEBUG lines hold tokens, keys and prompts."""
        folder.run("-vv", "models")

        for name in ("botocore", "aiobotocore", "aioboto3", "boto3", "aiohttp", "urllib3"):
            assert logging.getLogger(name).getEffectiveLevel() >= logging.INFO
