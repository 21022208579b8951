"""How an image was made: by the record of its manifest, else by what the file says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchgen.commands.streams import result
from batchgen.errors import ExitCode, InputError, ManifestError
from batchgen.output import (
    CredentialsUnusable,
    Embedded,
    Origin,
    embedded,
    find_named,
    find_origin,
    manifest_of,
    read_credentials,
)
from batchgen.record import DerivedFile, Record, StoredImage, is_simulated
from batchgen.task import is_input_image
from batchgen.text import escaped, quoted, shortened, system_reason, usd

LONGEST_TEXT = 2_000
"""Characters of a prompt that are shown; all of it is in the manifest."""


class Made:
    """What was sent to make an image, of its record."""

    def __init__(self, record: Record) -> None:
        served = record.served
        self.model_id = record.model_id if served is None else served.model_id
        self.request: Mapping[str, Any] = record.request if served is None else served.request
        self.seed = record.seed if served is None else served.seed

    @property
    def prompt(self) -> str | None:
        """The prompt; texts with weights as one text."""
        prompt = self.request.get("prompt")
        if isinstance(prompt, str):
            return prompt
        texts = self.request.get("text_prompts")
        parts = (
            [each for each in texts if isinstance(each, dict)] if isinstance(texts, list) else []
        )
        said = (f"{each.get('text')} ({each.get('weight')})" for each in parts)
        return ", ".join(said) or None

    @property
    def negative_prompt(self) -> str | None:
        """The negative prompt."""
        text = self.request.get("negative_prompt")
        return text if isinstance(text, str) else None

    @property
    def parameters(self) -> dict[str, Any]:
        """The rest of the request."""
        own = {"prompt", "negative_prompt", "text_prompts", "seed"}
        return {name: value for name, value in self.request.items() if name not in own}


def show_image(path: Path, manifest: Path | None, *, as_json: bool) -> int:
    """Print how an image was made; the exit code.

    Args:
        path: of the image file.
        manifest: the only one in which it is looked for; None: all around it.
        as_json: one JSON object.

    Raises:
        InputError: no manifest has it, and nothing is embedded in it.
        ManifestError: the manifest that was named cannot be read.
    """
    given = None if manifest is None else manifest_of(manifest)
    origin = find_origin(path, given)
    is_same = origin is not None
    if origin is None and given is None and not _says_how(path):
        with suppress(ManifestError):
            origin = find_named(path)
    if origin is None:
        return _show_embedded(path, given, as_json=as_json)
    credentials = _credentials(path)
    if as_json:
        fields = _image_fields(path, origin, is_same=is_same)
        result(json.dumps({**fields, "credentials": credentials.fields}))
    else:
        for line in (*_image_lines(path, origin, is_same=is_same), *credentials.lines):
            result(line)
    return ExitCode.DONE if is_same else ExitCode.DIFFERENT


def _says_how(path: Path) -> bool:
    try:
        told = embedded(path)
    except OSError:
        return False
    return told is not None and told.provenance is not None


def _show_embedded(path: Path, manifest: Path | None, *, as_json: bool) -> int:
    """Print what the file says of itself where no manifest knows it; anybody may have written it.

    Raises:
        InputError: it says nothing.
    """
    where = "No manifest around it" if manifest is None else str(manifest)
    try:
        told = embedded(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {system_reason(error)}.") from error
    if told is None:
        text = f"{path}: {where} has an image with these bytes, and nothing is embedded in it."
        if manifest is None:
            raise InputError(f"{text} Name the output that it came from with --manifest.")
        raise InputError(f"{path}: {where} has no image with these bytes; nothing is embedded.")
    credentials = _credentials(path)
    if as_json:
        fields = {**_embedded_fields(path, told), "credentials": credentials.fields}
        result(json.dumps(fields))
        return ExitCode.DONE
    for line in (*_embedded_lines(path, told), *credentials.lines):
        result(line)
    result("  on record: in no manifest that was searched; this is what the file says of itself")
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Shown:
    """The Content Credentials of an image, for a person and for a program."""

    lines: tuple[str, ...] = ()
    fields: dict[str, Any] | None = None


def _credentials(path: Path) -> _Shown:
    """What an image's Content Credentials say and are worth; nothing where it has none."""
    try:
        told = embedded(path)
        if told is None or not told.has_credentials:
            return _Shown()
        found = read_credentials(path)
    except (CredentialsUnusable, OSError) as error:
        line = f"  Content Credentials: not read: {_text(str(error))}"
        return _Shown((line,), {"problem": str(error)})
    if found is None:
        return _Shown()
    state = "intact" if found.is_intact else f"not intact ({_text(', '.join(found.problems))})"
    signer = _text(found.signed_by or "an unknown signer")
    trust = "trusted" if found.is_trusted else "untrusted: no trust list names who signed"
    said = f"  Content Credentials: {state}, signed by {signer}, {trust}"
    if found.model is not None:
        said += f"; model {_text(found.model)}, seed {found.seed}"
    return _Shown((said,), asdict(found))


