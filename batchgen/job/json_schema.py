"""The JSON Schema of a job file, for editors: made from the types, kept as a file."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

NAME = "job.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as it is kept, which needs no pydantic."""
    return (resources.files("batchgen.job") / NAME).read_text("utf-8")


def generated() -> str:
    """The schema as the types have it now."""
    from batchgen.job.schema import Job  # noqa: PLC0415  # the kept one does without it

    made = Job.model_json_schema()
    made = {
        "$schema": DIALECT,
        **made,
        "title": "A batchgen job",
        "description": "What to make, how, and within which limits.",
        "anyOf": [{"required": [key]} for key in ("items", "items_from", "include")],
    }
    _tidy(made)
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Keep the schema as the types have it now."""
    Path(__file__).with_name(NAME).write_text(generated(), "utf-8")


def _tidy(value: Any) -> None:
    """Take out what no editor shows, and write descriptions in one line."""
    if isinstance(value, dict):
        if isinstance(value.get("title"), str) and "properties" not in value:
            value.pop("title", None)
        if isinstance(value.get("description"), str):
            value["description"] = " ".join(value["description"].split())
        if isinstance(value.get("default"), dict | list | None):
            value.pop("default", None)
        for each in value.values():
            _tidy(each)
    elif isinstance(value, list):
        for each in value:
            _tidy(each)
