"""A manifest as a table: one row an image, and one for each task that has none."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

from batchgen.errors import InputError
from batchgen.record import Record, StoredImage
from batchgen.text import escaped

Row = dict[str, Any]
NO_PARQUET = "Parquet needs the extra parquet: pip install 'batchgen[parquet]'"
AT_ONCE = 10_000
"""Rows of one group in a Parquet file."""
COLUMNS: Mapping[str, str] = {
    "run_id": "text",
    "task_id": "text",
    "label": "text",
    "item_id": "text",
    "vars": "json",
    "status": "text",
    "model_id": "text",
    "served_model_id": "text",
    "region": "text",
    "route": "text",
    "endpoint": "text",
    "prompt": "text",
    "negative_prompt": "text",
    "seed": "whole",
    "request": "json",
    "image": "whole",
    "path": "text",
    "sha256": "text",
    "received_sha256": "text",
    "pixels_sha256": "text",
    "bytes": "whole",
    "format": "text",
    "width": "whole",
    "height": "whole",
    "image_seed": "whole",
    "finish_reason": "text",
    "attempts": "whole",
    "request_id": "text",
    "started_at": "time",
    "finished_at": "time",
    "latency_ms": "whole",
    "cost_usd": "number",
    "maybe_billed": "whole",
    "maybe_billed_usd": "number",
    "error_type": "text",
    "error_code": "text",
    "error_message": "text",
    "derived": "json",
}
"""Column -> what it holds. Columns may be added at the end of a later version."""
OF_TASK = (
    *("run_id", "task_id", "label", "item_id", "vars", "model_id", "region", "route", "endpoint"),
    *("seed", "request", "attempts", "request_id", "started_at", "finished_at", "latency_ms"),
    *("cost_usd", "maybe_billed", "maybe_billed_usd"),
)
OF_IMAGE = (
    *("path", "sha256", "received_sha256", "pixels_sha256", "bytes", "format", "width", "height"),
    "finish_reason",
)
"""Columns that have the names of a record's fields, and of an image's."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def rows_of(record: Record) -> Iterator[Row]:
    """The rows of one record.

    What counts for the task (cost, attempts, what may have been billed) stands in the row of its
    first image alone, so that sums are right.
    """
    images: tuple[StoredImage | None, ...] = record.images or (None,)
    for number, image in enumerate(images, 1):
        row = _of_task(record)
        if number > 1:
            row |= dict.fromkeys(("attempts", "cost_usd", "maybe_billed", "maybe_billed_usd"))
        yield row | _of_image(image, number, record)


def _of_task(record: Record) -> Row:
    prompt, negative_prompt = _texts(record.request)
    error = record.error
    row: Row = dict.fromkeys(COLUMNS) | {name: getattr(record, name) for name in OF_TASK}
    row["status"] = record.status.value
    row["served_model_id"] = None if record.served is None else record.served.model_id
    row["prompt"], row["negative_prompt"] = prompt, negative_prompt
    if error is not None:
        row |= {"error_type": error.type, "error_code": error.code, "error_message": error.message}
    return row


def _of_image(image: StoredImage | None, number: int, record: Record) -> Row:
    if image is None:
        said = "; ".join(reason for reason in record.finish_reasons if reason)
        return {"finish_reason": said or None}
    row = {name: getattr(image, name) for name in OF_IMAGE}
    row["derived"] = [each.model_dump(mode="json") for each in image.derived] or None
    return row | {"image": number, "image_seed": image.seed}


def _texts(request: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Prompt and negative prompt of a body, whichever family's it is."""
    prompt, negative = request.get("prompt"), request.get("negative_prompt")
    weighted = request.get("text_prompts")
    if isinstance(weighted, list):
        texts = [each for each in weighted if isinstance(each, dict)]
        prompt = "; ".join(str(each.get("text")) for each in texts if not _is_negative(each))
        negative = "; ".join(str(each.get("text")) for each in texts if _is_negative(each))
    return _text_or_none(prompt), _text_or_none(negative)


def _is_negative(text: Mapping[str, Any]) -> bool:
    weight = text.get("weight", 1)
    return isinstance(weight, int | float) and weight < 0


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def plain(row: Row) -> Row:
    """The same row in what JSON knows: times as texts."""
    return {
        name: _stamp(value) if isinstance(value, datetime) else value for name, value in row.items()
    }


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_csv(rows: Iterable[Row], file: BinaryIO) -> int:
    """Write rows as CSV (RFC 4180, UTF-8); how many.

    A text that a spreadsheet would take for a formula gets an apostrophe in front, and control
    characters are escaped: JSON and Parquet have the texts as they are.
    """
    count = 0
    text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in COLUMNS])
            count += 1
        text.flush()
    finally:
        text.detach()
    return count


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return _stamp(value)
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    safe = "\n".join(map(escaped, value.split("\n")))
    return f"'{safe}" if value.startswith(FORMULA) else safe


def to_json_lines(rows: Iterable[Row], file: BinaryIO) -> int:
    """Write rows as JSON objects, one a line, in ASCII; how many."""
    count = 0
    for row in rows:
        file.write(json.dumps(plain(row)).encode() + b"\n")
        count += 1
    return count


def to_parquet(rows: Iterable[Row], file: BinaryIO) -> int:
    """Write rows as Parquet, with types: whole numbers, numbers, UTC times, texts; how many.

    Raises:
        InputError: the extra is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra of 55 MB
        from pyarrow import parquet  # noqa: PLC0415  # as above
    except ImportError as error:
        raise InputError(NO_PARQUET) from error
    kinds = {
        "json": pa.string(),
        "number": pa.float64(),
        "text": pa.string(),
        "time": pa.timestamp("ms", tz="UTC"),
        "whole": pa.int64(),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    count = 0
    source = iter(rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := [_typed(row) for row in islice(source, AT_ONCE)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _typed(row: Row) -> Row:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value
