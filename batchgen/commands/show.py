"""`batchgen show`: how an image was made, and what past runs came to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchgen.commands import options
from batchgen.commands.streams import result
from batchgen.errors import ExitCode, InputError, ManifestError
from batchgen.task import is_input_image
from batchgen.text import duration, escaped, quoted, shortened, system_reason, usd

if TYPE_CHECKING:
    from batchgen.output import Embedded, History, Origin
    from batchgen.record import DerivedFile, Record, Status, StoredImage
    from batchgen.report import Night, RunFigures, Tally

LONGEST_TEXT = 2_000
"""Characters of a prompt that are shown; all of it is in the manifest."""
KINDS_SHOWN = 10


@click.command(name="show")
@click.argument("path", type=options.EXISTING_PATH, metavar="IMAGE|MANIFEST|FOLDER")
@click.option(
    "--manifest",
    type=options.EXISTING_PATH,
    metavar="MANIFEST|FOLDER",
    help="Where an image is looked for; else in all manifests around it.",
)
@click.option("--failed", is_flag=True, help="List the tasks that failed, and why.")
@click.option("--filtered", is_flag=True, help="List those that moderation refused, and why.")
@click.option("--last-run", is_flag=True, help="Only the last run.")
@options.json_option
def command(
    path: Path,
    *,
    manifest: Path | None,
    failed: bool,
    filtered: bool,
    last_run: bool,
    as_json: bool,
) -> int:
    """Tell how an image was made, or what the runs of an output came to, night by night.

    An image is known by its bytes, in the nearest manifest: it may have been renamed or copied.
    The first line says with which seed, model and prompt it was made. Ends with 5 if only its name
    is on record, and its bytes are other ones.
    """
    from batchgen.output import is_manifest
    from batchgen.record import Status

    if not is_manifest(path):
        if failed or filtered or last_run:
            raise InputError("--failed, --filtered and --last-run are for a manifest or a folder.")
        return _show_image(path, manifest, as_json=as_json)
    wanted = [Status.FAILED] * failed + [Status.FILTERED] * filtered
    file = options.manifest_in(path)
    if wanted:
        _list_tasks(file, wanted, last_run=last_run, as_json=as_json)
    else:
        _show_nights(file, last_run=last_run, as_json=as_json)
    return ExitCode.DONE


def _show_image(path: Path, manifest: Path | None, *, as_json: bool) -> int:
    from batchgen.output import find_named, find_origin

    given = None if manifest is None else options.manifest_in(manifest)
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
    from batchgen.output import embedded

    try:
        told = embedded(path)
    except OSError:
        return False
    return told is not None and told.provenance is not None


def _show_embedded(path: Path, manifest: Path | None, *, as_json: bool) -> int:
    """What the file says of itself, where no manifest knows it; anybody may have written that.

    Raises:
        InputError: it says nothing.
    """
    from batchgen.output import embedded

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
    result("  on record: nowhere that was looked; this is what the file says of itself")
    return ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Shown:
    """The Content Credentials of an image, for a person and for a program."""

    lines: tuple[str, ...] = ()
    fields: dict[str, Any] | None = None


def _credentials(path: Path) -> _Shown:
    """What an image's Content Credentials say and are worth; nothing where it has none."""
    from batchgen.output import CredentialsUnusable, embedded, read_credentials

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
        for name, text in (("prompt", made.prompt), ("negative prompt", made.negative_prompt)):
            if text is not None:
                yield f"  {name}: {_text(text)}"
        for name, value in made.parameters.items():
            yield f"  {escaped(shortened(name, 100))}: {_value(value)}"
        simulated = " (simulated)" if made.simulated else ""
        yield f"  run: {_text(made.run_id)}, task {_text(made.task_id)}{simulated}"
    if told.source_type is not None:
        yield f"  source type: {_text(told.source_type)}"
    if made is None and told.parameters is not None:
        yield f"  parameters: {_text(told.parameters)}"
    if told.problem is not None:
        yield f"  not all of it could be read: {_text(told.problem)}"


class _Made:
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


def _image_fields(path: Path, origin: Origin, *, is_same: bool) -> dict[str, Any]:
    record, made = origin.record, _Made(origin.record)
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
        "finished_at": record.model_dump(mode="json")["finished_at"],
        "cost_usd": record.cost_usd,
        "simulated": _is_simulated(record),
        "record": record.model_dump(mode="json"),
    }


def _is_simulated(record: Record) -> bool:
    from batchgen.record import is_simulated

    return is_simulated(record.endpoint)


