"""The generated parts of docs/manifest.md and its schema. Run as a script, it renews both."""

import json
from pathlib import Path

from batchgen.output import COLUMNS, manifest_schema

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "manifest.md"
SCHEMA = ROOT / "docs" / "manifest.schema.json"
HEADING = "## Fields\n"


def type_of(field):
    """In words for people."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(type_of, field["anyOf"])))
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "const" in field:
        return f'`"{field["const"]}"`'
    if field.get("format") == "date-time":
        return "time"
    if field.get("type") == "array":
        items = field.get("items", {})
        return f"list of {type_of(items)}"
    names = {"string": "text", "integer": "whole number", "object": "mapping"}
    names["boolean"] = "true or false"
    return names.get(field.get("type"), field.get("type", "anything"))


def tables(schema):
    """A table for each kind of line, then for what stands inside them."""
    definitions = schema["$defs"]
    lines = [each["$ref"].rpartition("/")[2] for each in schema["oneOf"]]
    for name in (*lines, *sorted(set(definitions) - set(lines))):
        definition = definitions[name]
        if "properties" not in definition:
            continue
        yield f"### {name}\n"
        yield " ".join(definition.get("description", "").split()) + "\n"
        yield "| field | holds | meaning |\n|---|---|---|"
        for field, value in definition["properties"].items():
            yield f"| `{field}` | {type_of(value)} | {value.get('description', '')} |"
        yield ""
    yield "### Columns of an export\n"
    yield ", ".join(f"`{name}`" for name in COLUMNS) + "."


def generated():
    """What stands below the heading."""
    return "\n" + "\n".join(tables(manifest_schema())) + "\n"


def schema_text():
    return json.dumps(manifest_schema(), indent=2) + "\n"


if __name__ == "__main__":
    head, _, _ = PAGE.read_text("utf-8").partition(HEADING)
    PAGE.write_text(head + HEADING + generated(), "utf-8")
    SCHEMA.write_text(schema_text(), "utf-8")