def _embedded_fields(path: Path, told: Embedded) -> dict[str, Any]:
    made = told.provenance
    fields: dict[str, Any] = {
        "image": str(path),
        "found_by": "embedded",
        "creator_tool": told.creator_tool,
        "source_type": told.source_type,
        "created_at": told.created_at,
        "has_credentials": told.has_credentials,
        "parameters_text": told.parameters,
        "problem": told.problem,
    }
    if made is not None:
        fields |= {
            "label": made.label,
            "task_id": made.task_id,
            "seed": made.seed,
            "model_id": made.model,
            "prompt": made.prompt,
            "negative_prompt": made.negative_prompt,
            "parameters": made.parameters,
            "simulated": made.simulated,
            "provenance": made.model_dump(mode="json"),
        }
    return fields


def _embedded_lines(path: Path, told: Embedded) -> Iterator[str]:
    made, shown = told.provenance, escaped(str(path))
    if made is None:
        yield f"{shown}: made by {_text(told.creator_tool or 'an unknown program')}."
    else:
        start = made.started_at
        at = "" if start is None else f"{start.astimezone():%Y-%m-%d %H:%M:%S} "
        yield f"{shown}: seed {made.seed}, {_text(made.model)}, made {at}as {_text(made.label)}."
        yield from _request_lines(made.prompt, made.negative_prompt, made.parameters)
        simulated = " (simulated)" if made.simulated else ""
        yield f"  run: {_text(made.run_id)}, task {_text(made.task_id)}{simulated}"
    if told.source_type is not None:
        yield f"  source type: {_text(told.source_type)}"
    if made is None and told.parameters is not None:
        yield f"  parameters: {_text(told.parameters)}"
    if told.problem is not None:
        yield f"  not all of it could be read: {_text(told.problem)}"


def _image_fields(path: Path, origin: Origin, *, is_same: bool) -> dict[str, Any]:
    record, made = origin.record, Made(origin.record)
    dumped = record.model_dump(mode="json")
    return {
        "image": str(path),
        "found_by": "sha256" if is_same else "name",
        "is_altered": not is_same,
        "manifest": str(origin.manifest),
        "path": origin.path,
        "is_last": origin.is_last,
        "label": record.label,
        "task_id": record.task_id,
        "seed": made.seed,
        "model_id": made.model_id,
        "prompt": made.prompt,
        "negative_prompt": made.negative_prompt,
        "parameters": made.parameters,
        "derived": None if origin.derived is None else origin.derived.model_dump(mode="json"),
        "finished_at": dumped["finished_at"],
        "cost_usd": record.cost_usd,
        "simulated": is_simulated(record.endpoint),
        "record": dumped,
    }


def _image_lines(path: Path, origin: Origin, *, is_same: bool) -> Iterator[str]:
    record, made = origin.record, Made(origin.record)
    at = f"{record.finished_at.astimezone():%Y-%m-%d %H:%M:%S}"
    if not is_same:
        yield (
            f"{escaped(str(path))} is not as it was made: its bytes are not those that "
            f"{escaped(str(origin.manifest))} records. What follows describes the image that had "
            "this name."
        )
    shown = escaped(str(path))
    yield f"{shown}: seed {made.seed}, {escaped(made.model_id)}, made {at} as {label_of(record)}."
    yield from _request_lines(made.prompt, made.negative_prompt, made.parameters)
    image: StoredImage | DerivedFile = origin.image
    if origin.derived is not None:
        source, image = origin.image, origin.derived
        yield (
            f"  made of: {_text(source.path)} ({escaped(source.format)}, "
            f"{source.width}x{source.height}), on this machine and without a call"
        )
    yield f"  image: {escaped(image.format)}, {image.width}x{image.height}, {image.bytes:,} bytes"
    said = origin.image
    if said.seed is not None and said.seed != made.seed:
        yield f"  seed that the service reports: {said.seed}"
    if said.finish_reason is not None:
        yield f"  finish reason: {quoted(said.finish_reason)}"
    if record.served is not None:
        yield f"  made in place of what was asked for ({_text(record.served.reason)})"
    cost = usd(None if record.cost_usd is None else Decimal(str(record.cost_usd)))
    yield f"  cost: {cost}{' (simulated)' if is_simulated(record.endpoint) else ''}"
    digits = escaped(image.sha256)
    yield f"  sha256: {digits}" if is_same else f"  sha256 on record: {digits}"
    yield f"  request: {_text(record.request_id or 'unknown')} in {_text(record.region)}"
    yield f"  run: {_text(record.run_id)}, task {_text(record.task_id)}"
    last = "" if origin.is_last else "; its task was made again since"
    yield f"  on record in: {escaped(str(origin.manifest))} as {_text(origin.path)}{last}"


def _request_lines(
    prompt: str | None, negative_prompt: str | None, parameters: Mapping[str, Any]
) -> Iterator[str]:
    for name, text in (("prompt", prompt), ("negative prompt", negative_prompt)):
        if text is not None:
            yield f"  {name}: {_text(text)}"
    for name, value in parameters.items():
        yield f"  {escaped(shortened(name, 100))}: {_value(value)}"


def label_of(record: Record) -> str:
    """The label of a record, as a terminal shows it."""
    return escaped(shortened(record.label, 200))


def _text(text: str) -> str:
    return escaped(shortened(text, LONGEST_TEXT))


def _value(value: Any) -> str:
    """A parameter; of an input image its path and the beginning of its hash."""
    if not is_input_image(value):
        return quoted(value)
    return f"{quoted(value['path'], 200)}, sha256 {escaped(str(value['sha256'])[:12])}"
