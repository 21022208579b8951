"""The JSON Schema of a manifest's lines, with what each field means."""

from __future__ import annotations

from typing import Any

from batchgen import record
from batchgen.job import describe
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
    describe(definitions, record)
    for definition in definitions.values():
        if "kind" in definition.get("properties", {}):
            definition["required"] = ["kind", *definition.get("required", ())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:batchgen:manifest:{FORMAT_VERSION}",
        "title": f"One line of a batchgen manifest, format {FORMAT_VERSION}",
        "oneOf": [{"$ref": f"#/$defs/{shape.__name__}"} for shape in shapes.values()],
        "$defs": definitions,
    }
