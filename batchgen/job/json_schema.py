"""The JSON Schema of a job file, for editors: made from the types, kept as a file."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "job.schema.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """The schema as it is kept, which needs no pydantic."""
    return (resources.files("batchgen.job") / NAME).read_text("utf-8")


def generated() -> str:
    """The schema as the types have it now."""
    from batchgen.job import schema, sections  # noqa: PLC0415  # the kept one does without them

    made = schema.Job.model_json_schema()
    for module in (sections, schema):
        describe({"Job": made, **made["$defs"]}, module)
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


def describe(schemas: dict[str, Any], module: ModuleType) -> None:
    """Give each field the text that stands below it in the source of its class.

    pydantic does so too, whenever the class is made: a seventh of the start of a command.

    Args:
        schemas: class -> JSON Schema of its objects.
        module: that has the classes.
    """
    for each in ast.parse(inspect.getsource(module)).body:
        if isinstance(each, ast.ClassDef) and each.name in schemas:
            fields = schemas[each.name].get("properties", {})
            for name, text in _texts(each):
                if name in fields:
                    told = {"description": " ".join(text.split())}
                    fields[name] = dict(sorted((fields[name] | told).items()))


def _texts(shape: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for before, after in zip(shape.body, shape.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                yield name, text


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
