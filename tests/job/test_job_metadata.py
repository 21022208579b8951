"""What a job says of the metadata of its images."""

import json
import sys

import pytest
from pydantic import TypeAdapter

from batchgen import job
from batchgen.errors import JobError
from batchgen.job import ContentCredentials, Job, Metadata


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    """The files that the jobs name, and others."""
    for name in ("a", "b", "c.pem", "k.pem"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


HEAD = "name: a\nmodel: m\nitems: [{id: a}]\n"
FILES = "content_credentials: {certificate: c.pem, key: k.pem}"


def read(text):
    return job.parse("j.yaml", (HEAD + text).encode()).metadata


def wrong(text):
    """(path, line, text) of each complaint."""
    with pytest.raises(JobError) as caught:
        read(text)
    return [(".".join(each.path), each.line, each.text) for each in caught.value.complaints]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("", "none"),
        ("metadata: none", "none"),
        ("metadata: ai-label", "ai-label"),
        ("metadata: full", "full"),
        ("metadata: {level: full}", "full"),
        ("metadata: {level: none}", "none"),
        ("metadata: {}", "ai-label"),
        (f"metadata: {{{FILES}}}", "ai-label"),
        (f"metadata: {{level: full, {FILES}}}", "full"),
    ],
)
def test_a_level_stands_alone_or_in_a_mapping(text, level):
    """None is the default; a mapping without a level labels."""
    found = read(text)
    assert (found.level, found.is_written) == (level, level != "none")
    assert (found.content_credentials is not None) == ("pem" in text)


@pytest.mark.parametrize(
    ("text", "path", "line", "said"),
    [
        ("metadata: ful", "metadata", 4, 'content_credentials; did you mean "full"?'),
        ("metadata: 5", "metadata", 4, "allowed: "),
        ("metadata:", "metadata", 4, "has no value"),
        ("metadata: [full]", "metadata", 4, "allowed: "),
        ("metadata:\n  level: ai_label", "metadata.level", 5, 'did you mean "ai-label"?'),
        ("metadata:\n  levle: full", "metadata.levle", 5, 'did you mean "level"?'),
        (
            "metadata:\n  content_credentials: {certificate: a, kye: b}",
            "metadata.content_credentials.kye",
            5,
            'allowed: certificate, key; did you mean "key"?',
        ),
        (
            "metadata:\n  content_credentials: {certificate: a}",
            "metadata.content_credentials.key",
            5,
            "is missing",
        ),
        (
            "metadata:\n  content_credentials: a.pem",
            "metadata.content_credentials",
            5,
            "a mapping of certificate, key",
        ),
        (
            "metadata:\n  content_credentials: {certificate: 5, key: b}",
            "metadata.content_credentials.certificate",
            5,
            "a file, from the job file on",
        ),
        (
            f"metadata:\n  level: none\n  {FILES}",
            "metadata.level",
            5,
            "cannot be none beside content_credentials: allowed: ai-label, full",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, path, line, said):
    """As of every other key: the place, what is allowed, and the nearest name."""
    ((found, at, complaint),) = wrong(text)
    assert (found, at) == (path, line)
    assert said in complaint


def test_files_are_looked_for_beside_the_job(tmp_path):
    """Wherever the command is given; one that is not there is a complaint, each with its line."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "j.yaml").write_text(HEAD + f"metadata:\n  {FILES}\n")
    with pytest.raises(JobError) as caught:
        job.load(folder / "j.yaml")
    said = [(each.line, each.text) for each in caught.value.complaints]
    assert said == [
        (5, f'"{folder / name}" is no file that can be read') for name in ("c.pem", "k.pem")
    ]
    for name in ("c.pem", "k.pem"):
        (folder / name).touch()
    assert job.load(folder / "j.yaml").metadata.content_credentials is not None


def test_without_the_extra_its_command_is_named(monkeypatch):
    """Before any call is made; a job without credentials does not need it."""
    module = sys.modules["batchgen.job.conflicts"]
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    ((path, line, text),) = wrong(f"metadata:\n  {FILES}")
    assert (path, line) == ("metadata.content_credentials", 5)
    assert text.endswith("pip install 'batchgen[c2pa]'")
    assert read("metadata: full").level == "full"


def test_a_program_says_it_as_a_file_does():
    """A text, a mapping or the values themselves."""
    own = ContentCredentials(certificate="c.pem", key="k.pem")
    for given in (
        {"level": "full", "content_credentials": {"certificate": "c.pem", "key": "k.pem"}},
        Metadata(level="full", content_credentials=own),
    ):
        made = Job(name="a", model="m", items=[{"id": "a"}], metadata=given)
        assert made.metadata == Metadata(level="full", content_credentials=own)
    assert Job(name="a", model="m", items=[{"id": "a"}], metadata="full").metadata.level == "full"
    with pytest.raises(JobError, match=r"certificate: is missing"):
        ContentCredentials(key="k")


def test_the_schema_of_a_job_knows_both_forms():
    """An editor offers the levels, and the keys of the mapping."""
    schema = TypeAdapter(Job).json_schema()
    forms = schema["properties"]["metadata"]["anyOf"]
    assert {"enum": ["none", "ai-label", "full"], "type": "string"} in forms
    assert "certificate" in json.dumps(schema["$defs"]["ContentCredentials"])
