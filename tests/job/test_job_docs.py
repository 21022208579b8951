"""docs/job-file.md and the JSON Schema tell all of the job language, and nothing else."""

import json
import re
from pathlib import Path

import pytest

from batchgen import plan
from batchgen.job import Job, load, schema_text
from batchgen.job.json_schema import generated
from batchgen.job.validation_errors import KEYS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "job-file.md").read_text("utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
HEAD = {
    "name": "name: shop",
    "endpoint": "endpoint: simulator",
    "model": "model: stability.stable-image-core-v1:1",
    "prompt": 'prompt: "a {product}"',
    "vars": "vars: {product: mug}",
    "items": "items: [{id: mug, prompt: a mug}, {id: lamp, prompt: a lamp}]",
}
"""What an example leaves out."""


def whole(example):
    """An example with what it leaves out."""
    own = set(re.findall(r"^(\w+):", example, re.MULTILINE))
    left = {key: line for key, line in HEAD.items() if key not in own}
    if "items_from" in own:
        left.pop("items", None)
    return example + "\n".join(left.values()) + "\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with the files that the examples name."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "owl.jpg").write_bytes(b"")
    for name in ("shop.pem", "shop.key"):
        (tmp_path / name).write_text("")
    (tmp_path / "shared.yaml").write_text("variants: 2\n")
    (tmp_path / "products.csv").write_text("id,product\nmug,blue mug\nlamp,brass lamp\n")
    (tmp_path / "more.jsonl").write_text('{"id": "vase", "product": "vase"}\n')
    return tmp_path


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_right(folder, example):
    """As it stands, with what it leaves out."""
    if "matrix:" in example and "items_from" not in example:
        example = example.replace("matrix:", "items: [{id: mug}]\nmatrix:", 1)
    (folder / "job.yaml").write_text(whole(example), "utf-8")

    assert plan.check(load(folder / "job.yaml")).tasks > 0


def test_every_key_is_told_and_stands_in_an_example():
    """Also those of the sections inside."""
    examples = "\n".join(EXAMPLES)
    keys = {key for names in KEYS.values() for key in names}

    assert sorted(key for key in keys if f"`{key}`" not in TEXT) == []
    assert sorted(key for key in keys if not re.search(rf"\b{key}:", examples)) == []


def test_the_schema_is_that_of_the_types():
    """Renew it: `.venv/bin/python -c 'from batchgen.job.json_schema import write; write()'`."""
    assert schema_text() == generated()


def test_every_key_of_the_schema_has_a_description():
    """In the job and in all sections; an unknown key is a mistake in an editor too."""
    schema = json.loads(schema_text())
    sections = {"Job": schema, **schema["$defs"]}

    assert set(schema["properties"]) == set(Job.model_fields)
    for name, section in sections.items():
        assert section["additionalProperties"] is False, name
        for key, value in section["properties"].items():
            assert value.get("description"), (name, key)
