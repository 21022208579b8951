"""The JSON Schema of a manifest's lines, with what each field means."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from typing import Any

from batchgen import record
from batchgen.output.manifest import KINDS
from batchgen.record import FORMAT_VERSION


def manifest_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of one line of a manifest of the present format.

    Readers must take fields and kinds that it does not name: later versions may add both.
    """
    from pydantic.json_schema import models_json_schema  # noqa: PLC0415  # for one command alone

    shapes = {name: KINDS[name] for name in sorted(KINDS)}
    _, schema = models_json_schema([(shape, "validation") for shape in shapes.values()])
    definitions = schema["$defs"]
    for name, definition in definitions.items():
        for field, value in definition.get("properties", {}).items():
            text = _meanings().get(name, {}).get(field)
            if text:
                value["description"] = text
        if "kind" in definition.get("properties", {}):
            definition["required"] = ["kind", *definition.get("required", ())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:batchgen:manifest:{FORMAT_VERSION}",
        "title": f"One line of a batchgen manifest, format {FORMAT_VERSION}",
        "oneOf": [{"$ref": f"#/$defs/{shape.__name__}"} for shape in shapes.values()],
        "$defs": definitions,
    }


@cache
def _meanings() -> dict[str, dict[str, str]]:
    """Class -> field -> the text that stands below it in `record.py`."""
    return {
        each.name: dict(_described(each))
        for each in ast.parse(inspect.getsource(record)).body
        if isinstance(each, ast.ClassDef)
    }


def _described(shape: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for before, after in zip(shape.body, shape.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found.append((name, " ".join(text.split())))
    return found