def _image_lines(path: Path, origin: Origin, *, is_same: bool) -> Iterator[str]:
    record, made = origin.record, _Made(origin.record)
    at = f"{record.finished_at.astimezone():%Y-%m-%d %H:%M:%S}"
    if not is_same:
        yield (
            f"{escaped(str(path))} is not as it was made: its bytes are other ones than "
            f"{escaped(str(origin.manifest))} says. What follows is of the image of that name."
        )
    shown = escaped(str(path))
    yield f"{shown}: seed {made.seed}, {escaped(made.model_id)}, made {at} as {_label(record)}."
    if made.prompt is not None:
        yield f"  prompt: {_text(made.prompt)}"
    if made.negative_prompt is not None:
        yield f"  negative prompt: {_text(made.negative_prompt)}"
    for name, value in made.parameters.items():
        yield f"  {escaped(shortened(name, 100))}: {_value(value)}"
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
        yield f"  seed by the service's own word: {said.seed}"
    if said.finish_reason is not None:
        yield f"  finish reason: {quoted(said.finish_reason)}"
    if record.served is not None:
        yield f"  made in place of what was asked for ({_text(record.served.reason)})"
    cost = usd(None if record.cost_usd is None else Decimal(str(record.cost_usd)))
    yield f"  cost: {cost}{' (simulated)' if _is_simulated(record) else ''}"
    digits = escaped(image.sha256)
    yield f"  sha256: {digits}" if is_same else f"  sha256 on record: {digits}"
    yield f"  request: {_text(record.request_id or 'unknown')} in {_text(record.region)}"
    yield f"  run: {_text(record.run_id)}, task {_text(record.task_id)}"
    last = "" if origin.is_last else "; its task was made again since"
    yield f"  on record in: {escaped(str(origin.manifest))} as {_text(origin.path)}{last}"


def _label(record: Record) -> str:
    return escaped(shortened(record.label, 200))


def _text(text: str) -> str:
    return escaped(shortened(text, LONGEST_TEXT))


def _show_nights(manifest: Path, *, last_run: bool, as_json: bool) -> None:
    from batchgen.output import load_history, read_manifest
    from batchgen.report import nights_of, read_runs

    history = load_history(manifest)
    runs = read_runs(read_manifest(manifest))
    if not runs:
        raise ManifestError(
            f"{manifest} holds no line of a run: it is empty, damaged, or no manifest"
        )
    nights = list(nights_of(runs[-1:] if last_run else runs))
    if as_json:
        fields = {
            "manifest": str(manifest),
            "job": history.job_name,
            "tasks": _task_counts(history),
            "damaged_lines": history.unreadable,
            "nights": [_night_fields(night) for night in nights],
        }
        result(json.dumps(fields))
        return
    if not last_run:
        result(_opening(manifest, history))
    for night in nights:
        for line in _night_lines(night):
            result(line)


def _task_counts(history: History) -> dict[str, int]:
    return {str(status): number for status, number in history.counts().items()}


def _opening(manifest: Path, history: History) -> str:
    counts = ", ".join(f"{number} {status}" for status, number in _task_counts(history).items())
    damaged = f"; damaged lines: {history.unreadable}" if history.unreadable else ""
    name = history.job_name
    job = "unknown job" if name is None else f"job {escaped(shortened(name, 100))}"
    return f"{escaped(str(manifest))}: {job}, tasks: {counts}{damaged}."


def _night_lines(night: Night) -> Iterator[str]:
    runs = f"{len(night.runs)} runs" if len(night.runs) > 1 else _ended(night.runs[0])
    yield f"Night of {night.night}: {_counts(night.tally)}, cost {_cost(night.tally)}; {runs}."
    if len(night.runs) > 1:
        for run in night.runs:
            begun = f"{run.started_at.astimezone():%H:%M}"
            yield f"  {begun}: {_counts(run.tally)}, cost {_cost(run.tally)}; {_ended(run)}."
    yield from _details(night.tally)


def _ended(run: RunFigures) -> str:
    name = f"run {escaped(shortened(run.run_id, 60))}"
    if run.exit_code is None or run.finished_at is None:
        return f"{name}, without an end"
    took = duration((run.finished_at - run.started_at).total_seconds())
    return f"{name}, {took}, exit code {run.exit_code}"


def _counts(tally: Tally) -> str:
    from batchgen.record import Status

    made, filtered = tally.counts[Status.SUCCEEDED], tally.counts[Status.FILTERED]
    return f"{made} made, {filtered} filtered, {tally.counts[Status.FAILED]} failed"


def _cost(tally: Tally) -> str:
    total = tally.billed_usd + tally.maybe_billed_usd
    parts = usd(tally.billed_usd)
    if tally.maybe_billed_usd:
        parts += f" and maybe {usd(tally.maybe_billed_usd)}"
    if not tally.simulated_usd:
        return parts
    if tally.simulated_usd == total:
        return f"{parts} (simulated)"
    return f"{parts} (of it simulated: {usd(tally.simulated_usd)})"


def _details(tally: Tally) -> Iterator[str]:
    if tally.seeds:
        more = tally.counts.total() - len(tally.seeds)
        seeds = ", ".join(map(str, tally.seeds))
        yield f"  seeds: {seeds}{f' and {more} more' if more > 0 else ''}"
    if tally.finish_reasons:
        yield f"  finish reasons: {_kinds(tally.finish_reasons)}"
    if tally.errors:
        yield f"  errors: {_kinds(tally.errors)}"
    slow = sorted(tally.slowest, reverse=True)
    if slow:
        listed = (
            f"{escaped(shortened(each.label, 60))} {each.latency_ms / 1000:.1f} s" for each in slow
        )
        yield f"  slowest: {', '.join(listed)}"


def _kinds(counter: Mapping[str, int]) -> str:
    ranked = sorted(counter.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = ", ".join(f"{escaped(name)} {number}" for name, number in ranked[:KINDS_SHOWN])
    rest = sum(number for _, number in ranked[KINDS_SHOWN:])
    return f"{shown}, others {rest}" if rest else shown


def _night_fields(night: Night) -> dict[str, Any]:
    fields = {"night": night.night.isoformat(), **_tally_fields(night.tally)}
    fields["runs"] = [_run_fields(run) for run in night.runs]
    return fields


def _run_fields(run: RunFigures) -> dict[str, Any]:
    finished = None if run.finished_at is None else run.finished_at.isoformat()
    return {
        "run_id": run.run_id,
        "started_at": run.started_at.isoformat(),
        "finished_at": finished,
        "exit_code": run.exit_code,
        "endpoint": run.endpoint,
        **_tally_fields(run.tally),
    }


def _tally_fields(tally: Tally) -> dict[str, Any]:
    from batchgen.record import Status

    total = tally.billed_usd + tally.maybe_billed_usd
    return {
        **{str(status): tally.counts[status] for status in Status},
        "billed_usd": float(tally.billed_usd),
        "maybe_billed_usd": float(tally.maybe_billed_usd),
        "simulated": bool(tally.simulated_usd) and tally.simulated_usd == total,
        "simulated_usd": float(tally.simulated_usd),
        "seeds": tally.seeds,
        "finish_reasons": dict(tally.finish_reasons),
        "errors": dict(tally.errors),
        "slowest": [
            {"label": each.label, "latency_ms": each.latency_ms}
            for each in sorted(tally.slowest, reverse=True)
        ],
    }


def _list_tasks(manifest: Path, wanted: list[Status], *, last_run: bool, as_json: bool) -> None:
    """List the tasks whose last record has one of these statuses."""
    from batchgen.output import load_history, read_manifest
    from batchgen.record import RunLine

    run_id = None
    if last_run:
        started = (line.run_id for line in read_manifest(manifest) if isinstance(line, RunLine))
        run_id = next(iter([*started][-1:]), None)
    found = (
        record
        for record in load_history(manifest).last_records()
        if record.status in wanted and (run_id is None or record.run_id == run_id)
    )
    if as_json:
        tasks = [_task_fields(record) for record in found]
        result(json.dumps({"manifest": str(manifest), "run_id": run_id, "tasks": tasks}))
        return
    number = 0
    for number, record in enumerate(found, 1):  # noqa: B007  # counted
        result(_task_line(record))
    if number == 0:
        result(f"None{' in the last run' if last_run else ''}.")


def _task_fields(record: Record) -> dict[str, Any]:
    made = _Made(record)
    return {
        "label": record.label,
        "task_id": record.task_id,
        "run_id": record.run_id,
        "status": str(record.status),
        "seed": made.seed,
        "model_id": made.model_id,
        "prompt": made.prompt,
        "finish_reasons": list(record.finish_reasons),
        "error": None if record.error is None else record.error.model_dump(mode="json"),
    }


def _task_line(record: Record) -> str:
    error = record.error
    said = "no reason given" if error is None else f"{error.code}: {error.message}"
    reasons = ", ".join(reason for reason in record.finish_reasons if reason is not None)
    if reasons and reasons not in said:
        said = f"{said} ({reasons})"
    at = f"{record.finished_at.astimezone():%Y-%m-%d %H:%M}"
    head = f"{_label(record)}: {record.status} {at}, seed {_Made(record).seed}"
    return f"{head}: {escaped(shortened(said, 300))}"


def _value(value: Any) -> str:
    """A parameter; of an input image its path and the beginning of its hash."""
    if not is_input_image(value):
        return quoted(value)
    return f"{quoted(value['path'], 200)}, sha256 {escaped(str(value['sha256'])[:12])}"
